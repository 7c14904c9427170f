"""Arithmetic of grids and of their losses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import InvalidInputError
from network.affine import params_from_range
from studies.relu6.files import params_of
from studies.relu6.grid import Noise, decibels, grid_of, noise_of
from studies.relu6.half import spacing

ends = st.floats(-1e4, 1e4, width=32)


@given(ends, ends)
def test_eight_bits_are_what_the_engine_has(one: float, two: float) -> None:
    low, high = min(one, two), max(one, two)
    assert params_of(grid_of(low, high)) == params_from_range(low, high)


@given(ends, ends, st.integers(2, 16))
def test_every_grid_has_zero_and_all_its_levels(one: float, two: float, bits: int) -> None:
    grid = grid_of(min(one, two), max(one, two), bits)
    assert grid.first <= 0 <= grid.last
    assert grid.last - grid.first == 2**bits - 1


@given(
    st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=40),
    st.floats(-20, 0, width=32),
    st.floats(0.5, 20, width=32),
    st.sampled_from([4, 6, 8]),
)
def test_clipping_and_rounding_add_up_to_the_whole_loss(
    values: list[float], low: float, high: float, bits: int
) -> None:
    grid = grid_of(low, high, bits)
    given_values = np.asarray(values, np.float32)
    noise = noise_of(given_values, grid)
    whole = np.square(given_values.astype(np.float64) - grid.nearest(given_values)).sum()
    assert noise.total == pytest.approx(whole, rel=1e-9, abs=1e-12)
    inside = noise.count - noise.clipped
    assert noise.rounding <= inside * (grid.scale / 2) ** 2 * (1 + 1e-6) + 1e-12


def test_tensorflow_rounds_as_numpy_does() -> None:
    grid = grid_of(-1.0, 3.0, 5)
    values = np.random.default_rng(0).normal(0, 2, 500).astype(np.float32)
    assert np.asarray(grid.rounded(values)) == pytest.approx(grid.nearest(values), abs=1e-6)


def test_noise_of_parts_is_noise_of_the_whole() -> None:
    grid = grid_of(0.0, 6.0, 4)
    values = np.linspace(-1, 8, 101, dtype=np.float32)
    both = noise_of(values[:40], grid) + noise_of(values[40:], grid)
    whole = noise_of(values, grid)
    assert both.clipping == pytest.approx(whole.clipping)
    assert both.rounding == pytest.approx(whole.rounding)
    assert both.clipped == whole.clipped > 0


@pytest.mark.parametrize(
    ("low", "high", "bits"), [(1.0, 0.0, 8), (0.0, math.inf, 8), (0.0, 1.0, 1)]
)
def test_grids_that_cannot_be_are_refused(low: float, high: float, bits: int) -> None:
    with pytest.raises(InvalidInputError, match="finite range and 2 to 16 bits"):
        grid_of(low, high, bits)


def test_decibels_have_their_ends() -> None:
    assert decibels(100.0, 1.0) == pytest.approx(20.0)
    assert decibels(1.0, 0.0) == math.inf
    assert decibels(1.0, math.inf) == decibels(0.0, 1.0) == -math.inf
    assert Noise().sqnr == math.inf


@given(st.floats(2.0**-24, 60000.0, width=32))
def test_spacing_is_that_of_float16(value: float) -> None:
    nearest = np.float16(value)
    below = nearest if float(nearest) <= value else np.nextafter(nearest, np.float16(0))
    assert spacing(np.asarray(value)) == float(np.spacing(below)) or below == 0
