"""Pairs of channels and of weights: the fast sums are those of the formulas, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from quantize.equalization.pairing import _pair_costs
from quantize.rounding.second_order import neighbours, pair_reach


def shares(channels: int, rows: int) -> np.ndarray:
    """Shares 0 to 1, the largest of each row 1, of two signs in rows of their own."""
    rng = np.random.default_rng(channels)
    weight = rng.standard_t(3, (channels, rows)).astype(np.float32)
    weight /= np.abs(weight).max(axis=0)
    return np.concatenate([np.maximum(weight, 0), np.maximum(-weight, 0)], axis=1)


@pytest.mark.parametrize(("channels", "rows"), [(2, 3), (10, 40), (150, 24)])
def test_costs_are_those_of_the_formula(channels: int, rows: int) -> None:
    found = shares(channels, rows)
    pairs = found[:, None].astype(np.float64) + found[None] - 1  # [channels, channels, rows]
    expected = np.square(np.maximum(pairs, 0)).sum(axis=2)
    same = np.eye(channels, dtype=bool)
    np.testing.assert_allclose(_pair_costs(found)[~same], expected[~same], rtol=1e-4, atol=1e-6)


def test_costs_of_equal_shares_are_zero_up_to_a_half() -> None:
    assert not _pair_costs(np.full((6, 4), 0.5, np.float32)).any()


@pytest.mark.parametrize("shape", [(4, 6), (4, 3, 3, 3), (4, 1, 1, 7), (4, 3, 3, 2)])
def test_reach_is_that_of_both_signs_of_each_pair(shape: tuple[int, ...]) -> None:
    weight = np.random.default_rng(sum(shape)).normal(size=(shape[0], int(np.prod(shape[1:]))))
    pairs = neighbours(shape)
    expected = np.abs(weight).max(axis=1)
    for row, values in enumerate(weight):
        for kind in pairs:
            for one, other in enumerate(kind.tolist()):
                if other >= 0 and values[one] * values[other] > 0:
                    expected[row] = max(expected[row], abs(values[one] + values[other]))
    assert np.array_equal(pair_reach(weight, pairs), expected)
