"""Measures the networks whose names come on standard input, one a line, and answers each name."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import edgequant.process  # noqa: F401 - makes the rooms ours
from edgequant.repeatable import one_order_of_sums
from tests.conformance.networks.cells import NetworkCell, write_part
from tests.conformance.networks.measuring import MORE, PAIR, measure, prepare
from tests.conformance.networks.registry import every_recipe, styles


def measured(name: str) -> list[NetworkCell]:
    """Cells of a network in all of its recipes."""
    import keras

    with tempfile.TemporaryDirectory() as folder:
        subject = prepare(styles()[name], Path(folder))
        cells = list(measure(subject, PAIR))
        if every_recipe(name):
            cells += measure(subject, MORE, compare=False)
    keras.backend.clear_session()
    return cells


def main() -> None:
    """Measure until the input ends; libraries that print do so on standard error."""
    one_order_of_sums()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    folder = Path(sys.argv[1])
    for line in sys.stdin:
        name = line.strip()
        write_part(folder, name, measured(name))
        answers.write(f"{name}\n")
        answers.flush()


if __name__ == "__main__":
    main()
