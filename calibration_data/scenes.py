"""Scenes of garments on textured grounds, with boxes and masks, for detectors and segmenters.

Every scene is computed from the shipped Fashion-MNIST images and its number alone. Random numbers
are raw words of PCG64, whose stream NumPy keeps for good, and all arithmetic is on integers, so
that the same number gives the same bytes on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

SIDE = 160
"""Height and width of a scene in pixels."""

_SMALLEST, _LARGEST = 48, 104
"""Side in pixels to which the 28 pixels of a garment are enlarged."""
_MOST_GARMENTS = 4
_VISIBLE = 40
"""Smallest grey level of a garment's pixel; darker ones are the ground."""
_DARKEST = 40
"""Share of its colour, of 255, that a garment's darkest visible pixel has at least."""
_PALEST = 144
"""Smallest level of a garment's colour."""
_GROUND = 136
"""Number of levels, from 0, of the ground's colours: the ground is darker than the garments."""
_TRIES = 24
"""Places that are tried for a garment before it is left out."""


@dataclass(frozen=True, eq=False)
class Scene:
    """One scene.

    Attributes:
        image: uint8 ``[side, side, 3]``, RGB.
        mask: uint8 ``[side, side]``: 0 for the ground, 1 + class elsewhere.
        boxes: int64 ``[n, 4]``: top, left, bottom and right of each garment in pixels; bottom and
            right are the first row and column outside.
        labels: int64 ``[n]``, class of each garment.
    """

    image: np.ndarray
    mask: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray


@dataclass
class _Dice:
    """Whole numbers from a seed."""

    seed: int

    @cached_property
    def _words(self) -> np.random.PCG64:
        return np.random.PCG64(self.seed)

    def below(self, limit: int) -> int:
        """One number from 0 to ``limit - 1``."""
        return int(self._words.random_raw()) % limit

    def between(self, low: int, high: int) -> int:
        """One number from ``low`` to ``high``, both included."""
        return low + self.below(high - low + 1)

    def levels(self, *shape: int) -> np.ndarray:
        """Numbers from 0 to 255, int64 of a shape."""
        words = self._words.random_raw(int(np.prod(shape)))
        return (words % 256).astype(np.int64).reshape(shape)


@dataclass(frozen=True, eq=False)
class Wardrobe:
    """Garments of one split, and the scenes that are made of them.

    Attributes:
        images: uint8 ``[garments, 28, 28]``.
        labels: class of each garment, ``[garments]``.
        seed: first number of the split's scenes, so that no two splits share a ground.
    """

    images: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    seed: int

    def scene(self, number: int) -> Scene:
        """Scene of a number, always the same."""
        dice = _Dice(self.seed + number)
        image = _ground(dice)  # [side, side, 3]
        mask = np.zeros((SIDE, SIDE), np.uint8)
        boxes: list[tuple[int, int, int, int]] = []
        labels: list[int] = []
        for _ in range(dice.between(1, _MOST_GARMENTS)):
            garment = dice.below(len(self.images))
            grey = _enlarged(self.images[garment], dice.between(_SMALLEST, _LARGEST))
            colour = _PALEST + dice.levels(3) * (256 - _PALEST) // 256
            visible = grey >= _VISIBLE
            place = _place(dice, visible, boxes)
            if place is None:
                continue
            top, left = place
            area = (slice(top, top + len(grey)), slice(left, left + len(grey)))
            shade = _DARKEST + grey[..., None].astype(np.int64) * (255 - _DARKEST) // 255
            painted = shade * colour // 255
            image[area] = np.where(visible[..., None], painted, image[area])
            mask[area] = np.where(visible, 1 + self.labels[garment], mask[area])
            boxes.append(_box(visible, top, left))
            labels.append(int(self.labels[garment]))
        return Scene(
            image.astype(np.uint8),
            mask,
            np.array(boxes, np.int64).reshape(-1, 4),
            np.array(labels, np.int64),
        )


def _enlarged(grey: np.ndarray, side: int) -> np.ndarray:
    from PIL import Image

    resized = Image.fromarray(grey).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def _ground(dice: _Dice) -> np.ndarray:
    """Ground of two colours, int64 ``[side, side, 3]``: blurred noise, stripes and grain."""
    first, second = dice.levels(3) * _GROUND // 256, dice.levels(3) * _GROUND // 256
    mixture = np.zeros((SIDE, SIDE), np.int64)  # 0 to 255: share of the second colour
    for cells in (3, 8, 20):
        coarse = dice.levels(cells, cells).astype(np.uint8)
        mixture += _stretched(coarse)
    mixture //= 3
    period = dice.between(6, 40)
    rows, columns = np.indices((SIDE, SIDE))
    slope = dice.between(-3, 3)
    stripes = ((rows * slope + columns * dice.between(0, 3)) // period) % 2 * dice.below(96)
    grain = dice.levels(SIDE, SIDE) * dice.below(64) // 256
    share = np.clip(mixture + stripes + grain, 0, 255)[..., None]
    ground: np.ndarray = (first * (255 - share) + second * share) // 255
    return ground


def _stretched(coarse: np.ndarray) -> np.ndarray:
    from PIL import Image

    resized = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(resized).astype(np.int64)


def _place(
    dice: _Dice, visible: np.ndarray, boxes: list[tuple[int, int, int, int]]
) -> tuple[int, int] | None:
    """Top and left at which a garment's box meets no other box; None if no try finds one."""
    if not visible.any():
        return None
    for _ in range(_TRIES):
        top, left = dice.below(SIDE - len(visible) + 1), dice.below(SIDE - len(visible) + 1)
        box = _box(visible, top, left)
        if not any(_meet(box, other) for other in boxes):
            return top, left
    return None


def _box(visible: np.ndarray, top: int, left: int) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    return (
        top + int(rows[0]),
        left + int(columns[0]),
        top + int(rows[-1]) + 1,
        left + int(columns[-1]) + 1,
    )


def _meet(box: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]
