"""Channels of an image: their names, their number, and the conversion of an image to them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from calibration_data.pixels import checked_array, grey_of, has_alpha, rgb_of, to_grey, to_rgb
from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

MOST_CHANNELS = 1024
"""Largest number of channels of an image; hyperspectral cameras have a few hundred."""


COLOURS = 3
"""Number of channels of RGB and BGR."""


class ChannelOrder(StrEnum):
    """Channels of an image that have a name, in the order of the tensor."""

    RGB = "rgb"
    BGR = "bgr"
    GREY = "grey"
    """One channel: the luminance of a colour image, as in Pillow's mode L."""


Channels = ChannelOrder | int
"""Named channels, or a number of channels without names: 2, or 4 and more."""

CHANNELS_SYNTAX = "rgb, bgr, grey or a number of channels"


def parsed_channels(value: Any) -> Channels:
    """Channels from a name or a number; 1 is grey and 3 is RGB.

    Raises:
        ValueError: another name, or a number out of range.
    """
    if isinstance(value, str) and not value.isdecimal():
        return ChannelOrder("grey" if value == "gray" else value)
    count = int(value) if isinstance(value, str) else value
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_CHANNELS:
        raise ValueError(f"channels = {value!r}, which is not {CHANNELS_SYNTAX}")
    return {1: ChannelOrder.GREY, COLOURS: ChannelOrder.RGB}.get(count, count)


def channels_of(count: int) -> Channels:
    """Channels that an image with this number of them has where nothing else is stated."""
    return parsed_channels(count)


def channel_count(channels: Channels) -> int:
    """Number of channels."""
    if isinstance(channels, int):
        return channels
    return 1 if channels is ChannelOrder.GREY else COLOURS


def plain_channels(channels: Channels) -> str | int:
    """Channels as a plain value for TOML and JSON."""
    return channels.value if isinstance(channels, ChannelOrder) else channels


def channels_name(channels: Channels) -> str:
    """Channels as part of a name: ``grey``, ``4_channels``."""
    return channels.value if isinstance(channels, ChannelOrder) else f"{channels}_channels"


def picture_with(image: np.ndarray | Image.Image, channels: Channels) -> Image.Image | np.ndarray:
    """An image with the channels of a contract; colours are in the order RGB.

    Args:
        image: a Pillow image, or uint8 ``[height, width]`` or ``[height, width, n]``.
        channels: channels to have.

    Returns:
        A Pillow image in RGB or L, or uint8 ``[height, width, n]`` for channels without names.

    Raises:
        InvalidInputError: a number of channels that cannot become these.
    """
    import numpy as np
    from PIL import Image

    if isinstance(channels, int):
        pixels = checked_array(image if isinstance(image, np.ndarray) else _all_channels(image))
        if pixels.shape[-1] != channels:
            raise InvalidInputError(
                f"the contract takes images with {channels} channels",
                received=f"{pixels.shape[-1]} channels",
                remedy="correct channels in the contract, or store the images with all of them "
                "(an array in an .npz or .npy)",
            )
        return pixels
    grey = channels is ChannelOrder.GREY
    if isinstance(image, np.ndarray):
        return Image.fromarray(grey_of(image) if grey else rgb_of(image))
    return to_grey(image) if grey else to_rgb(image)


def _all_channels(image: Image.Image) -> np.ndarray:
    """Pixels of an image file as it is: colours, and transparency where there is any."""
    import numpy as np

    return np.asarray(image.convert("RGBA") if has_alpha(image) else to_rgb(image))
