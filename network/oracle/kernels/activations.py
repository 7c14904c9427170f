"""Activation functions: elementwise operators of one operand, and softmax.

Sources: Requantize, QuantizeLeakyRelu, BroadcastPrelu4DSlow, HardSwish and Softmax of
tensorflow/lite/kernels/internal/reference, and the Prepare functions of activations.cc and
elementwise.cc beside it; LUTPopulate in tensorflow/lite/kernels/internal/common.h (tables of 256);
GetInvSqrtQuantizedMultiplierExp in quantization_util.cc; exp_on_negative_values and
one_over_one_plus_x_for_x_in_0_1 in gemmlowp/fixedpoint/fixedpoint.h. That SQRT is rounded down
comes from a comparison with ai-edge-litert 2.3.0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from network.activation_limits import limits_in_steps
from network.affine import IntType, QuantParams, round_away
from network.operators import OpKind
from network.oracle.call import Call, Kernel
from network.oracle.fixed_point import (
    INT32,
    Multiplier,
    doubling_high_mul,
    inverse_root,
    multiplied,
    one_over_one_plus,
    rounding_divide_by_pot,
)

_EXP_OF_BITS = (
    (24, 1672461947), (25, 1302514674), (26, 790015084), (27, 290630308), (28, 39332535),
    (29, 720401), (30, 242),
)  # fmt: skip
"""exp(-2 ** k) in Q0.31 for k from -2 to 4, each after the index of the bit 2 ** k in Q5.26."""

_EXP_OF_MINUS_EIGHTH = 1895147668
_THIRD = 715827883
_SUM_BITS = 12
"""Integer bits of the sum of exponentials."""
_INPUT_BITS = 5
"""Integer bits of a scaled difference: exp(-16) no longer counts."""
_ROOT_BITS = 20
"""Bits after the point of an inverse root before it is rescaled."""
_FAR = 2.0**20
"""Steps beyond every result, in place of infinity."""


def tabled(function: Callable[[np.ndarray, QuantParams], np.ndarray]) -> Kernel:
    """Kernel of a table of 256 results in single precision.

    ``q = round(f(x) * (1 / scale)) + zero_point``: LiteRT multiplies by the reciprocal, where
    QUANTIZE divides, so this is not ``QuantParams.quantize``.

    Args:
        function: float32 -> float32, with the result's parameters.
    """

    def compute(call: Call) -> tuple[np.ndarray, ...]:
        source, result = call.source(), call.result
        if source.dtype is not IntType.INT8:
            raise call.refused(f"{source.dtype.value} input")
        real = source.dequantize(np.arange(-128, 128))
        with np.errstate(over="ignore"):  # infinity saturates, as in C
            steps = function(real, result) * (np.float32(1.0) / np.float32(result.scale[0]))
        finite = np.clip(steps.astype(np.float64), -_FAR, _FAR)
        table = np.clip(round_away(finite) + result.zero_point[0], -128, 127)
        return (table.astype(np.int8)[call.array(0).astype(np.int64) + 128],)

    return compute


def _logistic(real: np.ndarray, _: QuantParams) -> np.ndarray:
    return np.float32(1.0) / (np.float32(1.0) + _exact(np.exp, -real))


def _tanh(real: np.ndarray, _: QuantParams) -> np.ndarray:
    return _exact(np.tanh, real)


def _exp(real: np.ndarray, _: QuantParams) -> np.ndarray:
    return _exact(np.exp, real)


def _log(real: np.ndarray, result: QuantParams) -> np.ndarray:
    """Logarithm; the smallest result for what has none."""
    lowest = np.float32(result.scale[0]) * np.float32(result.dtype.limits[0] - result.zero_point[0])
    return np.where(real > 0, _exact(np.log, np.where(real > 0, real, np.float32(1))), lowest)


def _exact(function: Callable[[np.ndarray], np.ndarray], real: np.ndarray) -> np.ndarray:
    """Computed in double precision and rounded once, as good libraries of C do."""
    return np.asarray(function(real.astype(np.float64)), np.float64).astype(np.float32)


def gelu(call: Call) -> tuple[np.ndarray, ...]:
    """GELU, exact or by its approximation with tanh."""
    return tabled(_gelu_tanh if call.options.get("approximate") else _gelu_erf)(call)


def _gelu_erf(real: np.ndarray, _: QuantParams) -> np.ndarray:
    rooted = real * np.float32(-math.sqrt(0.5))
    complement = np.array([math.erfc(value) for value in rooted.tolist()], np.float32)
    return np.float32(0.5) * real * complement


def _gelu_tanh(real: np.ndarray, _: QuantParams) -> np.ndarray:
    cubic = real + np.float32(0.044715) * real * real * real
    factor = np.float32(math.sqrt(2 / math.pi))
    return np.float32(0.5) * real * (np.float32(1) + _exact(np.tanh, factor * cubic))


def leaky_relu(call: Call) -> tuple[np.ndarray, ...]:
    """LEAKY_RELU: one multiplier for positive integers, one for negative ones."""
    source, result = np.float32(call.source().scale[0]), np.float32(call.result.scale[0])
    alpha = np.float32(call.options["alpha"])
    values = call.centred(wide=True)
    identity = Multiplier.of(np.float64(source / result)).apply(values)
    slope = _signed(np.float64(source * alpha / result)).apply(values)
    return (call.stored(np.where(values >= 0, identity, slope)),)


def prelu(call: Call) -> tuple[np.ndarray, ...]:
    """PRELU: as LEAKY_RELU, with a slope for each channel."""
    call.require_size(*np.broadcast_shapes(call.array(0).shape, call.array(1).shape))
    source, slope, result = (
        np.float32(params.scale[0]) for params in (call.source(), call.source(1), call.result)
    )
    values, slopes = call.centred(), call.centred(1)
    identity = Multiplier.of(np.float64(source / result)).apply(values)
    below = Multiplier.of(np.float64(source * slope / result)).apply(values * slopes)
    return (call.stored(np.where(values >= 0, identity, below)),)


def absolute(call: Call) -> tuple[np.ndarray, ...]:
    """ABS of centred integers, in another scale; scales are divided in single precision."""
    values = np.abs(call.centred())
    if call.source().scale == call.result.scale:
        return (call.stored(values),)
    ratio = np.float32(call.source().scale[0]) / np.float32(call.result.scale[0])
    return (call.stored(Multiplier.of(np.float64(ratio)).apply(values)),)


def square_root(call: Call) -> tuple[np.ndarray, ...]:
    """SQRT in single precision, rounded down; refuses negative values."""
    values = call.centred()
    if (values < 0).any():
        raise call.refused("a negative value")
    roots = np.sqrt(np.float32(call.source().scale[0]) * values.astype(np.float32))
    steps = np.floor(roots / np.float32(call.result.scale[0]))
    return (call.stored(steps.astype(np.int64)),)


def inverse_square_root(call: Call) -> tuple[np.ndarray, ...]:
    """RSQRT in fixed point: the largest integer for 0; refuses negative values."""
    values = call.centred()
    if (values < 0).any():
        raise call.refused("a negative value")
    root = np.float32(np.sqrt(np.float32(call.source().scale[0])))
    output = Multiplier.of(1.0 / np.float64(root * np.float32(call.result.scale[0])))
    mantissa, shift = inverse_root(np.maximum(values, 1))
    data = multiplied(np.ones_like(values), mantissa, shift + _ROOT_BITS)
    found = multiplied(data, np.array(output.mantissa), np.array(output.shift) - _ROOT_BITS)
    most = call.result.dtype.limits[1] - call.result.zero_point[0]
    return (call.stored(np.where(values == 0, most, found)),)


def _signed(real: np.float64) -> Multiplier:
    """Multiplier of a number that may be negative."""
    positive = Multiplier.of(abs(real))
    sign = -1 if real < 0 else 1
    return replace(positive, mantissa=(sign * positive.mantissa[0],))


def rectify(call: Call) -> tuple[np.ndarray, ...]:
    """RELU and its kinds as separate operators: another scale, and limits."""
    source, result = call.source(), call.result
    multiplier = Multiplier.of(
        np.float64(np.float32(source.scale[0]) / np.float32(result.scale[0]))
    )
    low, high = limits_in_steps(call.op.traits.limits, result)
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
    reciprocal = one_over_one_plus((sums << headroom) - (1 << 31))
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


KERNELS: dict[str, Kernel] = {
    OpKind.RELU: rectify,
    OpKind.RELU6: rectify,
    OpKind.RELU_N1_TO_1: rectify,
    OpKind.RELU_0_TO_1: rectify,
    OpKind.LEAKY_RELU: leaky_relu,
    OpKind.PRELU: prelu,
    OpKind.GELU: gelu,
    OpKind.TANH: tabled(_tanh),
    OpKind.EXP: tabled(_exp),
    OpKind.LOG: tabled(_log),
    OpKind.ABS: absolute,
    OpKind.SQRT: square_root,
    OpKind.RSQRT: inverse_square_root,
    OpKind.LOGISTIC: tabled(_logistic),
    OpKind.HARD_SWISH: hard_swish,
    OpKind.SOFTMAX: softmax,
}
