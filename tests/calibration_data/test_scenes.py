"""Scenes of garments: the same bytes everywhere, boxes and masks that agree, separate splits."""

from __future__ import annotations

import hashlib
from itertools import combinations

import numpy as np
import pytest

from calibration_data.datasets.base import open_dataset
from calibration_data.datasets.fashion_scenes import NAME, SPLITS, wardrobe
from calibration_data.labels import BACKGROUND, FASHION_MNIST_LABELS
from calibration_data.scenes import SIDE, Scene

DIGESTS = {
    "train": "719d3c5b6e42ea074cc41438bdb0afdff3d708463b77d85fca0ccf2a2a47079a",
    "development": "1f637426f3f80ba53a3782f981886ce9b9ff45d5e9a7b7dabc4fb086b70226d3",
    "calibration": "6ef7e166ab7153bd4741d63f4a1ca2ab072089c28f42c66cdfb9e57a4543d2e2",
    "test": "48b14a296c10d76772ce30fe614e384a7d3a281bff7fcfbf5571ad3af9aa1ad3",
}
"""Sha256 of the first three scenes: image, mask, boxes, labels. Weights were trained on these."""


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    garments = wardrobe("development")
    return [garments.scene(number) for number in range(40)]


def _digest(scenes: list[Scene]) -> str:
    digest = hashlib.sha256()
    for scene in scenes:
        for values in (scene.image, scene.mask, scene.boxes, scene.labels):
            digest.update(values.tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("split", SPLITS)
def test_the_same_number_gives_the_same_bytes_in_any_order(split: str) -> None:
    garments = wardrobe(split)
    made = {number: garments.scene(number) for number in (2, 0, 1)}
    assert _digest([made[number] for number in range(3)]) == DIGESTS[split]
    assert _digest([garments.scene(1)]) == _digest([made[1]])


def test_splits_share_no_garment_and_no_ground() -> None:
    shown = {split: {image.tobytes() for image in wardrobe(split).images} for split in SPLITS}
    for one, two in combinations(SPLITS, 2):
        common = len(shown[one] & shown[two])
        assert common == 0, (one, two, common)
        first, second = SPLITS[one], SPLITS[two]
        assert not (
            set(range(first.seed, first.seed + first.count))
            & set(range(second.seed, second.seed + second.count))
        )


def test_a_box_is_the_tightest_around_the_mask_of_its_garment(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert scene.image.shape == (SIDE, SIDE, 3)
        assert scene.image.dtype == scene.mask.dtype == np.uint8
        assert 1 <= len(scene.boxes) == len(scene.labels) <= 4
        outside = scene.mask.copy()
        for (top, left, bottom, right), label in zip(scene.boxes, scene.labels, strict=True):
            inside = scene.mask[top:bottom, left:right]
            assert set(np.unique(inside)) <= {0, 1 + label}
            assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
            outside[top:bottom, left:right] = 0
        assert not outside.any()


def test_garments_have_several_sizes_and_all_classes(scenes: list[Scene]) -> None:
    boxes = np.concatenate([scene.boxes for scene in scenes])
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    assert sides.min() < SIDE / 3
    assert sides.max() > SIDE / 2
    assert set(np.concatenate([scene.labels for scene in scenes])) == set(range(10))


def test_garments_stand_out_from_the_ground(scenes: list[Scene]) -> None:
    lighter = [
        scene.image[scene.mask > 0].mean() - scene.image[scene.mask == 0].mean() for scene in scenes
    ]
    assert np.mean(lighter) > 30
    assert np.mean(np.array(lighter) > 0) > 0.9


@pytest.mark.parametrize("split", SPLITS)
def test_the_dataset_tells_boxes_and_masks(split: str) -> None:
    dataset = open_dataset(f"{NAME}:{split}")
    assert len(dataset) == SPLITS[split].count
    assert dataset.boxes is not None
    assert dataset.masks is not None
    assert dataset.boxes.class_names == FASHION_MNIST_LABELS
    assert dataset.masks.class_names == (BACKGROUND, *FASHION_MNIST_LABELS)
    last = len(dataset) - 1
    scene = wardrobe(split).scene(last)
    np.testing.assert_array_equal(np.asarray(dataset.decode(last)), scene.image)
    np.testing.assert_array_equal(dataset.masks.of(last), scene.mask)
    np.testing.assert_array_equal(dataset.boxes.of(last).corners, scene.boxes)
