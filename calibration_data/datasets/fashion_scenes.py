"""Scenes made of the shipped garments: a set for detection and segmentation, see ``scenes``.

The splits share no garment: ``train``, ``development`` and ``test`` show the first 7,500, the next
500 and the last 2,000 of Fashion-MNIST's test split, ``calibration`` the shipped 1,000 of its
training split.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from calibration_data.annotations import Boxes, BoxTruth, MaskTruth
from calibration_data.datasets.base import (
    Dataset,
    DatasetKind,
    SplitRole,
    open_dataset,
    refuse_unknown_split,
)
from calibration_data.datasets.fashion_mnist import NAME as GARMENTS
from calibration_data.labels import BACKGROUND, FASHION_MNIST_LABELS
from calibration_data.scenes import Scene, Wardrobe

NAME = "fashion_scenes"

_REMEMBERED = 64
"""Number of scenes that an open dataset remembers, about 6 MB."""


@dataclass(frozen=True)
class SceneSplit:
    """A split of scenes.

    Attributes:
        garments: split of Fashion-MNIST that they show.
        first: first garment of that split.
        last: first garment that is no longer used; None for all that remain.
        seed: number of the first scene.
        count: number of scenes.
    """

    garments: str
    first: int
    last: int | None
    seed: int
    count: int


SPLITS = {
    "train": SceneSplit("test", 0, 7500, 1_000_000, 12_000),
    "development": SceneSplit("test", 7500, 8000, 4_000_000, 500),
    "calibration": SceneSplit("calibration", 0, None, 2_000_000, 500),
    "test": SceneSplit("test", 8000, None, 3_000_000, 1000),
}
"""Splits by name."""


def wardrobe(split: str) -> Wardrobe:
    """Garments of a split.

    Raises:
        InvalidInputError: no such split.
    """
    import numpy as np

    refuse_unknown_split(NAME, split, tuple(SPLITS))
    chosen = SPLITS[split]
    garments = open_dataset(f"{GARMENTS}:{chosen.garments}")
    last = len(garments) if chosen.last is None else chosen.last
    images = np.stack([np.asarray(garments.decode(i)) for i in range(chosen.first, last)])
    labels = garments.require_labels("a scene")[chosen.first : last]
    return Wardrobe(images, labels, chosen.seed)


def _open(text: str, split: str | None) -> Dataset:
    refuse_unknown_split(text, split, tuple(SPLITS))
    assert split is not None
    # Image, boxes and mask of a scene are asked for one after the other.
    scene = lru_cache(maxsize=_REMEMBERED)(wardrobe(split).scene)
    return Dataset(
        name=f"{text}:{split}",
        role=SplitRole.of(split),
        labels=None,
        class_names=(),
        decode=lambda i: scene(i).image,
        count=SPLITS[split].count,
        boxes=BoxTruth(lambda i: _boxes(scene(i)), FASHION_MNIST_LABELS),
        masks=MaskTruth(lambda i: scene(i).mask, (BACKGROUND, *FASHION_MNIST_LABELS)),
    )


def _boxes(scene: Scene) -> Boxes:
    return Boxes.of(scene.boxes, scene.labels)


KIND = DatasetKind(
    name="scenes",
    syntax="fashion_scenes:train|development|calibration|test",
    summary="garments on textured grounds, with boxes and masks, made of the shipped images",
    matches=lambda text: text == NAME,
    open=_open,
    examples=tuple(f"{NAME}:{split}" for split in SPLITS),
    order=6,
)
