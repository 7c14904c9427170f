"""Reductions over axes.

Source: QuantizedMeanOrSum of tensorflow/lite/kernels/internal/reference/reduce.h.
"""

from __future__ import annotations

import math

import numpy as np

from network.operators import OpKind
from network.oracle.call import Call, Kernel, rescaling
from network.oracle.fixed_point import Multiplier


def mean(call: Call) -> tuple[np.ndarray, ...]:
    """MEAN over the axes in the second input; the division is part of the multiplier.

    ``q2 = (scale1 / scale2 / count) * sum(q1 - zero_point1) + zero_point2``.
    """
    values = call.array(0).astype(np.int64)
    axes = tuple(int(axis) % values.ndim for axis in np.atleast_1d(call.array(1)))
    count = math.prod(values.shape[axis] for axis in axes)
    multiplier = rescaling(call)
    mantissa, shift = multiplier.mantissa[0], multiplier.shift[0]
    bits = min(count.bit_length() - 1, 32, 31 + shift)
    divided = Multiplier(((mantissa << bits) // count,), (shift - bits,))
    sums = values.sum(axis=axes, keepdims=True) - call.source().zero_point[0] * count
    return (call.stored(divided.apply(sums)).reshape(call.shapes[0]),)


def largest(call: Call) -> tuple[np.ndarray, ...]:
    """REDUCE_MAX over the axes in the second input."""
    return (call.array(0).max(axis=_axes(call)).reshape(call.shapes[0]),)


def smallest(call: Call) -> tuple[np.ndarray, ...]:
    """REDUCE_MIN over the axes in the second input."""
    return (call.array(0).min(axis=_axes(call)).reshape(call.shapes[0]),)


def _axes(call: Call) -> tuple[int, ...]:
    rank = call.array(0).ndim
    return tuple(sorted({int(axis) % rank for axis in np.atleast_1d(call.array(1))}))


KERNELS: dict[str, Kernel] = {
    OpKind.MEAN: mean,
    OpKind.REDUCE_MAX: largest,
    OpKind.REDUCE_MIN: smallest,
}
