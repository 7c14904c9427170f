"""Training recipes: augmentation, and settings that are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from foundation.errors import InvalidInputError
from models.training.recipe import TrainingRecipe, augment

IMAGES = np.random.default_rng(0).integers(1, 256, (50, 12, 10, 3), np.uint8)


def _augmented(images: np.ndarray, seed: int = 0, **changes: Any) -> np.ndarray:
    return augment(images, TrainingRecipe(**changes), np.random.default_rng(seed))


def test_augmentation_keeps_shape_type_and_input() -> None:
    before = IMAGES.copy()
    got = _augmented(IMAGES)
    assert got.shape == IMAGES.shape
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(IMAGES, before)
    assert not np.array_equal(got, IMAGES)


def test_augmentation_depends_on_its_source_of_randomness_alone() -> None:
    np.testing.assert_array_equal(_augmented(IMAGES, 3), _augmented(IMAGES, 3))
    assert not np.array_equal(_augmented(IMAGES, 3), _augmented(IMAGES, 4))


def test_without_shift_and_erasing_images_are_mirrored_or_left() -> None:
    got = _augmented(IMAGES, shift=0, erase=0.0)
    left = [np.array_equal(one, two) for one, two in zip(got, IMAGES, strict=True)]
    mirrored = [np.array_equal(one, two[:, ::-1]) for one, two in zip(got, IMAGES, strict=True)]
    assert all(one != two for one, two in zip(left, mirrored, strict=True))
    assert 10 < sum(mirrored) < 40


def test_a_shift_moves_black_in_as_the_contract_pads() -> None:
    got = _augmented(IMAGES, shift=2, erase=0.0)
    seen: set[tuple[int, int]] = set()
    for image, original in zip(got, IMAGES, strict=True):
        padded = np.pad(original, ((2, 2), (2, 2), (0, 0)))
        windows = {
            (top, left, flip): side[top : top + 12, left : left + 10]
            for flip, side in ((0, padded), (1, padded[:, ::-1]))
            for top in range(5)
            for left in range(5)
        }
        places = [place for place, window in windows.items() if np.array_equal(window, image)]
        assert places
        seen.update((top, left) for top, left, _ in places)
    assert len(seen) > 10


def test_erasing_fills_a_rectangle_with_grey_noise() -> None:
    white = np.full((40, 16, 16, 3), 255, np.uint8)
    got = _augmented(white, shift=0, erase=1.0)
    changed = (got != 255).any(-1)
    assert changed.any(axis=(1, 2)).all()
    assert changed.mean() < 0.2
    np.testing.assert_array_equal(got[..., 0], got[..., 2])
    np.testing.assert_array_equal(_augmented(white, shift=0, erase=0.0), white)


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"seed": -1},
        {"shift": -1},
        {"erase": 1.5},
    ],
)
def test_a_recipe_that_cannot_train_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="received"):
        TrainingRecipe(**changes)
