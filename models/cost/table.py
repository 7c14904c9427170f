"""Costs of the registered networks, counted once and kept beside the code for listings.

``python -m models.cost.table`` (``make costs``) counts them anew; tests hold the table to that.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path

from foundation.atomic import write_whole
from models.cost.counting import spec_cost
from models.spec import ModelSpec, model_specs


@dataclass(frozen=True)
class ListedCost:
    """Cost of a registered network as it is deployed, for one image of its own size.

    Attributes:
        model: registered name.
        params: weights that stay after batch norms are folded.
        macs: multiply-adds.
        peak_elements: least activation memory, in elements: bytes of an int8 file.
    """

    model: str
    params: int
    macs: int
    peak_elements: int


def listed_costs() -> dict[str, ListedCost]:
    """The committed table by model; no SDK is loaded for it."""
    with _path().open(newline="", encoding="utf-8") as handle:
        rows = [
            ListedCost(
                row["model"], int(row["params"]), int(row["macs"]), int(row["peak_elements"])
            )
            for row in csv.DictReader(handle)
        ]
    return {row.model: row for row in rows}


def counted(spec: ModelSpec) -> ListedCost:
    """Build a network and count it."""
    cost = spec_cost(spec)
    return ListedCost(spec.name, cost.folded_params, cost.macs, cost.peak)


def table(costs: Iterable[ListedCost]) -> str:
    """Costs as CSV, one row a network."""
    text = io.StringIO()
    names = [field.name for field in fields(ListedCost)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([getattr(cost, name) for name in names] for cost in costs)
    return text.getvalue()


def _path() -> Path:
    return Path(str(files("models"))) / "costs.csv"


def main() -> None:
    """Count every registered network and write the table."""
    text = table(counted(spec) for spec in model_specs().values())
    write_whole(_path(), lambda path: path.write_text(text, encoding="utf-8"))


if __name__ == "__main__":
    main()
