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


def bounded_by(kind: OpKind, *, read_twice: bool = False) -> Graph:
    """A convolution, and what is above or below 0.25 of it."""
    b = Builder(np.random.default_rng(0))
    line = b.conv("line", "image", 4)
    bound = b.constant("bound", np.array(0.25, np.float32))
    cut = b.op(kind, "cut", (line, bound), (1, 8, 8, 4), "MaximumMinimumOptions")
    if read_twice:
        cut = b.add("both", cut, line)
    b.conv("scores", cut, 2)
    return b.graph()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(OpKind.MINIMUM, (-1.0, 0.25)), (OpKind.MAXIMUM, (0.0, 2.0))],  # 0 is in every range
)
def test_what_every_reader_cuts_off_is_not_in_the_range(
    kind: OpKind, expected: tuple[float, float]
) -> None:
    g = bounded_by(kind)
    measured = {**ranges(g), "cut": Range(max(-1.0, expected[0]), expected[1])}
    params = activation_params(g, measured, None)
    assert params["line"] == params["cut"]
    assert params["line"].real_range == pytest.approx(expected, abs=0.01)


def test_what_another_reader_needs_stays_in_the_range() -> None:
    g = bounded_by(OpKind.MINIMUM, read_twice=True)
    params = activation_params(g, ranges(g), None)
    assert params["line"].real_range == pytest.approx((-1, 2), abs=0.02)
