"""Reading of contracts and of lists of labels from files."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from calibration_data.labels import KNOWN_LABELS
from calibration_data.preprocessing import Preprocessing
from foundation.errors import InvalidInputError
from foundation.foreign import read_text, reading


def read_contract(path: Path) -> Preprocessing:
    """Read a contract from a TOML file; its ``labels`` are a list, a known name, or a file.

    The path of a label file is relative to the contract. A text with spaces that names no file is
    a comment for the reader and ignored.

    Raises:
        InvalidInputError: no such file, invalid TOML, or a contract that breaks a rule.
    """
    rule = "--preprocessing takes a TOML file that can be read"
    remedy = "see docs/data.md for its keys"
    text = read_text(path, rule, remedy)
    with reading(path, rule, remedy):
        values = tomllib.loads(text)
    outputs = values.get("outputs", {})
    tables = outputs.values() if isinstance(outputs, dict) else ()
    for table in (values, *(table for table in tables if isinstance(table, dict))):
        _read_named_labels(table, path.parent)
    return Preprocessing.from_dict(values)


def _read_named_labels(table: dict[str, Any], folder: Path) -> None:
    """Replace a name or a file of labels in a table by the labels."""
    labels = table.get("labels")
    if isinstance(labels, str):
        del table["labels"]
        if labels in KNOWN_LABELS:
            table["labels"] = KNOWN_LABELS[labels]()
        elif " " not in labels or (folder / labels).is_file():
            table["labels"] = read_labels(folder / labels)


def read_labels(path: Path) -> tuple[str, ...]:
    """Read a label list, one label per line, in the order of the network's outputs.

    Raises:
        InvalidInputError: no such file, an empty line between labels, or no label at all.
    """
    rule = "a label list is a text file with one label per line"
    text = read_text(path, rule, "give the path of such a file", encoding="utf-8-sig")
    lines = text.splitlines()
    labels = tuple(line.strip() for line in lines)
    while labels and not labels[-1]:
        labels = labels[:-1]
    if not all(labels):
        raise InvalidInputError(
            "a label list has no empty line between labels",
            received=f"{path}, whose line {labels.index('') + 1} is empty",
            remedy="write one label on each line",
        )
    if not labels:
        raise InvalidInputError(
            "a label list has one label per line",
            received=f"{path}, which has none",
            remedy="write the labels in the order of the network's outputs",
        )
    return labels
