"""Conversion of images of any mode or number of channels to 8-bit RGB."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a Pillow image of any mode to 8-bit RGB; transparency is dropped.

    16-bit grey keeps its high byte, as 16-bit colour does in Pillow.

    Raises:
        InvalidInputError: 32-bit values, whose range is unknown, or a mode without colours.
    """
    import numpy as np
    from PIL import Image

    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.uint16)
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    try:
        if image.mode in ("I", "F"):
            raise ValueError("32 bits per pixel")
        if image.mode == "P" and "transparency" in image.info:
            return image.convert("RGBA").convert("RGB")
        return image.convert("RGB")
    except ValueError as error:
        raise InvalidInputError(
            "an image has 8 or 16 bits per channel and colours that become RGB",
            received=f"mode {image.mode} ({error})",
            remedy="convert the images to 8-bit RGB",
        ) from error


def require_area(height: int, width: int) -> None:
    """Refuse an image without pixels, which Pillow would resize to a black image.

    Raises:
        InvalidInputError: an image without rows or without columns.
    """
    if height < 1 or width < 1:
        raise InvalidInputError(
            "an image has at least one row and one column of pixels",
            received=f"{height}x{width}",
            remedy="delete it, or store its pixels",
        )


def rgb_array(pixels: np.ndarray) -> np.ndarray:
    """Check an image array and bring it to three channels.

    Args:
        pixels: uint8 ``[height, width]``, ``[height, width, 1]`` or ``[height, width, 3]``.

    Returns:
        uint8 ``[height, width, 3]``; a grey channel is repeated.

    Raises:
        InvalidInputError: another dtype, rank or number of channels, or no pixel.
    """
    import numpy as np

    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
        raise InvalidInputError(
            "an image array is uint8 [height, width, channels] with values 0..255",
            received=f"{pixels.dtype} {list(pixels.shape)}",
            remedy="store the pixels before any normalization: the contract does that",
        )
    require_area(*pixels.shape[:2])
    if pixels.ndim == 2:
        pixels = pixels[..., None]  # [height, width, 1]
    if pixels.shape[-1] == 1:
        return np.repeat(pixels, 3, axis=-1)
    if pixels.shape[-1] != 3:
        raise InvalidInputError(
            "an image array has one channel (grey) or three (RGB)",
            received=f"{pixels.shape[-1]} channels",
            remedy="convert the images to RGB",
        )
    return pixels
