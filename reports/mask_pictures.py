"""Pictures of masks: on the photo, and where two of them differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reports.pictures import png_of_few_colours

SIDE = 176
"""Largest side in pixels of each of the three pictures."""
_GAP = 4
_SHARE = 0.55
"""Opacity of a class on the photo."""
_DIFFERENT = (230, 0, 110)


def class_colours(count: int, palette: Sequence[tuple[int, int, int]] = ()) -> np.ndarray:
    """Colours of classes, uint8 ``[count, 3]``: the palette, or those of Pascal VOC.

    The bits of a class number are dealt to red, green and blue in turn, the lowest first, into the
    highest bit that is free. Source: VOClabelcolormap of the VOC development kit (Everingham et al.
    2015, International Journal of Computer Vision 111:98-136).
    """
    if len(palette) >= count:
        return np.array(palette[:count], np.uint8)
    colours = np.zeros((count, 3), np.uint8)
    numbers = np.arange(count)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((numbers >> (3 * bit + channel) & 1) << (7 - bit)).astype(
                np.uint8
            )
    return colours


def mask_comparison(
    photo: np.ndarray, before: np.ndarray, after: np.ndarray, colours: np.ndarray
) -> bytes:
    """PNG of a photo with the float network's mask, with a file's mask, and with the differences.

    Args:
        photo: uint8 ``[height, width, 3]``.
        before: class of each pixel in float, ``[height, width]``; class 0 is not coloured.
        after: class of each pixel in the file.
        colours: colour of each class, uint8 ``[classes, 3]``.
    """
    from PIL import Image

    height, width = photo.shape[:2]
    factor = min(SIDE / max(height, width), 1.0)
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    small = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS))
    # A difference of single pixels stays visible: one of the pixels that are joined is enough.
    share = Image.fromarray((before != after).astype(np.uint8) * 255).resize(
        size, Image.Resampling.BOX
    )
    masks = [
        np.asarray(Image.fromarray(mask.astype(np.uint8)).resize(size, Image.Resampling.NEAREST))
        for mask in (before, after)
    ]
    pictures = [_tinted(small, colours[mask], mask > 0, _SHARE) for mask in masks]
    grey = np.repeat(small.mean(axis=2, keepdims=True), 3, axis=2) * 0.5 + 90
    pictures.append(_tinted(grey, np.array(_DIFFERENT), np.asarray(share) > 0, 0.9))
    gap = np.full((size[1], _GAP, 3), 255, np.uint8)
    whole = np.concatenate([pictures[0], gap, pictures[1], gap, pictures[2]], axis=1)
    return png_of_few_colours(Image.fromarray(whole))


def _tinted(
    pixels: np.ndarray, colours: np.ndarray, where: np.ndarray, opacity: float
) -> np.ndarray:
    mixed = (1 - opacity) * pixels + opacity * colours
    tinted: np.ndarray = np.where(where[..., None], mixed, pixels).round().astype(np.uint8)
    return tinted
