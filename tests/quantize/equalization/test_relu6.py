"""Channels behind ReLU6 are scaled as far as calibration images and others leave room."""

from __future__ import annotations

import numpy as np
import pytest

from quantize.equalization.relu6 import BOUND, HELD_SHARE, OUTLIER, Room
from quantize.ranges.extremes import Extremes

SEEN = np.array([1.0, 3.0, 3.0, 5.3, 5.7, 6.0], np.float32)
BEYOND = np.array([1.0, 3.6, 7.0, 6.5, 5.9, 6.0], np.float32)
FREE = [True, True, False, False, False, False]
WARY = [False, False, True, True, False, False]


def room() -> Room:
    return Room.of(Extremes(np.zeros_like(SEEN), SEEN), Extremes(np.zeros_like(SEEN), BEYOND))


def factors(wanted: float, far: float = 1.0) -> np.ndarray:
    """Factors of channels that weights of 1 read, but channel 2 those that reach so far."""
    read = np.ones(6)
    read[2] = far
    return room().factors(np.full(6, wanted), read)


def test_a_channel_is_free_while_no_image_is_expected_at_the_bound() -> None:
    assert room().free.tolist() == FREE
    assert room().wary.tolist() == WARY


def test_free_channels_come_near_the_bound_and_others_stay() -> None:
    small = factors(1e-6)
    assert SEEN[0] / small[0] == pytest.approx(HELD_SHARE * BOUND)
    assert BEYOND[1] / small[1] == pytest.approx(BOUND)
    assert small[2:].tolist() == [1.0] * 4
    assert factors(3.0).tolist() == [3.0, 3.0, 1.0, 1.0, 1.0, 1.0]


def test_a_wary_channel_with_the_farthest_weights_is_scaled_to_those_of_the_others() -> None:
    assert factors(1.0, OUTLIER)[2] == factors(1.0, 0.1)[2] == 1.0
    assert factors(1.0, OUTLIER / 0.8)[2] == pytest.approx(0.8)
    assert SEEN[2] / factors(1.0, 1e6)[2] == pytest.approx(HELD_SHARE * BOUND)


def test_without_weights_or_free_channels_the_wary_ones_stay() -> None:
    zeros = np.zeros(6)
    assert room().factors(np.ones(6), zeros).tolist() == [1.0] * 6
    seen = Extremes(zeros[:1], np.array([5.0]))
    none_free = Room.of(seen, Extremes(zeros[:1], np.array([7.0])))
    assert none_free.factors(np.array([0.5]), np.array([9.0])).tolist() == [1.0]
