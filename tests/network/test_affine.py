from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import InvalidInputError
from network.activation_limits import activation_limits
from network.affine import (
    BIAS_LIMIT,
    SMALLEST_SPAN,
    IntType,
    QuantParams,
    bias_params,
    params_from_range,
    quantize_bias,
    round_away,
    symmetric_params,
    weight_params,
    widened_for_bias,
)
from network.operators import Fused

ENDS = st.floats(-1e4, 1e4, width=32)
EIGHT_BITS = st.sampled_from([IntType.INT8, IntType.UINT8])


@st.composite
def ranges(draw):
    ends = sorted((draw(ENDS), draw(ENDS)))
    return ends[0], ends[1]


@given(ranges(), EIGHT_BITS)
def test_zero_is_exact_and_the_ends_are_within_one_step(
    ends: tuple[float, float], dtype: IntType
) -> None:
    params = params_from_range(*ends, dtype)
    zero = np.zeros((), np.float32)
    assert params.round_trip(zero) == 0.0
    low, high = params.real_range
    step = params.scale[0]
    assert low <= min(ends[0], 0.0) + step
    assert high >= max(ends[1], 0.0) - step


@given(ranges(), st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_inside_the_range_a_value_moves_by_half_a_step_at_most(
    ends: tuple[float, float], positions: list[float]
) -> None:
    params = params_from_range(*ends)
    low, high = params.real_range
    values = np.asarray([low + p * (high - low) for p in positions], np.float32)
    slack = 1e-4 * params.scale[0] + 1e-6 * np.abs(values)
    assert (np.abs(params.round_trip(values) - values) <= params.scale[0] / 2 + slack).all()


@given(ranges(), EIGHT_BITS)
def test_every_integer_survives_the_way_to_a_float_and_back(
    ends: tuple[float, float], dtype: IntType
) -> None:
    params = params_from_range(*ends, dtype)
    integers = np.arange(dtype.limits[0], dtype.limits[1] + 1).astype(dtype.value)
    assert np.array_equal(params.quantize(params.dequantize(integers)), integers)


@given(ranges())
def test_int8_and_uint8_stand_for_the_same_numbers(ends: tuple[float, float]) -> None:
    params = params_from_range(*ends)
    shifted = params.as_type(IntType.UINT8)
    integers = np.arange(-128, 128)
    assert np.array_equal(params.dequantize(integers), shifted.dequantize(integers + 128))
    assert shifted.as_type(IntType.INT8) == params
    assert params.as_type(IntType.INT8) is params


@given(st.lists(st.floats(1e-30, 1e30), min_size=1, max_size=5), st.integers(0, 3))
def test_parameters_come_back_from_json(scales: list[float], axis: int) -> None:
    params = QuantParams(tuple(scales), (0,) * len(scales), axis=axis)
    assert QuantParams.from_dict(json.loads(json.dumps(params.to_dict()))) == params
    assert hash(QuantParams(params.scale, params.zero_point, axis=axis)) == hash(params)


def test_the_nudged_zero_point_is_that_of_the_range() -> None:
    params = params_from_range(-1.0, 3.0)
    assert params.scale == (np.float32(4 / 255),)
    assert params.zero_point == (-64,)  # -128 + 63.75
    assert params_from_range(0.0, 6.0).zero_point == (-128,)
    assert params_from_range(2.0, 6.0) == params_from_range(0.0, 6.0)
    assert params_from_range(-6.0, -2.0).zero_point == (127,)


@pytest.mark.parametrize("ends", [(0.0, 0.0), (1e-9, 1e-8), (-1e-12, 0.0)])
def test_a_range_without_width_has_a_scale(ends: tuple[float, ...]) -> None:
    params = params_from_range(*ends)
    assert params.scale[0] == pytest.approx(SMALLEST_SPAN / 255)


@pytest.mark.parametrize("ends", [(np.nan, 1.0), (0.0, np.inf), (1.0, 0.0)])
def test_a_broken_range_is_refused(ends: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInputError, match="finite lower end"):
        params_from_range(*ends)


@pytest.mark.parametrize(
    ("scale", "zero", "dtype", "axis"),
    [
        ((), (), IntType.INT8, None),
        ((0.0,), (0,), IntType.INT8, None),
        ((float("nan"),), (0,), IntType.INT8, None),
        ((1e39,), (0,), IntType.INT8, None),
        ((1e-60,), (0,), IntType.INT8, None),
        ((1.0, 2.0), (0, 0), IntType.INT8, None),
        ((1.0, 2.0), (0,), IntType.INT8, 0),
        ((1.0,), (128,), IntType.INT8, None),
        ((1.0,), (-1,), IntType.UINT8, None),
    ],
)
def test_parameters_that_cannot_be_are_refused(
    scale: tuple[float, ...],
    zero: tuple[int, ...],
    dtype: IntType,
    axis: int | None,
) -> None:
    with pytest.raises(InvalidInputError, match="finite scales above zero"):
        QuantParams(scale, zero, dtype, axis)


@given(st.integers(2, 8), st.lists(st.floats(0, 1e3, width=32), min_size=1, max_size=6))
def test_symmetric_weights_keep_to_their_bits(bits: int, magnitudes: list[float]) -> None:
    params = symmetric_params(magnitudes, bits=bits, axis=0)
    ends = np.asarray(magnitudes, np.float32)[:, None] * np.asarray([[-1, 1]], np.float32)
    integers = params.quantize(ends)
    assert np.abs(integers).max() <= 2 ** (bits - 1) - 1
    assert set(params.zero_point) == {0}


def test_each_channel_has_its_own_scale() -> None:
    weight = np.asarray([[1.0, -2.0], [0.0, 0.0], [10.0, 5.0]], np.float32)
    params = weight_params(weight, axis=0)
    assert params.scale[0] == pytest.approx(2 / 127)
    assert params.scale[1] == pytest.approx(SMALLEST_SPAN / 127)
    assert params.quantize(weight).tolist() == [[64, -127], [0, 0], [127, 64]]
    assert weight_params(weight, axis=None).quantize(weight).max() == 127


@pytest.mark.parametrize("bits", [1, 9])
def test_bits_beyond_the_type_are_refused(bits: int) -> None:
    with pytest.raises(InvalidInputError, match="2 bits or more"):
        symmetric_params(1.0, bits=bits)


@given(
    st.floats(1e-3, 1.0),
    st.lists(st.floats(-100, 100, width=32), min_size=3, max_size=3),
    st.lists(st.sampled_from([0.0, 1e-7, 0.5]), min_size=3, max_size=3),
)
def test_every_bias_fits_once_the_weights_make_room(
    scale: float, bias: list[float], magnitudes: list[Any]
) -> None:
    source = QuantParams((scale,), (3,))
    values = np.asarray(bias, np.float32)
    weight = widened_for_bias(symmetric_params(magnitudes, axis=0), values, source)
    params = bias_params(source, weight)
    integers = quantize_bias(values, params, "layer")
    assert np.abs(integers.astype(np.int64)).max() <= BIAS_LIMIT
    assert params.dequantize(integers) == pytest.approx(values, abs=max(params.scale), rel=1e-6)


@pytest.mark.parametrize("value", [np.nan, 1e30])
def test_a_bias_that_does_not_fit_names_its_layer(value: float) -> None:
    source = QuantParams((0.1,), (0,))
    params = bias_params(source, symmetric_params(1.0))
    with pytest.raises(InvalidInputError, match="block_1"):
        quantize_bias(np.asarray([value], np.float32), params, "block_1")


def test_a_fused_activation_ends_where_its_limits_are() -> None:
    params = params_from_range(-6.0, 6.0)
    zero = params.zero_point[0]
    assert activation_limits(Fused.NONE, params) == (-128, 127)
    assert activation_limits(Fused.RELU, params) == (zero, 127)
    assert activation_limits(Fused.RELU6, QuantParams((0.1,), (-128,))) == (-128, -68)
    assert activation_limits(Fused.RELU_N1_TO_1, QuantParams((0.1,), (0,))) == (-10, 10)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.5, 1), (-0.5, -1), (1.5, 2), (2.5, 3), (-2.4, -2), (0.49999999999999994, 0)],
)
def test_ties_go_away_from_zero(value: float, expected: int) -> None:
    assert round_away(np.asarray(value)) == expected


def test_int32_has_no_8_bit_twin() -> None:
    with pytest.raises(InvalidInputError, match="int8 and uint8 only"):
        QuantParams((1.0,), (0,), IntType.INT32).as_type(IntType.INT8)


def by_formula(value: float, scale: float, zero_point: int, low: int, high: int) -> int:
    """clamp(round(value / scale) + zero_point) on the single-precision quotient, exactly."""
    steps = Fraction(float(np.float32(value) / np.float32(scale)))
    half = Fraction(1, 2)
    rounded = int(steps + half) if steps >= 0 else -int(-steps + half)
    return min(max(rounded + zero_point, low), high)


@given(
    values=st.lists(st.floats(-300, 300, width=32), min_size=1, max_size=20),
    scale=st.floats(2**-12, 4, width=32),
    dtype=st.sampled_from(["int8", "uint8", "int16"]),
    data=st.data(),
)
def test_quantize_and_dequantize_are_the_formula_to_the_integer(
    values: list[Any], scale: float, dtype: str, data: st.DataObject
) -> None:
    limits = np.iinfo(dtype)
    low, high = int(limits.min), int(limits.max)
    zero_point = data.draw(st.integers(low, high))
    params = QuantParams((scale,), (zero_point,), IntType(dtype))
    integers = params.quantize(np.array(values, np.float32))
    assert integers.dtype == dtype
    assert integers.tolist() == [by_formula(v, scale, zero_point, low, high) for v in values]
    expected = [np.float32(scale) * np.float32(int(q) - zero_point) for q in integers]
    assert params.dequantize(integers).tolist() == expected


def test_rounding_is_away_from_zero_and_is_not_fooled_by_single_precision() -> None:
    below_half = float(np.nextafter(np.float32(0.5), np.float32(0)))
    values = np.array([0.5, 1.5, 2.5, -0.5, -2.5, below_half, -below_half, 1e9, -1e9], np.float32)
    integers = QuantParams((1.0,), (3,)).quantize(values)
    assert integers.tolist() == [4, 5, 6, 2, 0, 3, 3, 127, -128]
