"""Small PNG files of images, for pages."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SIDE = 64
"""Pixels of the longer side at most."""
_COLORS = 128


def png(pixels: np.ndarray, side: int = SIDE) -> bytes:
    """A picture as PNG, scaled down if need be; equal pixels give equal bytes with one Pillow.

    Args:
        pixels: uint8 ``[height, width, 3]``, RGB.
        side: of the longer side at most, in pixels.

    Returns:
        Small pictures as they are, in grey where they are grey; those that were scaled down with
        128 colours, which is a third of their bytes.
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
