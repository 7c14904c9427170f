"""Names of the input and the outputs of a network, the same in the graph and in every file."""

from __future__ import annotations

import re
from collections.abc import Iterable

INPUT_NAME = "image"
"""Name of the input, in the graph and in every file."""

OUTPUT_NAME = "scores"
"""Name of a single output, in the graph and in every file."""


def output_names(names: Iterable[str]) -> tuple[str, ...]:
    """Names of a network's outputs in the graph and in every file, in the network's order.

    A single output is ``scores``. Several have the names of the model's outputs, with an underscore
    for each character that is no letter, digit or underscore of ASCII; a name that is taken gets a
    number.

    Args:
        names: names of the outputs in the model, at least one.
    """
    wanted = tuple(names)
    if len(wanted) == 1:
        return (OUTPUT_NAME,)
    taken = {INPUT_NAME}
    unique = []
    for name in wanted:
        cleaned = re.sub(r"\W", "_", name, flags=re.ASCII) or "output"
        result, number = cleaned, 1
        while result in taken:
            result, number = f"{cleaned}_{number}", number + 1
        taken.add(result)
        unique.append(result)
    return tuple(unique)
