"""Sums, products, rectifiers and changes of scale.

Source: Add, Mul, Requantize and AffineQuantize of tensorflow/lite/kernels/internal/reference, and
the Prepare functions of add.cc, sub.cc, mul.cc, activations.cc and quantize.cc beside it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evaluation.oracle.call import Call, rescaling
from evaluation.oracle.fixed_point import Multiplier
from network.affine import activation_limits
from network.operators import Fused, OpKind

_LEFT_SHIFT = 20
"""Bits that 8-bit summands are moved up by before they are rescaled."""

_LEFT_SHIFT_WIDE = 15
"""Likewise, of 16-bit summands."""


def add(call: Call) -> tuple[np.ndarray, ...]:
    """ADD, with broadcasting."""
    return (_sum(call, sign=1),)


def subtract(call: Call) -> tuple[np.ndarray, ...]:
    """SUB, with broadcasting: the second multiplier is negative."""
    return (_sum(call, sign=-1),)


def multiply(call: Call) -> tuple[np.ndarray, ...]:
    """MUL, with broadcasting; scales are multiplied in single precision, as in the kernel."""
    call.require_size(*np.broadcast_shapes(call.array(0).shape, call.array(1).shape))
    first, second, result = (
        np.float32(params.scale[0]) for params in (call.source(), call.source(1), call.result)
    )
    multiplier = Multiplier.of(np.float64(first * second / result))
    return (call.stored(multiplier.apply(call.centred() * call.centred(1))),)


def rectify(call: Call) -> tuple[np.ndarray, ...]:
    """RELU and RELU6 as operators of their own."""
    source, result = call.source(), call.result
    multiplier = Multiplier.of(
        np.float64(np.float32(source.scale[0]) / np.float32(result.scale[0]))
    )
    fused = Fused.RELU if call.op.kind == OpKind.RELU else Fused.RELU6
    low, high = activation_limits(fused, result)
    values = multiplier.apply(call.centred()) + result.zero_point[0]
    return (np.clip(values, low, high).astype(result.dtype.value),)


def quantize(call: Call) -> tuple[np.ndarray, ...]:
    """QUANTIZE: of floats, or from one scale or type to another."""
    if call.sources[0] is None:
        return (call.result.quantize(call.array(0)),)
    return (call.stored(rescaling(call).apply(call.centred(wide=True))),)


def dequantize(call: Call) -> tuple[np.ndarray, ...]:
    """DEQUANTIZE to float32."""
    return (call.source().dequantize(call.array(0)),)


def _sum(call: Call, *, sign: int) -> np.ndarray:
    call.require_size(*np.broadcast_shapes(call.array(0).shape, call.array(1).shape))
    first, second, result = (
        np.float64(params.scale[0]) for params in (call.source(), call.source(1), call.result)
    )
    twice = 2.0 * max(first, second)
    up = _LEFT_SHIFT_WIDE if call.is_wide else _LEFT_SHIFT
    left = Multiplier.of(first / twice).apply(call.centred(wide=True) << up)
    right = Multiplier.of(second / twice)
    right = replace(right, mantissa=(sign * right.mantissa[0],))
    total = left + right.apply(call.centred(1, wide=True) << up)
    return call.stored(Multiplier.of(twice / (2.0**up * result)).apply(total))
