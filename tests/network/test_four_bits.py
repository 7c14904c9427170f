"""Integers of 4 bits in bytes."""

from __future__ import annotations

import numpy as np
import pytest

from network.tflite.four_bits import packed, unpacked


@pytest.mark.parametrize("shape", [(0,), (1,), (2,), (3, 5), (4, 2, 2, 3)])
def test_unpacked_is_the_inverse_of_packed(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(1).integers(-8, 8, shape).astype(np.int8)
    stored = packed(values)
    assert stored.dtype == np.uint8
    assert stored.size == (values.size + 1) // 2
    assert np.array_equal(unpacked(stored, values.size), values.ravel())


def test_the_first_of_two_integers_is_in_the_lower_half() -> None:
    assert packed(np.array([1, -2, 7], np.int8)).tolist() == [0xE1, 0x07]


def test_other_bytes_than_the_shape_needs_show_in_the_count() -> None:
    assert unpacked(np.zeros(3, np.uint8), 4).size == 6
    assert unpacked(np.zeros(3, np.uint8), 7).size == 6
    assert unpacked(np.zeros(3, np.uint8), -1).size == 6
