"""Results as CSV, with the machine and the versions beside each figure."""

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
    """One measured value.

    Attributes:
        subject: model, recipe, runtime or setting that was measured.
        quantity: what was measured.
        value: the figure.
        unit: its unit.
        n: images or repetitions behind it.
        threads: that worked.
    """

    subject: str
    quantity: str
    value: float
    unit: str
    n: int
    threads: int


def write(name: str, figures: list[Figure], machine: Machine) -> Path:
    """Write ``results/NAME.csv``: a row names CPU, flags, versions, day; ``sources`` the commit."""
    where = {
        "cpu": machine.cpu,
        "flags": " ".join(machine.flags or ()),
        "cores": machine.usable_cores,
        "python": machine.python,
        "versions": " ".join(f"{name}={version}" for name, version in machine.packages.items()),
        "date": datetime.now(UTC).date().isoformat(),
    }
    rows = [{**asdict(figure), "value": f"{figure.value:.5g}", **where} for figure in figures]

    def put(path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    path = RESULTS / f"{name}.csv"
    write_whole(path, put)
    note(path.name)
    return path


def report(name: str, figures: list[Figure]) -> None:
    """``write`` figures of this machine, and print where they are and what they say."""
    print(write(name, figures, this_machine()))
    for figure in figures:
        print(f"  {figure.subject:50} {figure.quantity:25} {figure.value:12.4g} {figure.unit}")
