"""Image folders with one folder per class (the layout of torchvision's ImageFolder and Keras)."""

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
"""Pillow's decoders for these suffixes; a decoder is chosen by the content of a file.

By default Pillow tries all of its decoders, and passes an EPS to Ghostscript, which runs it as a
program. MPO, which some phones write as .jpg, is part of JPEG.
"""


def decode_file(path: Path) -> Image.Image:
    """Decode an image file to RGB and rotate it by its EXIF orientation.

    Raises:
        InvalidInputError: an empty, truncated or damaged file, or one that is not of ``FORMATS``.
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


def _open(text: str, split: str | None) -> Dataset:
    folder = _split_folder(text, split)
    folders = _class_folders(text, folder)
    _refuse_odd_names(folders)
    images = [(path.name, _images(path)) for path in folders]
    classes = [(name, files) for name, files in images if files]
    if len(classes) < 2:
        raise InvalidInputError(
            "an image folder holds one folder per class, at least two of them with images",
            received=f"{folder} with {len(classes)}",
            remedy="sort the images into class folders"
            + (f", or add a split such as {text}:{classes[0][0]}" if _nested(folder) else ""),
        )
    names = tuple(name for name, _ in images)
    paths = [path for _, files in images for path in files]
    labels = [number for number, (_, files) in enumerate(images) for _ in files]
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
