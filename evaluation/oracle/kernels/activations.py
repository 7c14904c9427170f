"""Activation functions: elementwise operators of one operand, and softmax.

Sources: Requantize of tensorflow/lite/kernels/internal/reference, and the Prepare functions of
activations.cc beside it (rectifiers); LUTPopulate in tensorflow/lite/kernels/internal/common.h
(logistic is a table of 256); HardSwish and Softmax of tensorflow/lite/kernels/internal/reference;
exp_on_negative_values and one_over_one_plus_x_for_x_in_0_1 in gemmlowp/fixedpoint/fixedpoint.h.
"""

from __future__ import annotations

import math

import numpy as np

from evaluation.oracle.call import Call, Kernel
from evaluation.oracle.fixed_point import (
    INT32,
    Multiplier,
    doubling_high_mul,
    rounding_divide_by_pot,
)
from network.affine import IntType, activation_limits, round_away
from network.operators import Fused, OpKind

_EXP_OF_BITS = (
    (24, 1672461947), (25, 1302514674), (26, 790015084), (27, 290630308), (28, 39332535),
    (29, 720401), (30, 242),
)  # fmt: skip
"""exp(-2 ** k) in Q0.31 for k from -2 to 4, each after the index of the bit 2 ** k in Q5.26."""

_EXP_OF_MINUS_EIGHTH = 1895147668
_THIRD = 715827883
_48_OVER_17 = 1515870810
_MINUS_32_OVER_17 = -1010580540
_SUM_BITS = 12
"""Integer bits of the sum of exponentials."""
_INPUT_BITS = 5
"""Integer bits of a scaled difference: exp(-16) no longer counts."""


def logistic(call: Call) -> tuple[np.ndarray, ...]:
    """LOGISTIC, from a table of 256 results computed in single precision.

    ``q = round(sigmoid(x) * (1 / scale)) + zero_point``: the kernel multiplies by the reciprocal,
    where QUANTIZE divides, so this is not ``QuantParams.quantize``.
    """
    source, result = call.source(), call.result
    if source.dtype is not IntType.INT8:
        raise call.refused(f"{source.dtype.value} input")
    integers = np.arange(-128, 128)
    real = source.dequantize(integers)
    # Computed in double precision and rounded once, as good libraries of C do.
    with np.errstate(over="ignore"):  # infinity gives 0, as in C
        exponential = np.exp(-real.astype(np.float64)).astype(np.float32)
    exact = np.float32(1.0) / (np.float32(1.0) + exponential)
    steps = exact * (np.float32(1.0) / np.float32(result.scale[0]))
    table = np.clip(round_away(steps.astype(np.float64)) + result.zero_point[0], -128, 127)
    return (table.astype(np.int8)[call.array(0).astype(np.int64) + 128],)


def rectify(call: Call) -> tuple[np.ndarray, ...]:
    """RELU and RELU6 as separate operators."""
    source, result = call.source(), call.result
    multiplier = Multiplier.of(
        np.float64(np.float32(source.scale[0]) / np.float32(result.scale[0]))
    )
    fused = Fused.RELU if call.op.kind == OpKind.RELU else Fused.RELU6
    low, high = activation_limits(fused, result)
    values = multiplier.apply(call.centred()) + result.zero_point[0]
    return (np.clip(values, low, high).astype(result.dtype.value),)


def hard_swish(call: Call) -> tuple[np.ndarray, ...]:
    """HARD_SWISH in 16-bit fixed point."""
    fine = np.float32(1.0 / 128.0) * np.float32(call.source().scale[0])
    output = Multiplier.of(np.float64(fine / np.float32(call.result.scale[0])))
    gate = Multiplier.of(np.float64(fine / (np.float32(3.0) / np.float32(32768.0))))
    if output.shift[0] > 0:
        raise call.refused("a scale below a 128th of the input's")
    values = call.centred() << 7
    scaled = _doubling_high_mul16(values, _mantissa16(output))
    opening = _saturated16(values << max(gate.shift[0] - 1, 0))
    opening = _doubling_high_mul16(opening, _mantissa16(gate))
    if gate.shift[0] > 0:
        opening = _saturated16(opening << 1)
    opening = rounding_divide_by_pot(opening, max(-gate.shift[0], 0))
    opening = (opening + (1 << 15)) >> 1
    product = opening * scaled
    # C divides towards zero.
    high = np.sign(product) * (np.abs(product) >> 15)
    return (call.stored(rounding_divide_by_pot(high, -output.shift[0])),)


def softmax(call: Call) -> tuple[np.ndarray, ...]:
    """SOFTMAX over the last axis, in 32-bit fixed point."""
    beta = np.float64(np.float32(call.options["beta"]))
    real = min(beta * call.source().scale[0] * 2.0 ** (31 - _INPUT_BITS), 2.0**31 - 1.0)
    multiplier = Multiplier.of(real)
    mantissa, shift = multiplier.mantissa[0], multiplier.shift[0]
    lowest = -math.floor(31.0 * 2.0 ** (31 - _INPUT_BITS) / 2.0**shift)
    values = call.array(0).astype(np.int64)
    difference = values - values.max(axis=-1, keepdims=True)
    counted = difference >= lowest
    scaled = doubling_high_mul(np.where(counted, difference, 0) << shift, mantissa)
    exponential = np.where(counted, _exp_on_negative_values(scaled), 0)
    sums = rounding_divide_by_pot(exponential, _SUM_BITS).sum(axis=-1, keepdims=True)
    headroom = 32 - np.frexp(sums.astype(np.float64))[1].astype(np.int64)  # leading zeros
    reciprocal = _one_over_one_plus((sums << headroom) - (1 << 31))
    low, high = call.result.dtype.limits
    bits = _SUM_BITS - headroom + 31 - 8
    shares = rounding_divide_by_pot(doubling_high_mul(reciprocal, exponential), bits)
    stored = np.where(counted, np.clip(shares + low, low, high), low)
    return (stored.astype(call.result.dtype.value),)


def _exp_on_negative_values(values: np.ndarray) -> np.ndarray:
    """E to the power of Q5.26 numbers up to 0, in Q0.31."""
    quarter = 1 << 24
    rest = (values & (quarter - 1)) - quarter
    result = _exp_near_minus_eighth(rest << _INPUT_BITS)
    remainder = rest - values
    for bit, factor in _EXP_OF_BITS:
        result = np.where(remainder & (1 << bit), doubling_high_mul(result, factor), result)
    return np.where(values == 0, INT32.max, result)


def _exp_near_minus_eighth(values: np.ndarray) -> np.ndarray:
    """E to the power of Q0.31 numbers in [-1/4, 0), by a Taylor series around -1/8."""
    x = values + (1 << 28)
    square = doubling_high_mul(x, x)
    cube = doubling_high_mul(square, x)
    quarter = rounding_divide_by_pot(doubling_high_mul(square, square), 2)
    tail = rounding_divide_by_pot(doubling_high_mul(quarter + cube, _THIRD) + square, 1)
    return _EXP_OF_MINUS_EIGHTH + doubling_high_mul(x + tail, _EXP_OF_MINUS_EIGHTH)


def _one_over_one_plus(values: np.ndarray) -> np.ndarray:
    """1 / (1 + x) of Q0.31 numbers in (0, 1), by Newton-Raphson steps."""
    half = (values + INT32.max + 1) >> 1  # the sum is positive
    x = _48_OVER_17 + doubling_high_mul(half, _MINUS_32_OVER_17)
    for _ in range(3):
        missing = (1 << 29) - doubling_high_mul(half, x)
        x = x + _saturated32(doubling_high_mul(x, missing) << 2)
    return _saturated32(x << 1)


def _mantissa16(multiplier: Multiplier) -> int:
    """DownScaleInt32ToInt16Multiplier."""
    mantissa = multiplier.mantissa[0]
    rounding = 1 << 15
    return 32767 if mantissa >= int(INT32.max) - rounding else (mantissa + rounding) >> 16


def _doubling_high_mul16(values: np.ndarray, factor: int) -> np.ndarray:
    """SaturatingRoundingDoublingHighMul of 16-bit numbers; the factor is above -2 ** 15."""
    product = values * factor
    nudged = product + np.where(product >= 0, 1 << 14, 1 - (1 << 14))
    high: np.ndarray = np.sign(nudged) * (np.abs(nudged) >> 15)
    return high


def _saturated16(values: np.ndarray) -> np.ndarray:
    clipped: np.ndarray = np.clip(values, -(1 << 15), (1 << 15) - 1)
    return clipped


def _saturated32(values: np.ndarray) -> np.ndarray:
    clipped: np.ndarray = np.clip(values, INT32.min, INT32.max)
    return clipped


KERNELS: dict[str, Kernel] = {
    OpKind.RELU: rectify,
    OpKind.RELU6: rectify,
    OpKind.LOGISTIC: logistic,
    OpKind.HARD_SWISH: hard_swish,
    OpKind.SOFTMAX: softmax,
}
