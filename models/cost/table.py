"""Stored costs of the registered networks, in a table beside the code for listings.

``python -m models.cost.table`` (``make costs``) writes the table again; tests check that it is
up to date.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from foundation.atomic import write_whole
from models.cost.counting import spec_cost
from models.spec import ModelSpec, model_specs


@dataclass(frozen=True)
class ListedCost:
    """Cost of a registered network in its deployed form, for one image of its registered size.

    Attributes:
        model: registered name.
        params: number of weights after batch norms are folded.
        macs: multiply-adds.
        peak_elements: peak activation memory in elements, which are bytes in an int8 file.
    """

    model: str
    params: int
    macs: int
    peak_elements: int


def listed_costs() -> dict[str, ListedCost]:
    """Rows of the committed table by model; no SDK is loaded."""
    with _path().open(newline="", encoding="utf-8") as handle:
        rows = [
            ListedCost(
                row["model"], int(row["params"]), int(row["macs"]), int(row["peak_elements"])
            )
            for row in csv.DictReader(handle)
        ]
    return {row.model: row for row in rows}


def counted(spec: ModelSpec) -> ListedCost:
    """Build a network and count its cost."""
    cost = spec_cost(spec)
    return ListedCost(spec.name, cost.folded_params, cost.macs, cost.peak)


def table(costs: Iterable[ListedCost]) -> str:
    """Costs as CSV, one row per network."""
    text = io.StringIO()
    names = [field.name for field in fields(ListedCost)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([getattr(cost, name) for name in names] for cost in costs)
    return text.getvalue()


def _path() -> Path:
    return Path(__file__).resolve().parents[1] / "costs.csv"


def main() -> None:
    """Count the cost of every registered network and write the table."""
    text = table(counted(spec) for spec in model_specs().values())
    write_whole(_path(), lambda path: path.write_text(text, encoding="utf-8"))


if __name__ == "__main__":
    main()
