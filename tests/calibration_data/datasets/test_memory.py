"""Examples that a program gives: arrays, generators, pairs; each misuse is one sentence."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from calibration_data.calibration_set import CalibrationSet
from calibration_data.datasets.base import SplitRole
from calibration_data.datasets.memory import dataset_of
from calibration_data.preprocessing import Crop, Preprocessing
from foundation.errors import InvalidInputError

CONTRACT = Preprocessing(size=(8, 8), crop=Crop.STRETCH, mean=(127.5,) * 3, std=(127.5,) * 3)


def _pixels(count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), np.uint8)


def _generator() -> Iterator[np.ndarray]:
    yield from _pixels()


@pytest.mark.parametrize("given", [_pixels(), list(_pixels()), _generator()])
def test_examples_calibrate_again_and_again_in_their_order(given: Any) -> None:
    calibration = CalibrationSet(dataset_of(given), CONTRACT)
    expected = (_pixels().astype(np.float32) - 127.5) / 127.5
    for _ in range(2):  # a generator is read once
        found = np.concatenate(list(calibration.batches(2)))
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert calibration.dataset.labels is None


def test_pillow_images_are_resized_as_files_are() -> None:
    images = [Image.fromarray(p).resize((13, 9)) for p in _pixels()]
    calibration = CalibrationSet(dataset_of(images), CONTRACT)
    assert calibration.first(8).shape == (5, 8, 8, 3)


def test_pairs_have_their_labels() -> None:
    dataset = dataset_of(zip(_pixels(), [0, 1, 2, 1, 0], strict=True), role=SplitRole.TRAIN)
    np.testing.assert_array_equal(dataset.labels, [0, 1, 2, 1, 0])
    np.testing.assert_array_equal(dataset.subset(np.array([3])).decode(0), _pixels()[3])
    beside = dataset_of(_pixels(), np.array([0, 1, 2, 1, 0], np.uint8))
    np.testing.assert_array_equal(beside.labels, dataset.labels)


@pytest.mark.parametrize("role", [SplitRole.TEST, SplitRole.DEVELOPMENT])
def test_examples_to_measure_on_calibrate_nothing(role: SplitRole) -> None:
    with pytest.raises(InvalidInputError, match="never sees"):
        CalibrationSet(dataset_of(_pixels(), role=role), CONTRACT)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (iter(()), "none in mine"),
        (itertools.repeat(np.zeros((8, 8, 3), np.uint8)), "more in mine: .*islice"),
        ("photos", "a str in mine"),
        (7, "a int in mine"),
        (["photo.jpg"], "a str in mine"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros(3, np.uint8)], r"uint8 \[8, 8, 3\], uint8 \[3\]"),
        ([np.array([1.0, np.nan])], "NaN or Inf"),
        ([np.array(["a"])], "<U1"),
        ([(np.zeros(3), 1), np.zeros(3)], "pairs and single"),
        ([(np.zeros(3), 0.5)], r"float64 \[1\]"),
        ([(np.zeros(3), -1)], "whole numbers from 0"),
    ],
)
def test_what_is_no_sample_of_examples_is_one_sentence(given: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        dataset_of(given, name="mine")


def test_labels_are_as_many_as_examples() -> None:
    with pytest.raises(InvalidInputError, match="5 whole numbers"):
        dataset_of(_pixels(), [1, 2])
    with pytest.raises(InvalidInputError, match="given once"):
        dataset_of([(np.zeros(3), 1)], [1])
