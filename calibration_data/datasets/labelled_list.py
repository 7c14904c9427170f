"""A label file as the dataset itself: the images that it names, with its labels."""

from __future__ import annotations

from pathlib import Path

from calibration_data.datasets.base import Dataset, DatasetKind, SplitRole
from calibration_data.datasets.image_list import refuse_split
from calibration_data.image_files import from_paths, listed_files
from calibration_data.label_files import named_files, numbered, read_label_file
from calibration_data.targets import read_target_table


def _files(text: str) -> tuple[Path, ...]:
    return tuple(listed_files(Path(text), list(named_files(Path(text)))))


def _open(text: str, split: str | None) -> Dataset:
    refuse_split(text, split)
    path = Path(text)
    table = read_target_table(path)
    if table is not None:
        targets = table.targets(list(table.rows.values()))
        paths = listed_files(path, list(table.rows))
        return from_paths(text, SplitRole.of(path.stem), paths, targets=(targets,))
    rows = read_label_file(path)
    labels, class_names = numbered(list(rows.values()), path)
    paths = listed_files(path, list(rows))
    return from_paths(text, SplitRole.of(path.stem), paths, labels, class_names)


KIND = DatasetKind(
    name="labels",
    syntax="FILE.csv or FILE.json",
    summary="columns file,label, or {file: label}; paths relative to the file, in its folder or "
    "below; labels are class names, class numbers or measured numbers, or columns of numbers",
    matches=lambda text: text.endswith((".csv", ".json")) and Path(text).is_file(),
    open=_open,
    referenced=_files,
    order=26,
)
