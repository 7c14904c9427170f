"""Small PNG files of images, for pages."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SIDE = 64
"""Largest length of the longer side in pixels."""
_COLORS = 128


def png(pixels: np.ndarray, side: int = SIDE) -> bytes:
    """Picture as PNG, scaled down if it is large; one Pillow version gives equal bytes.

    Args:
        pixels: uint8 ``[height, width, 3]``, RGB.
        side: largest length of the longer side in pixels.

    Returns:
        PNG bytes. A small picture keeps its pixels, and is grey if all of them are; one that was
        scaled down has 128 colours, which takes a third of the bytes.
    """
    from PIL import Image

    image = Image.fromarray(pixels)
    scaled = max(image.size) > side
    if scaled:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    if (pixels == pixels[..., :1]).all():
        image = image.convert("L")
    elif scaled:
        image = image.quantize(_COLORS)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
