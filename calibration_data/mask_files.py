"""Mask files: images whose pixels are class numbers, or the colours of classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foundation.errors import InvalidInputError
from foundation.foreign import printable, reading, require_regular

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

SUFFIXES = (".png", ".bmp", ".gif", ".tif", ".tiff")
"""Formats that keep numbers as they are, which JPEG does not."""
_FORMATS = ("PNG", "BMP", "GIF", "TIFF")
_RULE = "a mask is an image of class numbers (grey, or with a palette) or of the classes' colours"
_REMEDY = "replace that file"


def read_mask(path: Path) -> np.ndarray:
    """Read a mask: the numbers of a grey image or of one with a palette, or the colours of others.

    The palette of a file colours its numbers and is passed over, as in Pascal VOC.

    Returns:
        uint8 ``[height, width]`` of numbers, or ``[height, width, 3]`` of colours.

    Raises:
        InvalidInputError: a file that is not of ``SUFFIXES``'s formats, or numbers above 255.
    """
    from PIL import Image

    require_regular(path, _RULE, _REMEDY)
    with (
        reading(path, _RULE, _REMEDY, raised=(Image.DecompressionBombError,)),
        Image.open(path, formats=_FORMATS) as image,
    ):
        return _values(image)


def mask_size(path: Path) -> tuple[int, int]:
    """Height and width of a mask, from its header alone.

    Raises:
        InvalidInputError: a file that is not of ``SUFFIXES``'s formats.
    """
    from PIL import Image

    require_regular(path, _RULE, _REMEDY)
    with (
        reading(path, _RULE, _REMEDY, raised=(Image.DecompressionBombError,)),
        Image.open(path, formats=_FORMATS) as image,
    ):
        return image.height, image.width


def _values(image: Image.Image) -> np.ndarray:
    import numpy as np

    if image.mode in ("P", "L", "1"):
        return np.asarray(image).astype(np.uint8)
    if image.mode in ("LA", "PA"):
        return np.asarray(image)[..., 0]
    if image.mode in ("RGB", "RGBA"):
        return np.asarray(image)[..., :3]
    numbers = np.asarray(image)
    if numbers.ndim != 2 or numbers.dtype.kind not in "iu" or not 0 <= numbers.max() <= 255:
        raise ValueError(f"mode {image.mode}, with numbers up to {numbers.max()}")
    return numbers.astype(np.uint8)


def require_mask_size(mask: Sequence[int], photo: Sequence[int], name: str) -> None:
    """Refuse a mask of another height and width than its photo.

    Args:
        mask: height and width of the mask.
        photo: height and width of the photo.
        name: name of the photo, for messages.
    """
    if tuple(mask) != tuple(photo):
        raise InvalidInputError(
            "a mask has the height and width of its photo",
            received=f"{mask[0]}x{mask[1]} for {name} of {photo[0]}x{photo[1]}",
            remedy="make the mask again at the size of the photo (one that is turned by EXIF "
            "has the size that is seen)",
        )


def masks_of(photos: Sequence[Path], folder: Path, remedy: str) -> list[Path]:
    """Mask of each photo in a folder: the file of its name.

    Args:
        photos: image files.
        folder: folder of masks.
        remedy: what to do about photos without a mask.

    Raises:
        InvalidInputError: a photo without a mask.
    """
    known = masks_by_name(folder)
    found = [known.get(photo.stem, known.get(photo.name)) for photo in photos]
    missing = [photo for photo, mask in zip(photos, found, strict=True) if mask is None]
    if missing:
        if len(missing) == len(photos):
            remedy = "give the folder with the masks of these photos; JPEG does not keep numbers"
        raise InvalidInputError(
            f"each photo has a mask of its name ({', '.join(SUFFIXES)})",
            received=f"{len(missing)} of {len(photos)} photos without one in {printable(folder)}, "
            f"the first of them {printable(missing[0].name)}",
            remedy=remedy,
        )
    return [mask for mask in found if mask is not None]


def masks_by_name(folder: Path) -> dict[str, Path]:
    """Mask files of a folder by their names without the ending."""
    with reading(folder, "a folder of masks can be read", "check its permissions"):
        return {
            path.stem: path
            for path in sorted(folder.iterdir())
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
        }
