"""Conversion of images of any mode or number of channels to 8-bit RGB or grey."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


def has_alpha(image: Image.Image) -> bool:
    """Whether a Pillow image has transparency, as a channel or in its palette."""
    palette = image.mode == "P" and "transparency" in image.info
    return image.mode in ("RGBA", "LA", "PA") or palette


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


def to_grey(image: Image.Image) -> Image.Image:
    """Convert a Pillow image of any mode to 8-bit grey by its luminance; transparency is dropped.

    The luminance is that of ITU-R 601-2, as Pillow's mode L has it; errors are those of ``to_rgb``.
    """
    return image if image.mode == "L" else to_rgb(image).convert("L")


def checked_array(pixels: np.ndarray) -> np.ndarray:
    """Check an image array and give it an axis of channels.

    Args:
        pixels: uint8 ``[height, width]`` or ``[height, width, n]``.

    Returns:
        uint8 ``[height, width, n]``.

    Raises:
        InvalidInputError: another dtype or rank, or no pixel.
    """
    import numpy as np

    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
        raise InvalidInputError(
            "an image array is uint8 [height, width, channels] with values 0..255",
            received=f"{pixels.dtype} {list(pixels.shape)}",
            remedy="store the pixels before any normalization: the contract does that; or, for "
            "numbers that are no image, state shape instead of size in the contract "
            "(--channels plain)",
        )
    require_area(*pixels.shape[:2])
    return pixels[..., None] if pixels.ndim == 2 else pixels


def rgb_of(pixels: np.ndarray) -> np.ndarray:
    """Check an image array and bring it to three channels.

    Args:
        pixels: uint8 ``[height, width]``, ``[height, width, 1]`` or ``[height, width, 3]``.

    Returns:
        uint8 ``[height, width, 3]``; a grey channel is repeated.

    Raises:
        InvalidInputError: another dtype, rank or number of channels, or no pixel.
    """
    import numpy as np

    pixels = checked_array(pixels)
    _refuse_unnamed(pixels)
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels


def grey_of(pixels: np.ndarray) -> np.ndarray:
    """Check an image array and bring it to one channel.

    Args:
        pixels: uint8 ``[height, width]``, ``[height, width, 1]`` or ``[height, width, 3]`` (RGB).

    Returns:
        uint8 ``[height, width]``: the grey channel, or the luminance of the colours.

    Raises:
        InvalidInputError: another dtype, rank or number of channels, or no pixel.
    """
    import numpy as np
    from PIL import Image

    pixels = checked_array(pixels)
    _refuse_unnamed(pixels)
    if pixels.shape[-1] == 1:
        return pixels[..., 0]
    return np.asarray(Image.fromarray(pixels).convert("L"))


def _refuse_unnamed(pixels: np.ndarray) -> None:
    """Refuse channels that are neither grey nor RGB."""
    if pixels.shape[-1] not in (1, 3):
        raise InvalidInputError(
            "an image array has one channel (grey) or three (RGB)",
            received=f"{pixels.shape[-1]} channels",
            remedy=f"convert the images, or state channels = {pixels.shape[-1]} in the contract",
        )
