"""Maps of segmenters on photos whose masks are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calibration_data.annotations import MaskTruth
from calibration_data.datasets.base import Dataset, SplitRole
from calibration_data.preprocessing import Crop, Preprocessing
from evaluation.mask_rows import MaskRows, reduction

SIDE = 12
LABELS = ("background", "cat", "dog")
CONTRACT = Preprocessing((SIDE, SIDE), Crop.STRETCH, labels=LABELS)


@dataclass(frozen=True, eq=False)
class Photos:
    """A batch of photos of one size."""

    images: np.ndarray
    labels: np.ndarray | None
    indices: np.ndarray
    sizes: np.ndarray


def photos(count: int, height: int = SIDE, width: int = SIDE) -> Photos:
    """A batch of black photos."""
    images = np.zeros((count, SIDE, SIDE, 3), np.float32)
    return Photos(images, None, np.arange(count), np.tile([[height, width]], (count, 1)))


def masked(masks: np.ndarray | None, *, names: tuple[str, ...] = ()) -> Dataset:
    """Dataset of black photos with masks ``[n, h, w]``; None for photos without."""
    truth = None if masks is None else MaskTruth(lambda i: masks[i], names)
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    count = 2 if masks is None else len(masks)
    return Dataset("masks", SplitRole.TEST, None, (), lambda _: picture, count=count, masks=truth)


def scores_of(masks: np.ndarray, classes: int = 3) -> np.ndarray:
    """Maps whose answer is a mask, float32 ``[n, h, w, classes]``."""
    maps: np.ndarray = 4 * np.eye(classes, dtype=np.float32)[masks] - 1
    return maps


def rows_of(
    maps: Mapping[str, np.ndarray],
    masks: np.ndarray | None,
    contract: Preprocessing = CONTRACT,
    size: tuple[int, int] | None = None,
) -> dict[str, np.ndarray]:
    """What is kept of maps ``[n, h, w, classes]`` by the network's name."""
    count = len(next(iter(maps.values())))
    if size is None:
        size = (SIDE, SIDE) if masks is None else masks.shape[1:3]
    reduced = reduction(masked(masks), contract, ("scores",))
    arrays = {name: (values,) for name, values in maps.items()}
    return dict(reduced(arrays, photos(count, *size)))


def drawn_masks(n: int, *, seed: int = 0) -> MaskRows:
    """Masks of a file near those of a float network, that both are mostly right about."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 3, (n, 3, 3))
    truth = coarse.repeat(4, axis=1).repeat(4, axis=2)
    exact = scores_of(truth) + rng.normal(0, 2, (n, SIDE, SIDE, 3)).astype(np.float32)
    moved = exact + rng.normal(0, 1.5, exact.shape).astype(np.float32)
    rows = rows_of({"float": exact, "file": moved}, truth.astype(np.uint8))
    return MaskRows(rows["file"], np.arange(n), rows["float"])
