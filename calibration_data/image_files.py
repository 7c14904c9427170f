"""Image files on disk: decoded to RGB or RGBA, and made into a dataset."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from calibration_data.conversions import conversions_of, eight_bits
from calibration_data.datasets.base import Dataset, SplitRole
from calibration_data.pixels import has_alpha, to_rgb
from calibration_data.targets import Targets
from foundation.errors import InvalidInputError
from foundation.foreign import printable, reading, require_regular

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm")


FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM")
"""Pillow's decoders for these suffixes; a decoder is chosen by the content of a file.

By default Pillow tries all of its decoders, and passes an EPS to Ghostscript, which runs it as a
program. MPO, which some phones write as .jpg, is part of JPEG.
"""
_READABLE = ("every image of a dataset can be decoded", "replace or delete that file")
"""Rule, and what to do about an image that breaks it."""
_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)
"""EXIF tag of the orientation, and its values that exchange rows and columns."""


def decode_file(path: Path) -> Image.Image:
    """Decode an image file and rotate it by its EXIF orientation.

    Returns:
        RGB, or RGBA where the file has transparency, which most contracts drop.

    Raises:
        InvalidInputError: an empty, truncated or damaged file, or one that is not of ``FORMATS``.
    """
    with _opened(path) as image:
        return _upright(image)


def decode_bytes(content: bytes, shown: str) -> Image.Image:
    """As ``decode_file``, for the content of a file that messages call ``shown``."""
    with _read(BytesIO(content), shown) as image:
        return _upright(image)


def bytes_conversions(content: bytes, shown: str) -> tuple[str, ...]:
    """As ``header_conversions``, for the content of a file that messages call ``shown``."""
    with _read(BytesIO(content), shown) as image:
        return conversions_of(image)


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    try:
        upright = ImageOps.exif_transpose(eight_bits(image))
        return upright.convert("RGBA") if has_alpha(upright) else to_rgb(upright)
    except InvalidInputError as error:
        raise ValueError(error.received) from error


def header_conversions(path: Path) -> tuple[str, ...]:
    """What ``decode_file`` changes in an image, from its header alone.

    Raises:
        InvalidInputError: a file that is not of ``FORMATS``.
    """
    with _opened(path) as image:
        return conversions_of(image)


def upright_size(path: Path) -> tuple[int, int]:
    """Height and width of what ``decode_file`` returns, from the header alone.

    Raises:
        InvalidInputError: a file that is not of ``FORMATS``.
    """
    with _opened(path) as image:
        turned = image.getexif().get(_ORIENTATION, 1) in _SIDEWAYS
        width, height = image.size[::-1] if turned else image.size
        return height, width


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image file with its header read; whatever Pillow raises in the block is one sentence."""
    require_regular(path, *_READABLE)
    with _read(path, path) as image:
        yield image


@contextmanager
def _read(source: Path | BytesIO, shown: Path | str) -> Iterator[Image.Image]:
    """An image with its header read, from a file or from its content."""
    from PIL import Image

    with (
        reading(shown, *_READABLE, raised=(Image.DecompressionBombError,)),
        Image.open(source, formats=FORMATS) as image,
    ):
        yield image


def from_paths(
    name: str,
    role: SplitRole,
    paths: Sequence[Path],
    labels: np.ndarray | None = None,
    class_names: tuple[str, ...] = (),
    targets: tuple[Targets, ...] = (),
) -> Dataset:
    """The dataset of image files.

    Args:
        name: DATA as the user wrote it.
        role: purpose for which the split may be used.
        paths: the files, in the order of the images.
        labels: int64 ``[n]``; None for images without labels.
        class_names: name of each class that ``labels`` counts.
        targets: true values that are not class numbers.
    """
    return Dataset(
        name=name,
        role=role,
        labels=labels,
        class_names=class_names,
        decode=lambda i: decode_file(paths[i]),
        describe=lambda i: str(paths[i]),
        content=lambda i: paths[i].read_bytes(),
        content_size=lambda i: paths[i].stat().st_size,
        conversions=lambda i: header_conversions(paths[i]),
        count=len(paths),
        targets=targets,
    )


def spread(count: int, most: int) -> list[int]:
    """At most ``most`` of the places from 0 to ``count - 1``, evenly spread over all."""
    return [i * count // min(count, most) for i in range(min(count, most))]


def listed_files(source: Path, names: Sequence[str]) -> list[Path]:
    """The image files that a list names, each of them checked without being opened.

    Args:
        source: the list; names are relative to its folder.
        names: as they stand in the list.

    Raises:
        InvalidInputError: a name outside the list's folder, one that occurs twice, or one that is
            no regular file.
    """
    folder = Path(os.path.abspath(source.parent))  # noqa: PTH100 - links stay as they are
    remedy = f"correct that line of {printable(source)}"
    seen: set[Path] = set()
    paths = []
    for name in names:
        path = Path(os.path.normpath(folder / name))
        if not path.is_relative_to(folder):
            raise InvalidInputError(
                "a list names images in its own folder or below it",
                received=f"{printable(source)} with {printable(name)}",
                remedy="move the list, or copy the images beside it",
            )
        if path in seen:
            raise InvalidInputError(
                "a list names each image once",
                received=f"{printable(source)} with {printable(name)} more than once",
                remedy="delete the repeated lines",
            )
        seen.add(path)
        shown = source.parent / path.relative_to(folder)
        paths.append(require_regular(shown, "a list names image files", remedy))
    return paths
