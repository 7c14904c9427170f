"""What decoding changes in image files, told from their headers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    from calibration_data.datasets.base import Dataset

TURNED = "were turned upright, as their EXIF orientation says"
SIXTEEN_BITS = "had 16 bits per channel, of which the upper 8 are used"
TRANSPARENT = "had transparency, which was dropped"
PALETTE = "had a palette, converted to RGB by Pillow"

_ORIENTATION = 0x0112
_PLAIN_MODES = ("RGB", "L", "1", "RGBA", "LA", "PA", "P")
"""Modes that need no remark of their own: grey and black-and-white lose nothing."""


def conversions_of(image: Image.Image) -> tuple[str, ...]:
    """What changes when an opened image becomes 8-bit RGB: predicates of a sentence.

    Args:
        image: opened by Pillow; its pixels need not be loaded.
    """
    changes = []
    if _is_turned(image):
        changes.append(TURNED)
    if _has_sixteen_bits(image):
        changes.append(SIXTEEN_BITS)
    elif image.mode not in _PLAIN_MODES:
        changes.append(f"were {image.mode}, converted to RGB by Pillow")
    if image.mode in ("P", "PA"):
        changes.append(PALETTE)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        changes.append(TRANSPARENT)
    return tuple(changes)


def conversion_remarks(dataset: Dataset) -> tuple[str, ...]:
    """Sentences about what decoding changes in a dataset, without full stops; most images first.

    Reads the header of every file.

    Raises:
        InvalidInputError: a file that is no image.
    """
    if dataset.conversions is None:
        return ()
    counts = Counter(c for i in range(len(dataset)) for c in dataset.conversions(i))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(
        f"{count:,} of {len(dataset):,} images "
        f"{change.replace('were ', 'was ', 1) if count == 1 else change}"
        for change, count in ordered
    )


def eight_bits(image: Image.Image) -> Image.Image:
    """A 16-bit grey PPM as I;16, which Pillow opens as 32-bit integers; other images unchanged."""
    if image.mode == "I" and _has_sixteen_bits(image):
        return image.convert("I;16")
    return image


def _is_turned(image: Image.Image) -> bool:
    if image.format == "PNG" and not {"exif", "xmp"} & image.info.keys():
        return False  # Pillow would decode the pixels to look for metadata behind them
    return image.getexif().get(_ORIENTATION, 1) in range(2, 9)


def _has_sixteen_bits(image: Image.Image) -> bool:
    """Whether the file stores 16 bits per channel, whatever mode Pillow opens it in."""
    if image.mode.startswith("I;16"):
        return True
    parameters = [tile[3] for tile in getattr(image, "tile", ())]
    if image.format == "PPM":
        return any(";16" in str(p) or _maxval(p) > 255 for p in parameters)
    return any(";16" in str(p) for p in parameters)


def _maxval(parameters: object) -> int:
    """Largest value of a PPM's channels; 255 where its decoder is given none."""
    last = parameters[-1] if isinstance(parameters, tuple) and parameters else 255
    return last if isinstance(last, int) else 255
