"""Results as CSV, with machine and versions in each row."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.sources import RESULTS, note
from evaluation.machine import Machine, this_machine
from foundation.atomic import write_whole


@dataclass(frozen=True)
class Figure:
    """Measured value.

    Attributes:
        subject: model, recipe, runtime or setting that was measured.
        quantity: name of the measured quantity.
        value: value in ``unit``.
        unit: unit of the value.
        n: number of images or repetitions.
        threads: number of threads.
    """

    subject: str
    quantity: str
    value: float
    unit: str
    n: int
    threads: int


def write(name: str, figures: list[Figure], machine: Machine) -> Path:
    """Write ``results/NAME.csv`` with CPU, flags, versions and day, and note the commit."""
    where = {
        "cpu": machine.cpu,
        "flags": " ".join(machine.flags or ()),
        "cores": machine.usable_cores,
        "python": machine.python,
        "versions": " ".join(f"{name}={version}" for name, version in machine.packages.items()),
        "date": datetime.now(UTC).date().isoformat(),
    }
    rows = [{**asdict(figure), "value": _text(figure.value), **where} for figure in figures]

    def put(path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    path = RESULTS / f"{name}.csv"
    write_whole(path, put)
    note(path.name)
    return path


def _text(value: float) -> str:
    """Whole numbers in full, such as bytes, and five digits of measured ones."""
    return str(value) if isinstance(value, int) else f"{value:.5g}"


def report(name: str, figures: list[Figure]) -> None:
    """Write figures of this machine, and print the path and the figures."""
    print(write(name, figures, this_machine()))
    for figure in figures:
        print(f"  {figure.subject:50} {figure.quantity:25} {figure.value:12.4g} {figure.unit}")
