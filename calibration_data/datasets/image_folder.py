"""A folder of class folders with images (the layout of torchvision's ImageFolder and of Keras)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calibration_data.datasets.base import Dataset, DatasetKind, SplitRole
from calibration_data.pixels import to_rgb
from foundation.errors import InvalidInputError
from foundation.foreign import printable, reading, reason_of, require_regular

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm")


FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM")
"""Pillow's decoders of these endings, by the content and not by the name.

Pillow has others, and asks all of them unless told: an EPS goes to Ghostscript, a programming
language. MPO, what some phones write as .jpg, comes with JPEG.
"""


def decode_file(path: Path) -> Image.Image:
    """Decode an image file to RGB, turned as its EXIF orientation says.

    Raises:
        InvalidInputError: empty, cut short, damaged, or no image of ``FORMATS``.
    """
    from PIL import Image, ImageOps

    rule, remedy = "every image of a dataset can be decoded", "replace or delete that file"
    require_regular(path, rule, remedy)
    with (
        reading(path, rule, remedy, raised=(Image.DecompressionBombError,)),
        Image.open(path, formats=FORMATS) as image,
    ):
        try:
            return to_rgb(ImageOps.exif_transpose(image))
        except InvalidInputError as error:
            raise ValueError(error.received) from error


def _split_folder(text: str, split: str | None) -> Path:
    root = Path(text)
    if split is None:
        return root
    if (root / split).is_dir():
        return root / split
    with reading(root, "an image folder can be read", "check its permissions"):
        there = sorted(p.name for p in root.iterdir() if p.is_dir())
    shown = ", ".join(there[:8]) + (", ..." if len(there) > 8 else "")
    raise InvalidInputError(
        f"the split of a folder is a folder inside it ({shown or 'none here'})",
        received=f"{text}:{split}",
        remedy="name one of those folders",
    )


def _images(folder: Path) -> list[Path]:
    found = []
    for place, folders, names in os.walk(folder, onerror=_refuse_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(place, name) for name in names if not name.startswith("."))
        found += [p for p in paths if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()]
    return sorted(found)


def _refuse_unreadable(error: OSError) -> None:
    """For ``os.walk``: a class that cannot be read must not be left out of the accuracy."""
    raise InvalidInputError(
        "every class folder of a dataset can be read",
        received=f"{printable(error.filename)} ({reason_of(error)})",
        remedy="change its permissions, or move it away",
    ) from error


def _refuse_odd_names(folders: list[Path]) -> None:
    """Names of classes become labels, which are lines of UTF-8 text."""
    odd = next((path for path in folders if printable(path.name) != path.name), None)
    if odd is not None:
        raise InvalidInputError(
            "names of class folders are printable UTF-8 text",
            received=printable(odd),
            remedy="rename that folder",
        )


def _class_folders(text: str, folder: Path) -> list[Path]:
    """Folders of the classes in order of name; refuses a folder that holds splits instead."""
    with reading(folder, "an image folder can be read", "check its permissions"):
        there = sorted(
            path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
        )
    if there and all(SplitRole.of(path.name) is not SplitRole.UNKNOWN for path in there):
        raise InvalidInputError(
            "an image folder holds one folder a class; folders of splits are no classes",
            received=f"{folder} with {', '.join(path.name for path in there)}",
            remedy=f"name a split: {text}:{there[0].name}",
        )
    return there


def _nested(folder: Path) -> bool:
    """Whether the folders inside hold folders in turn, as splits do."""
    return any(path.is_dir() for path in folder.glob("*/*"))


def _open(text: str, split: str | None) -> Dataset:
    folder = _split_folder(text, split)
    folders = _class_folders(text, folder)
    _refuse_odd_names(folders)
    found = [(path.name, _images(path)) for path in folders]
    classes = [(name, files) for name, files in found if files]
    if len(classes) < 2:
        raise InvalidInputError(
            "an image folder holds one folder a class, at least two of them with images",
            received=f"{folder} with {len(classes)}",
            remedy="sort the images into class folders"
            + (f", or add a split such as {text}:{classes[0][0]}" if _nested(folder) else ""),
        )
    names = tuple(name for name, _ in found)
    paths = [path for _, files in found for path in files]
    labels = [number for number, (_, files) in enumerate(found) for _ in files]
    return Dataset(
        name=str(folder) if split is None else f"{text}:{split}",
        role=SplitRole.of(folder.resolve().name),
        labels=np.asarray(labels, np.int64),
        class_names=names,
        decode=lambda i: decode_file(paths[i]),
        describe=lambda i: str(paths[i]),
        content=lambda i: paths[i].read_bytes(),
        content_size=lambda i: paths[i].stat().st_size,
    )


KIND = DatasetKind(
    name="folder",
    syntax="FOLDER[:SPLIT]",
    summary="folder of class folders with images; SPLIT is a folder inside it",
    matches=lambda text: Path(text).is_dir(),
    open=_open,
    order=90,
)
