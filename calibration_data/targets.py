"""True values of images that are not class numbers: one or several numbers for each image."""

from __future__ import annotations

import csv
import io
import json
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foundation.errors import InvalidInputError
from foundation.foreign import printable, read_text, reading

if TYPE_CHECKING:
    from calibration_data.datasets.base import Dataset

_FILE, _LABEL = "file", "label"
_WHOLE = re.compile(r"[0-9]{1,9}")
_NUMBER = re.compile(
    r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE
)


@dataclass(frozen=True, eq=False)
class Targets:
    """Numbers that belong to the images of a dataset.

    Attributes:
        values: int64 or float64 ``[n, k]``, finite.
        columns: names of the ``k`` numbers: labels, quantities, or outputs of a network; empty if
            they have none.
        output: name of the output that they belong to; empty if they name none.

    Raises:
        InvalidInputError: NaN or infinity.
    """

    values: np.ndarray
    columns: tuple[str, ...] = ()
    output: str = ""

    def __post_init__(self) -> None:
        broken = ~np.isfinite(self.values).all(axis=1)
        if broken.any():
            raise InvalidInputError(
                "targets are finite numbers",
                received=f"NaN or infinity for {int(broken.sum())} of {len(broken)} images, the "
                f"first of them image {int(broken.argmax())}",
                remedy="leave these images out, or correct their targets",
            )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def whole(self) -> bool:
        """Whether all values are whole numbers."""
        return bool((self.values == np.round(self.values)).all())

    def subset(self, indices: np.ndarray) -> Targets:
        """Targets of the images at ``indices``, in that order."""
        return Targets(self.values[indices], self.columns, self.output)


@dataclass(frozen=True, eq=False)
class Truth:
    """What a dataset says about one output of a network, before it is checked for its task.

    Attributes:
        source: name of the dataset.
        labels: class numbers, int64 ``[n]``; None for other targets.
        class_names: names of the classes that ``labels`` counts.
        values: targets, ``[n, k]``; None for class numbers.
        columns: names of the ``k`` targets; empty if they have none.
    """

    source: str
    labels: np.ndarray | None
    class_names: tuple[str, ...] = ()
    values: np.ndarray | None = None
    columns: tuple[str, ...] = ()


def truth_of(
    dataset: Dataset, output: str, *, alone: bool, labels: tuple[str, ...] = ()
) -> Truth | None:
    """What a dataset says about an output; None if it says nothing.

    Targets that name an output are of that one; a column belongs to the output of its name, or to
    the one whose labels have its name. Everything else is of the only output.

    Args:
        dataset: images with or without labels.
        output: name of the output.
        alone: whether the network has no other output.
        labels: labels of the output.
    """
    for targets in dataset.targets:
        if targets.output == output:
            return Truth(dataset.name, None, (), targets.values, targets.columns)
        if targets.output:
            continue
        places = [i for i, name in enumerate(targets.columns) if name == output]
        places = places or _places(targets.columns, labels)
        if places and not (alone and len(places) < len(targets.columns)):
            columns = tuple(targets.columns[place] for place in places)
            return Truth(dataset.name, None, (), targets.values[:, places], columns)
        if alone:
            return Truth(dataset.name, None, (), targets.values, targets.columns)
    if dataset.labels is not None and alone:
        return Truth(dataset.name, dataset.labels, dataset.class_names)
    return None


def _places(columns: tuple[str, ...], labels: tuple[str, ...]) -> list[int]:
    """Columns in the order of the labels; none unless every label has its column."""
    return [columns.index(x) for x in labels] if labels and set(labels) <= set(columns) else []


def targets_from_array(array: np.ndarray, count: int, output: str = "") -> Targets | None:
    """Targets of an array of labels; None for one that holds something else.

    Args:
        array: floats ``[n]`` or ``[n, k]``, or integers or booleans ``[n, k]``.
        count: number of images.
        output: name of the output that they belong to.

    Raises:
        InvalidInputError: NaN or infinity.
    """
    if array.dtype.kind not in "biuf" or array.shape[:1] != (count,) or array.ndim > 2:
        return None
    if array.ndim == 1 and array.dtype.kind != "f":
        return None
    table = array.reshape(count, -1)
    if table.shape[1] == 0:
        return None
    kind = np.float64 if array.dtype.kind == "f" else np.int64
    return Targets(table.astype(kind), output=output)


@dataclass(frozen=True)
class TargetTable:
    """Targets of a label file.

    Attributes:
        columns: names of the numbers of a row; empty for one number, or for a list in JSON.
        rows: numbers of each file, which is a normal relative path.
    """

    columns: tuple[str, ...]
    rows: dict[str, tuple[float, ...]]

    def targets(self, rows: Sequence[tuple[float, ...]]) -> Targets:
        """Targets of some of the rows, in their order."""
        values = np.array(rows, np.float64).reshape(len(rows), -1)
        targets = Targets(values, self.columns)
        return Targets(values.astype(np.int64), self.columns) if targets.whole else targets


def label_file_rule(path: Path) -> tuple[str, str]:
    """What a label file is, and what to do with one that is something else."""
    kind = ".json" if path.suffix == ".json" else ".csv"
    shape = "an object {file: label}" if kind == ".json" else "a header line with file,label"
    return (
        f"a {kind} label file is UTF-8 text with {shape}, a file and a label in each row",
        "correct the label file, or move it away",
    )


def read_target_table(path: Path) -> TargetTable | None:
    """Targets of a label file; None for one that is of class names or class numbers.

    A .csv has a column ``file``, and no column ``label`` but one for each number; or a column
    ``label`` with measured numbers. A .json has {file: number}, {file: [numbers]} or
    {file: {name: number}}.

    Raises:
        InvalidInputError: unreadable, or rows that do not have the same numbers.
    """
    rule, remedy = label_file_rule(path)
    text = read_text(path, rule, remedy, encoding="utf-8-sig")
    with reading(path, "a label file with numbers has the same ones for each file", remedy):
        found = _json_table(text) if path.suffix == ".json" else _csv_table(text)
        if found is None:
            return None
        columns, cells = found
        rows: dict[str, tuple[float, ...]] = {}
        for file, numbers in cells:
            name = posixpath.normpath(file.strip())
            if not file.strip() or name in rows:
                raise ValueError(f"{file.strip() or 'a row without a file'} more than once")
            rows[name] = numbers
        if len({len(row) for row in rows.values()}) > 1 or () in rows.values():
            raise ValueError("rows with different numbers of values, or without any")
    return TargetTable(columns, rows)


_Cells = tuple[tuple[str, ...], list[tuple[str, tuple[float, ...]]]]


def _csv_table(text: str) -> _Cells | None:
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error:
        return None
    header = [cell.strip() for cell in rows[0]] if rows else []
    small = [cell.lower() for cell in header]
    if small.count(_FILE) != 1 or small.count(_LABEL) > 1 or len(header) < 2:
        return None
    labelled = _LABEL in small
    names = [n for n, s in zip(header, small, strict=True) if s == _LABEL or not labelled]
    names = [name for name in names if name.lower() != _FILE]
    if any(len(row) != len(header) for row in rows):
        if labelled:
            return None
        short = next(row for row in rows if len(row) != len(header))
        raise ValueError(f"{len(short)} cells in the row of {short[0][:80]}, not {len(header)}")
    place = small.index(_FILE)
    places = [header.index(name) for name in names]
    cells = [(row[place], [row[p].strip() for p in places]) for row in rows[1:]]
    numbers = [bool(_NUMBER.fullmatch(value)) for _, values in cells for value in values]
    if not any(numbers):
        return None
    if labelled and not _measured([value for _, values in cells for value in values]):
        return None
    if len(set(names)) != len(names):
        raise ValueError(f"the header {','.join(header)[:80]} with a name twice")
    read = [(file, tuple(_number(value, file) for value in values)) for file, values in cells]
    return (() if labelled else tuple(names)), read


def _measured(cells: list[str]) -> bool:
    """Whether cells are numbers of which some cannot be class numbers."""
    numbers = all(_NUMBER.fullmatch(cell) for cell in cells)
    return bool(cells) and numbers and not all(_WHOLE.fullmatch(cell) for cell in cells)


def _json_table(text: str) -> _Cells | None:
    try:
        pairs = json.loads(text, object_pairs_hook=lambda pairs: pairs)
    except (ValueError, RecursionError):
        return None
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        return None
    if not any(isinstance(value, float | list) for _, value in pairs):
        return None
    columns: tuple[str, ...] | None = None
    cells = []
    for file, value in pairs:
        named = isinstance(value, list) and bool(value) and isinstance(value[0], tuple)
        keys = tuple(str(key) for key, _ in value) if named else ()
        values = [v for _, v in value] if named else value if isinstance(value, list) else [value]
        columns = keys if columns is None else columns
        if set(keys) != set(columns) or len(set(keys)) != len(keys):
            raise ValueError(f"other names of values in {file[:80]} than in the first row")
        by_name = dict(zip(keys, values, strict=True)) if named else {}
        values = [by_name[key] for key in columns] if named else values
        cells.append((file, tuple(_number(v, file) for v in values)))
    return columns or (), cells


def _number(value: Any, file: str) -> float:
    text = value.strip() if isinstance(value, str) else value
    shown = printable(value)[:80]
    if isinstance(text, str) and _NUMBER.fullmatch(text):
        return float(text)
    if isinstance(text, str | list) or text is None or not isinstance(text, int | float):
        raise ValueError(f"{shown or 'an empty cell'} of {file[:80]}, which is no number")
    return float(text)
