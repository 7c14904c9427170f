"""Rows of the table of networks, and its file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

from foundation.atomic import write_whole

NETWORKS = Path(__file__).parent.parent / "networks.csv"


@dataclass(frozen=True)
class NetworkCell:
    """One network in one recipe.

    Attributes:
        network: name of the style or architecture.
        recipe: name of the recipe.
        runtime: what ran the file.
        effort: effort of the plan (``--optimize``); empty for a recipe without a plan.
        made: ``yes``, or ``no`` where the recipe was refused or failed.
        sqnr_db: signal to noise of the worst output against Keras; empty without a file.
        converter_db: the same of TensorFlow's int8 file, from the same examples; empty where the
            recipe is not int8 or the converter fails.
        parity: ``same`` where the .tflite and the .onnx hold the same integers, or what differs.
        oracle: ``same`` where LiteRT's reference kernels give the oracle's integers in each layer.
        float_share: percent of the multiply-adds outside integers.
        float_ops: operators outside integers, with their numbers.
        seconds: CPU seconds that the command took, shared equally by the files that it wrote.
        converter_seconds: the same of the converter.
        sentence: why there is no file; empty with one.
    """

    network: str
    recipe: str
    runtime: str
    effort: str = ""
    made: str = "yes"
    sqnr_db: float | None = None
    converter_db: float | None = None
    parity: str = ""
    oracle: str = ""
    float_share: float | None = None
    float_ops: str = ""
    seconds: float | None = None
    converter_seconds: float | None = None
    sentence: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What is combined; a recipe runs in one runtime."""
        return self.network, self.recipe


_NUMBERS = ("sqnr_db", "converter_db", "float_share", "seconds", "converter_seconds")
_NAMES = tuple(field.name for field in fields(NetworkCell))


def table_text(cells: Iterable[NetworkCell]) -> str:
    """Text of a table, the rows as they come."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(_NAMES)
    for cell in cells:
        writer.writerow(_text(getattr(cell, name)) for name in _NAMES)
    return table.getvalue()


def read_cells(path: Path) -> dict[tuple[str, str], NetworkCell]:
    """Rows of a table by network and recipe; none without a table."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as handle:
        cells = [NetworkCell(**_values(row)) for row in csv.DictReader(handle)]
    return {cell.key: cell for cell in cells}


def write_part(folder: Path, name: str, cells: Iterable[NetworkCell]) -> None:
    """Write the rows of one network, whole or not at all."""
    text = table_text(cells)
    write_whole(folder / f"{name}.csv", partial(Path.write_text, data=text, encoding="utf-8"))


def _values(row: dict[str, str]) -> dict[str, object]:  # type: ignore[misc]
    numbers = {name: float(row[name]) if row[name] else None for name in _NUMBERS}
    return {**row, **numbers}


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}"
    return "" if value is None else str(value)
