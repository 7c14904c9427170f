"""The only scale of a weight is narrower where a few large weights would make all steps coarse."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from quantize.rounding.layer_settings import LayerSettings
from quantize.rounding.scales import SHARED_NARROWINGS, best_rounding
from quantize.rounding.second_order import Layer
from quantize.settings import Granularity, WeightRange
from tests.network.graphs import Builder

CHANNELS, INPUTS = 32, 64


def _rounded(
    weight: np.ndarray, variances: np.ndarray, granularity: Granularity
) -> tuple[np.ndarray, np.ndarray]:
    """Scales and integers of a convolution over independent inputs of these variances."""
    b = Builder(np.random.default_rng(0))
    b.conv("conv", "image", CHANNELS)
    layers = [(slice(None), Layer(weight, np.diag(variances)))]
    settings = LayerSettings(granularity, WeightRange.FULL)
    return best_rounding(b.ops[-1], weight, layers, settings)


def _error(weight: np.ndarray, variances: np.ndarray, replaced: np.ndarray) -> float:
    return float((np.square(weight - replaced) @ variances).sum())


@pytest.mark.parametrize("seed", range(3))
def test_a_few_large_weights_are_cut_where_that_costs_less_than_coarse_steps(seed: int) -> None:
    random = np.random.default_rng(seed)
    weight, variances = random.uniform(-1, 1, (CHANNELS, INPUTS)), np.ones(INPUTS)
    weight[0, 0], variances[0] = 2.0, 1e-4
    scale, integers = _rounded(weight, variances, Granularity.PER_TENSOR)
    widest = 2.0 / 127
    plain = np.rint(weight / widest) * widest
    assert (scale == scale[0]).all()
    assert scale[0] < 0.6 * widest
    assert _error(weight, variances, integers * scale[:, None]) < 0.5 * _error(
        weight, variances, plain
    )


def test_no_weight_is_cut_where_all_channels_reach_equally_far() -> None:
    weight = np.tile([1.0, -1.0], (CHANNELS, INPUTS // 2))
    scale, integers = _rounded(weight, np.ones(INPUTS), Granularity.PER_TENSOR)
    assert scale[0] == pytest.approx(1 / 127)
    np.testing.assert_array_equal(np.abs(integers), 127)


def test_a_scale_for_each_channel_stays_the_widest() -> None:
    weight = np.random.default_rng(1).uniform(-1, 1, (CHANNELS, INPUTS))
    scale, _ = _rounded(weight, np.ones(INPUTS), Granularity.PER_CHANNEL)
    np.testing.assert_allclose(scale, np.abs(weight).max(axis=1) / 127, rtol=1e-6)


def test_the_widest_scale_is_the_first_to_choose_from() -> None:
    assert SHARED_NARROWINGS[0] == 1.0
    assert all(0 < later < earlier for earlier, later in pairwise(SHARED_NARROWINGS))
