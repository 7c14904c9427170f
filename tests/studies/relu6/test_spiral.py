"""The spiral of the MobileNetV2 paper's figure 1."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studies.relu6.spiral import (
    distinct,
    embedding,
    measure,
    recovered,
    relative_error,
    spiral,
    through_relu,
)


@given(st.integers(2, 30), st.integers(0, 1000))
def test_without_relu_the_spiral_comes_back(dimensions: int, seed: int) -> None:
    shape = spiral(50)
    given_back = through_relu(shape, embedding(dimensions, seed), rectified=False)
    assert given_back == pytest.approx(shape, abs=1e-6)


@settings(max_examples=20)
@given(st.floats(0.1, 10.0))
def test_a_factor_is_no_loss(factor: float) -> None:
    shape = spiral(40)
    assert relative_error(shape, factor * shape) == pytest.approx(0, abs=1e-7)
    assert relative_error(shape, 0 * shape) == 1


def test_points_in_one_place_are_lost() -> None:
    points = np.asarray([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    assert distinct(points) == 0.5
    line = np.arange(10.0)[:, None]
    assert recovered(line, line) == 1
    assert recovered(line, 0 * line) == 0


def test_many_dimensions_keep_more_than_few() -> None:
    few, many = measure(2, 20, 100), measure(30, 20, 100)
    assert few.distinct + few.distinct_half < many.distinct == 100
    assert few.error - few.error_half > many.error
    assert few == measure(2, 20, 100)
