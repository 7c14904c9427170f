"""Image folders: flat, or with one folder per class (the layout of torchvision's ImageFolder).

A flat folder has images directly inside; its labels, if any, are in a labels.csv or labels.json
inside or beside it.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from calibration_data.datasets.base import Dataset, DatasetKind, SplitRole
from calibration_data.image_files import IMAGE_SUFFIXES, from_paths
from calibration_data.label_files import (
    beside,
    inside,
    label_files_beside,
    labels_of_folder,
    numbered,
    read_label_file,
    speaks_of,
)
from calibration_data.targets import read_target_table
from foundation.errors import InvalidInputError
from foundation.foreign import printable, reading, reason_of

UNLABELLED = ("unlabelled", "unlabeled")
"""Instead of a split: all images in the folder and below it, without labels."""


def _split_folder(text: str, split: str | None) -> Path:
    root = Path(text)
    if split is None:
        return root
    if (root / split).is_dir():
        return root / split
    with reading(root, "an image folder can be read", "check its permissions"):
        folders = sorted(p.name for p in root.iterdir() if p.is_dir())
    shown = ", ".join(folders[:8]) + (", ..." if len(folders) > 8 else "")
    raise InvalidInputError(
        f"the split of a folder is a folder inside it ({shown or 'none here'})",
        received=f"{text}:{split}",
        remedy="name one of those folders",
    )


def _images(folder: Path) -> list[Path]:
    images = []
    for parent, folders, names in os.walk(folder, onerror=_refuse_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(parent, name) for name in names if not name.startswith("."))
        images += [p for p in paths if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()]
    return sorted(images)


def _refuse_unreadable(error: OSError) -> None:
    """Error handler of ``os.walk``: an unreadable class must not be missing from the accuracy."""
    raise InvalidInputError(
        "every class folder of a dataset can be read",
        received=f"{printable(error.filename)} ({reason_of(error)})",
        remedy="change its permissions, or move it away",
    ) from error


def _refuse_odd_names(folders: list[Path]) -> None:
    """Refuse class folders whose names cannot be labels, which are lines of UTF-8 text."""
    odd = next((path for path in folders if printable(path.name) != path.name), None)
    if odd is not None:
        raise InvalidInputError(
            "names of class folders are printable UTF-8 text",
            received=printable(odd),
            remedy="rename that folder",
        )


def _class_folders(text: str, folder: Path) -> list[Path]:
    """Class folders in order of name; a folder that holds splits instead is refused."""
    with reading(folder, "an image folder can be read", "check its permissions"):
        folders = sorted(
            path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
        )
    if folders and all(SplitRole.of(path.name) is not SplitRole.UNKNOWN for path in folders):
        raise InvalidInputError(
            "an image folder holds one folder per class; folders of splits are not classes",
            received=f"{folder} with {', '.join(path.name for path in folders)}",
            remedy=f"name a split: {text}:{folders[0].name}",
        )
    return folders


def _nested(folder: Path) -> bool:
    """Whether the folders inside hold folders themselves, as splits do."""
    return any(path.is_dir() for path in folder.glob("*/*"))


def direct_images(folder: Path) -> list[Path]:
    """Image files right inside a folder, not in folders below it."""
    with reading(folder, "an image folder can be read", "check its permissions"):
        return sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in IMAGE_SUFFIXES
            and not path.name.startswith(".")
            and path.is_file()
        )


def open_folder(text: str, split: str | None) -> Dataset:
    """Dataset of a folder of images; ``KIND`` says which.

    Raises:
        InvalidInputError: no such split, or a folder of another layout.
    """
    if split in UNLABELLED and not (Path(text) / split).is_dir():
        return _unlabelled(text, split)
    folder = _split_folder(text, split)
    name = str(folder) if split is None else f"{text}:{split}"
    direct, label_file = direct_images(folder), inside(folder)
    if direct and label_file is not None:
        return _labelled_by_file(name, folder, label_file)
    if direct:
        return _flat(name, folder, direct)
    folders = _class_folders(text, folder)
    _refuse_odd_names(folders)
    images = [(path.name, _images(path)) for path in folders]
    classes = [(class_name, files) for class_name, files in images if files]
    if label_file is not None and classes:
        if len(classes) < 2:
            return _labelled_by_file(name, folder, label_file)
        _refuse_two_sources(label_file, folder, [path for _, files in classes for path in files])
    if len(classes) < 2:
        raise InvalidInputError(
            "an image folder holds images, or one folder per class, at least two of them with "
            "images",
            received=f"{folder} with {len(classes)} and no image directly inside",
            remedy="put images into it"
            if not classes
            else f"sort the images into class folders, or take them without labels: {text}"
            f":{UNLABELLED[0]}"
            + (f"; or add a split such as {text}:{classes[0][0]}" if _nested(folder) else ""),
        )
    labels = [number for number, (_, files) in enumerate(images) for _ in files]
    return from_paths(
        name,
        _role(folder),
        [path for _, files in images for path in files],
        np.asarray(labels, np.int64),
        tuple(name for name, _ in images),
    )


def _role(folder: Path) -> SplitRole:
    return SplitRole.of(folder.resolve().name)


def _unlabelled(text: str, split: str) -> Dataset:
    """All images of a folder and of those below it, whatever the folders mean."""
    folder = Path(text)
    return from_paths(f"{text}:{split}", _role(folder), _images(folder))


def _flat(name: str, folder: Path, direct: list[Path]) -> Dataset:
    """Images right inside a folder, labelled where a label file beside the folder names them."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith(".") and (below := _images(path)):
            raise InvalidInputError(
                "an image folder holds images, or one folder per class, not both",
                received=f"{folder} with {direct[0].name} and {path.name}/{below[0].name}",
                remedy="move one of them away, or take all images without labels: "
                f"{folder}:{UNLABELLED[0]}",
            )
    names = [path.name for path in direct]
    label_file = beside(folder, names)
    if label_file is not None:
        return _labelled(name, folder, label_file, direct, names)
    return from_paths(name, _role(folder), direct)


def _labelled_by_file(name: str, folder: Path, label_file: Path) -> Dataset:
    """All images of a folder and of those below it, with the labels of a file inside it."""
    paths = _images(folder)
    names = [path.relative_to(folder).as_posix() for path in paths]
    return _labelled(name, folder, label_file, paths, names)


def _labelled(
    name: str, folder: Path, label_file: Path, paths: list[Path], names: list[str]
) -> Dataset:
    table = read_target_table(label_file)
    if table is not None:
        targets = table.targets(labels_of_folder(label_file, folder, names, table.rows))
        return from_paths(name, _role(folder), paths, targets=(targets,))
    rows = labels_of_folder(label_file, folder, names, read_label_file(label_file))
    labels, class_names = numbered(rows, label_file)
    return from_paths(name, _role(folder), paths, labels, class_names)


def _refuse_two_sources(label_file: Path, folder: Path, paths: list[Path]) -> None:
    """Refuse class folders with a label file about their images: which of the two is right?"""
    if speaks_of(label_file, {path.relative_to(folder).as_posix() for path in paths}):
        raise InvalidInputError(
            "labels are class folders or a label file, not both",
            received=f"{folder} with class folders and {label_file.name}",
            remedy=f"give {label_file} as DATA for its labels, or move it away for those of the "
            "folders",
        )


KIND = DatasetKind(
    name="folder",
    syntax="FOLDER[:SPLIT]",
    summary="folder of class folders with images, or of images (labels, if any, in a labels.csv or "
    "labels.json inside or beside it); SPLIT is a folder inside it, or `unlabelled`: all images in "
    "it and below, without labels",
    matches=lambda text: Path(text).is_dir(),
    open=open_folder,
    referenced=label_files_beside,
    order=90,
)
