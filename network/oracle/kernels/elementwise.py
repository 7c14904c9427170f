"""Elementwise operators of two operands.

Source: Add and Mul of tensorflow/lite/kernels/internal/reference, and the Prepare functions of
add.cc, sub.cc, mul.cc and squared_difference.cc beside it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from network.operators import OpKind
from network.oracle.call import Call, Kernel
from network.oracle.fixed_point import Multiplier

_LEFT_SHIFT = 20
"""Bits by which 8-bit summands are shifted to the left before they are rescaled."""

_LEFT_SHIFT_WIDE = 15
"""Bits by which 16-bit summands are shifted to the left before they are rescaled."""

_LEFT_SHIFT_SQUARED = 7
"""Bits by which operands are shifted to the left before their difference is squared."""


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
    product = call.centred(wide=True) * call.centred(1, wide=True)
    return (call.stored(multiplier.apply(product)),)


def maximum(call: Call) -> tuple[np.ndarray, ...]:
    """MAXIMUM of integers, which must have one scale."""
    return (_extreme(call, np.maximum),)


def minimum(call: Call) -> tuple[np.ndarray, ...]:
    """MINIMUM of integers, which must have one scale."""
    return (_extreme(call, np.minimum),)


def squared_difference(call: Call) -> tuple[np.ndarray, ...]:
    """SQUARED_DIFFERENCE, with broadcasting: ``q3 = M3 (M1 (q1 << 7) - M2 (q2 << 7)) ** 2``.

    With ``twice = 2 max(s1, s2)``: ``M1 = s1 / twice``, ``M2 = s2 / twice``,
    ``M3 = twice ** 2 / (2 ** 14 s3)``.
    """
    call.require_size(*np.broadcast_shapes(call.array(0).shape, call.array(1).shape))
    first, second, result = (
        np.float64(params.scale[0]) for params in (call.source(), call.source(1), call.result)
    )
    twice = 2.0 * max(first, second)
    left = Multiplier.of(first / twice).apply(call.centred() << _LEFT_SHIFT_SQUARED)
    right = Multiplier.of(second / twice).apply(call.centred(1) << _LEFT_SHIFT_SQUARED)
    output = Multiplier.of(twice * twice / (2.0 ** (2 * _LEFT_SHIFT_SQUARED) * result))
    return (call.stored(output.apply(np.square(left - right))),)


def _extreme(call: Call, extreme: np.ufunc) -> np.ndarray:
    call.require_size(*np.broadcast_shapes(call.array(0).shape, call.array(1).shape))
    if any(source != call.result for source in call.sources):
        raise call.refused("inputs of other scales than the result's")
    found: np.ndarray = extreme(call.array(0), call.array(1))
    return found


def _sum(call: Call, *, sign: int) -> np.ndarray:
    """``q3 = M3 (M1 (q1 << bits) +- M2 (q2 << bits))`` of centred integers.

    With ``twice = 2 max(s1, s2)``: ``M1 = s1 / twice``, ``M2 = s2 / twice``,
    ``M3 = twice / (2 ** bits s3)``.
    """
    call.require_size(*np.broadcast_shapes(call.array(0).shape, call.array(1).shape))
    first, second, result = (
        np.float64(params.scale[0]) for params in (call.source(), call.source(1), call.result)
    )
    twice = 2.0 * max(first, second)
    bits = _LEFT_SHIFT_WIDE if call.is_wide else _LEFT_SHIFT
    left = Multiplier.of(first / twice).apply(call.centred(wide=True) << bits)
    right = Multiplier.of(second / twice)
    right = replace(right, mantissa=(sign * right.mantissa[0],))
    total = left + right.apply(call.centred(1, wide=True) << bits)
    return call.stored(Multiplier.of(twice / (2.0**bits * result)).apply(total))


KERNELS: dict[str, Kernel] = {
    OpKind.ADD: add,
    OpKind.SUB: subtract,
    OpKind.MUL: multiply,
    OpKind.MAXIMUM: maximum,
    OpKind.MINIMUM: minimum,
    OpKind.SQUARED_DIFFERENCE: squared_difference,
}
