"""Scales of activations: tied, fixed, known and measured."""

from __future__ import annotations

import numpy as np
import pytest

from calibration_data.preprocessing import Crop, Preprocessing
from network.affine import QuantParams
from network.graph import Graph
from network.operators import Fused, OpKind
from quantize.ranges.activations import Range, activation_params, input_params, tied
from tests.network.graphs import Builder


def contract(mean: float, std: float) -> Preprocessing:
    return Preprocessing(size=(8, 8), crop=Crop.PAD, mean=(mean,) * 3, std=(std,) * 3)


def graph() -> Graph:
    b = Builder(np.random.default_rng(0))
    six = b.conv("six", "image", 4, fused=Fused.RELU6)
    pool = b.op(OpKind.MAX_POOL, "pool", (six,), (1, 4, 4, 4), "Pool2DOptions")
    line = b.conv("line", six, 4, stride=2)
    both = b.op(OpKind.CONCATENATION, "both", (pool, line), (1, 4, 4, 8), axis=3)
    flat = b.mean("mean", both)
    b.op(OpKind.SOFTMAX, "scores", (b.dense("logits", flat, 8),), (1, 8), "SoftmaxOptions")
    return b.graph()


def ranges(g: Graph) -> dict[str, Range]:
    return {name: Range(-1.0, 2.0) for name in g.activations}


def test_pooling_and_concatenation_share_their_parameters() -> None:
    g = graph()
    names = tied(g)
    assert len({names[n] for n in ("six", "pool", "line", "both")}) == 1
    assert names["mean"] != names["both"]
    params = activation_params(g, ranges(g), None)
    assert params["six"] == params["pool"] == params["line"] == params["both"]


def test_the_range_of_relu6_is_known_and_joined_with_what_it_is_tied_to() -> None:
    g = graph()
    low, high = activation_params(g, ranges(g), None)["six"].real_range
    assert low == pytest.approx(-1, abs=0.03)  # of the linear part beside it
    assert high == pytest.approx(6, abs=0.03)
    b = Builder(np.random.default_rng(0))
    b.conv("scores", "image", 4, fused=Fused.RELU6)
    alone = b.graph()
    params = activation_params(alone, {n: Range(0, 0.1) for n in alone.activations}, None)
    assert params["scores"].scale[0] == pytest.approx(6 / 255)
    assert params["scores"].zero_point == (-128,)


def test_softmax_has_the_parameters_of_the_specification() -> None:
    g = graph()
    assert activation_params(g, ranges(g), None)["scores"] == QuantParams((1 / 256,), (-128,))


@pytest.mark.parametrize(("mean", "std"), [(0.0, 255.0), (0.0, 1.0), (128.0, 128.0)])
def test_each_pixel_value_is_an_integer_of_its_own(mean: float, std: float) -> None:
    params = input_params(Range(-9, 9), contract(mean, std))
    pixels = np.arange(256, dtype=np.float32)
    integers = params.quantize((pixels - mean) / std)
    assert np.array_equal(np.unique(integers), np.arange(-128, 128))
    assert np.array_equal(integers, np.arange(-128, 128))


def test_values_between_two_integers_are_not_left_to_the_rounding_of_ties() -> None:
    """With a mean of 127.5 every pixel is a tie; all must be rounded in the same direction."""
    params = input_params(Range(-9, 9), contract(127.5, 127.5))
    exact = (np.arange(256) - 127.5) / 127.5
    steps = exact / params.scale[0]
    away = np.abs(np.abs(steps - np.trunc(steps)) - 0.5)
    assert away.min() > 1e-5
    assert np.abs(params.round_trip(exact.astype(np.float32)) - exact).max() < 0.51 / 127.5


def test_without_a_contract_the_calibration_tells() -> None:
    assert input_params(Range(0, 2.55), None).scale[0] == pytest.approx(0.01)
    several = Preprocessing(size=(8, 8), crop=Crop.PAD, mean=(1, 2, 3), std=(1, 1, 1))
    assert input_params(Range(0, 2.55), several).scale[0] == pytest.approx(0.01)
