"""Small PNG files of images, for pages."""

from __future__ import annotations

import io
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

SIDE = 64
"""Largest length of the longer side in pixels."""
COLOURS = 128
"""Colours of a picture that is no exact copy, which take a third of the bytes of all."""


def short_name(name: str) -> str:
    """Last two parts of a path; the rest of it would tell readers about the machine."""
    return "/".join(PurePath(name).parts[-2:])


def visible(values: np.ndarray) -> np.ndarray:
    """Any example as an RGB picture.

    Grey and single channels are repeated; of other channels the first three are shown. Numbers that
    are no pixels are scaled from black, the smallest, to white; a series runs from left to right,
    and a vector is one row.

    Args:
        values: as ``Preprocessing.pixels`` returns them: uint8 ``[height, width, n]``, or float32
            of one to three axes.

    Returns:
        uint8 ``[height, width, 3]``.
    """
    import numpy as np

    if values.dtype != np.uint8:
        low, high = float(values.min()), float(values.max())
        values = np.rint(255 * (values - low) / max(high - low, 1e-30)).astype(np.uint8)
    if values.ndim == 1:
        values = values[None]
    elif values.ndim == 2:
        values = values.T  # [time, features] -> [features, time]
    if values.ndim == 2:
        values = values[..., None]
    shown = values[..., :3] if values.shape[-1] >= 3 else values[..., :1]
    return np.repeat(shown, 3, axis=-1) if shown.shape[-1] == 1 else shown


def png(pixels: np.ndarray, side: int = SIDE) -> bytes:
    """Picture as PNG, scaled down if it is large; one Pillow version gives equal bytes.

    Args:
        pixels: uint8 ``[height, width, 3]``, RGB.
        side: largest length of the longer side in pixels.

    Returns:
        PNG bytes. A small picture keeps its pixels, and is grey if all of them are; one that was
        scaled down has few colours.
    """
    from PIL import Image

    image = Image.fromarray(pixels)
    scaled = max(image.size) > side
    if scaled:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    if (pixels == pixels[..., :1]).all():
        image = image.convert("L")
    elif scaled:
        image = image.quantize(COLOURS)
    return _encoded(image)


def png_of_few_colours(image: Image) -> bytes:
    """PNG of an RGB picture in ``COLOURS`` colours."""
    return _encoded(image.quantize(COLOURS))


def _encoded(image: Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
