"""Second-order rounding: bounds, pairs, and the distance from a minimum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import InvalidInputError
from quantize.rounding.second_order import (
    LIMIT,
    PAIR_LIMIT,
    Layer,
    damped,
    neighbours,
    pair_reach,
    rounded,
)

ROWS = 5


def layer(seed: int, inputs: int, *, apart: bool = False, pairs: bool = False) -> Layer:
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(ROWS, inputs, inputs)) if apart else rng.normal(size=(inputs, inputs))
    moments = np.einsum("...ij,...kj->...ik", mixing, mixing) / inputs
    weight = rng.normal(size=(ROWS, inputs)) * np.exp(rng.normal(size=(ROWS, 1)))
    return Layer(weight, moments, neighbours((ROWS, inputs)) if pairs else None)


def scales(found: Layer) -> np.ndarray:
    return np.abs(found.weight).max(axis=1) / LIMIT


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 24), st.booleans())
def test_integers_stay_in_their_bounds(seed: int, inputs: int, apart: bool) -> None:
    found = layer(seed, inputs, apart=apart)
    integers = rounded(found, scales(found) * 0.7)  # too small: some must be clipped
    assert np.array_equal(integers, np.rint(integers))
    assert np.abs(integers).max() <= LIMIT


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.floats(0.5, 2.0))
def test_neighbours_of_one_sign_stay_within_the_limit(seed: int, inputs: int, share: float) -> None:
    found = layer(seed, inputs, pairs=True)
    assert found.neighbours is not None
    integers = rounded(found, scales(found) * share)
    assert pair_reach(integers, found.neighbours).max() <= PAIR_LIMIT


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 16), st.booleans())
def test_no_single_step_makes_it_better(seed: int, inputs: int, apart: bool) -> None:
    """Coordinate descent ends where each integer is the best for the values of the others."""
    found = layer(seed, inputs, apart=apart)
    scale = scales(found)
    integers = rounded(found, scale, sweeps=100)
    judge = Layer(found.weight, damped(found.moments, 0.005))
    error = judge.error(integers * scale[:, None])
    for column in range(inputs):
        for step in (-1, 1):
            other = integers.copy()
            other[:, column] = np.clip(other[:, column] + step, -LIMIT, LIMIT)
            assert (judge.error(other * scale[:, None]) >= error * (1 - 1e-9)).all()


@pytest.mark.parametrize("apart", [False, True])
def test_outputs_are_closer_than_with_nearest_integers(apart: bool) -> None:
    gains = []
    for seed in range(20):
        found = layer(seed, 16, apart=apart)
        scale = scales(found) * 8  # coarse, as 5 bits
        nearest = np.rint(found.weight / scale[:, None]) * scale[:, None]
        second = rounded(found, scale) * scale[:, None]
        gains.append(found.error(nearest).sum() / found.error(second).sum())
    assert min(gains) > 1
    assert np.mean(gains) > 1.5


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_independent_inputs_are_rounded_to_nearest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(ROWS, 7))
    found = Layer(weight, np.diag(rng.uniform(0.5, 2, 7)))
    scale = scales(found)
    assert np.array_equal(rounded(found, scale), np.rint(weight / scale[:, None]))


@pytest.mark.parametrize("where", ["weight", "moments"])
def test_nan_is_refused(where: str) -> None:
    weight, moments = np.ones((2, 3)), np.eye(3)
    (weight if where == "weight" else moments)[0, 0] = np.nan
    with pytest.raises(InvalidInputError, match="finite numbers"):
        rounded(Layer(weight, moments), np.ones(2))


@pytest.mark.parametrize("shape", [(4, 6), (4, 3, 3, 5), (4, 1, 1, 8), (4, 3, 3, 4)])
def test_neighbours_are_mutual(shape: tuple[int, ...]) -> None:
    pairs = neighbours(shape)
    inputs = int(np.prod(shape[1:]))
    edges = {(i, int(row[i])) for row in pairs for i in range(inputs) if row[i] >= 0}
    assert edges == {(b, a) for a, b in edges}
    assert all(a != b for a, b in edges)
