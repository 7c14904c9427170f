"""Label files: labels.csv with the columns file,label, and labels.json with {file: label}."""

from __future__ import annotations

import csv
import io
import json
import os
import posixpath
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from calibration_data.targets import label_file_rule, read_target_table
from foundation.errors import InvalidInputError
from foundation.foreign import printable, read_text, reading

NAMES = ("labels.csv", "labels.json")
"""What a label file is called that is found by itself."""

COLUMNS = ("file", "label")
_NUMBER = re.compile(r"[0-9]{1,9}")


def read_label_file(path: Path) -> dict[str, str]:
    """The label of each file that a label file names, in its order.

    Args:
        path: a .csv with the columns file and label (others are passed over), or a .json object.

    Returns:
        File name as a normal relative path -> label as text; numbers are digits.

    Raises:
        InvalidInputError: unreadable, not UTF-8, without the columns, a row without file or label,
            or a file that occurs twice.
    """
    read = _json_rows if path.suffix == ".json" else _csv_rows
    rule, remedy = label_file_rule(path)
    text = read_text(path, rule, remedy, encoding="utf-8-sig")
    with reading(path, rule, remedy, raised=(csv.Error,)):
        rows = read(text)
        labels: dict[str, str] = {}
        for file, label in rows:
            if not file.strip() or not label.strip():
                raise ValueError(f"a row without {'a file' if not file.strip() else 'a label'}")
            if printable(label) != label:
                raise ValueError(f"the label {label!r}, which is not printable text")
            name = posixpath.normpath(file.strip())
            if name in labels:
                raise ValueError(f"{file.strip()} more than once")
            labels[name] = label.strip()
    return labels


def _csv_rows(text: str) -> list[tuple[str, str]]:
    """Rows of a CSV file, by the columns file and label of its header."""
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = [cell.strip().lower() for cell in next(lines, [])]
    if any(header.count(column) != 1 for column in COLUMNS):
        raise ValueError(f"the header {','.join(header)[:80] or 'missing'}")
    places = [header.index(column) for column in COLUMNS]
    rows = []
    for cells in lines:
        if not cells:
            continue
        if len(cells) != len(header):
            raise ValueError(f"{len(cells)} cells in line {lines.line_num}, not {len(header)}")
        file, label = (cells[place] for place in places)
        rows.append((file, label))
    return rows


def _json_rows(text: str) -> list[tuple[str, str]]:
    """Pairs of a JSON object, those that occur twice included."""
    pairs = json.loads(text, object_pairs_hook=lambda pairs: pairs)
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise ValueError("JSON that is not an object")
    return [(file, _label_text(file, label)) for file, label in pairs]


def _label_text(file: str, label: Any) -> str:
    if isinstance(label, bool) or not isinstance(label, int | str):
        raise ValueError(f"a label of {file[:80]} that is neither text nor a whole number")
    return str(label)


def numbered(labels: Sequence[str], source: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class numbers of labels, and the class names that they count.

    Numbers stand for themselves and have no names; names are counted in sorted order, as class
    folders are.

    Args:
        labels: as texts, one for each image.
        source: the label file, for the message.

    Returns:
        int64 ``[n]``, and the names; none for numbers.

    Raises:
        InvalidInputError: some are numbers and some are names.
    """
    names = sorted(set(labels))
    words = [name for name in names if not _NUMBER.fullmatch(name)]
    if not words:
        return np.array([int(label) for label in labels], np.int64), ()
    if len(words) < len(names):
        number = next(name for name in names if name not in words)
        raise InvalidInputError(
            "the labels of a file are all class names or all class numbers",
            received=f"{printable(source)} with {words[0]} and {number}",
            remedy="write all of them one way",
        )
    places = {name: place for place, name in enumerate(names)}
    return np.array([places[label] for label in labels], np.int64), tuple(names)


def inside(folder: Path) -> Path | None:
    """The label file in a folder; None without one.

    Raises:
        InvalidInputError: two of them.
    """
    return _only([folder / name for name in NAMES if os.path.lexists(folder / name)])


def label_files_beside(text: str) -> tuple[Path, ...]:
    """Label files in the folder that a folder lies in, whether or not they are about it."""
    parent = _absolute(Path(text)).parent
    return tuple(parent / name for name in NAMES if (parent / name).is_file())


def beside(folder: Path, names: Collection[str]) -> Path | None:
    """The label file beside a folder that is about it: it names an image of the folder.

    Args:
        folder: of images.
        names: of the images, relative to the folder.

    Raises:
        InvalidInputError: two of them.
    """
    place = _absolute(folder).name
    known = {*names, *(f"{place}/{name}" for name in names)}
    return _only([path for path in label_files_beside(str(folder)) if speaks_of(path, known)])


def speaks_of(path: Path, names: Collection[str]) -> bool:
    """Whether a file that may be a label file has a row for one of these images."""
    try:
        return any(name in names for name in named_files(path))
    except InvalidInputError:
        return False


def named_files(path: Path) -> tuple[str, ...]:
    """Files that a label file has classes or numbers for, in its order.

    Raises:
        InvalidInputError: as ``read_label_file`` and ``read_target_table``.
    """
    table = read_target_table(path)
    return tuple(read_label_file(path) if table is None else table.rows)


Value = TypeVar("Value")


def labels_of_folder(
    path: Path, folder: Path, names: Sequence[str], labels: Mapping[str, Value]
) -> list[Value]:
    """Labels of the images of a folder, in their order.

    A file inside the folder names images relative to it. A file beside it does so too, or names
    them relative to itself: then rows about other folders are passed over.

    Args:
        path: the label file.
        folder: of the images.
        names: of the images, relative to the folder.
        labels: rows of the label file.

    Raises:
        InvalidInputError: a row that names no image; an image without row.
    """
    prefix = f"{_absolute(folder).name}/"
    if _absolute(path).parent != _absolute(folder) and any(n.startswith(prefix) for n in labels):
        labels = {n.removeprefix(prefix): v for n, v in labels.items() if n.startswith(prefix)}
    known = set(names)
    if unknown := [name for name in labels if name not in known]:
        raise InvalidInputError(
            "each row of a label file names an image of its folder",
            received=f"{path} with {_some(unknown)} not in {folder}",
            remedy="correct or delete these rows",
        )
    if missing := [name for name in names if name not in labels]:
        raise InvalidInputError(
            "a label file has a row for each image of its folder",
            received=f"{path} without {_some(missing)}",
            remedy="add these rows, or move the images away",
        )
    return [labels[name] for name in names]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(printable(name)[:80] for name in names[:3])}{more}"


def _only(paths: list[Path]) -> Path | None:
    if len(paths) > 1:
        raise InvalidInputError(
            "images have one label file",
            received=" and ".join(str(path) for path in paths),
            remedy="move one of them away",
        )
    return paths[0] if paths else None


def _absolute(path: Path) -> Path:
    """The absolute path; links are not followed, so that beside is where the user sees it."""
    return Path(os.path.abspath(path))  # noqa: PTH100
