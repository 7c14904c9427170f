"""Pools: means and maxima of windows.

Source: AveragePool and MaxPool of tensorflow/lite/kernels/internal/reference/integer_ops/pooling.h.
"""

from __future__ import annotations

import numpy as np

from network.activation_limits import activation_limits
from network.operators import OpKind
from network.oracle.call import MOST_PRODUCTS, Call, Kernel, spread_of

_SAME = 0


def average_pool(call: Call) -> tuple[np.ndarray, ...]:
    """AVERAGE_POOL_2D: mean of the stored integers in the window, ties away from zero."""
    windows, inside = _windows(call, call.array(0).astype(np.int64), 0)
    sums, counts = windows.sum(axis=(-2, -1)), inside.sum(axis=(-2, -1))
    means = np.sign(sums) * ((np.abs(sums) + counts // 2) // counts)
    return (_clipped(call, means),)


def max_pool(call: Call) -> tuple[np.ndarray, ...]:
    """MAX_POOL_2D of the stored integers."""
    lowest = call.source().dtype.limits[0]
    windows, _ = _windows(call, call.array(0).astype(np.int64), lowest)
    return (_clipped(call, windows.max(axis=(-2, -1))),)


def _windows(call: Call, values: np.ndarray, filling: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows ``[n, rows, columns, c, h, w]``, and 1 where a window lies inside the input."""
    options = call.options
    height, width = options["filterHeight"], options["filterWidth"]
    step_h, step_w = options["strideH"], options["strideW"]
    same = options["padding"] == _SAME
    rows, top, bottom = spread_of(values.shape[1], height, step_h, same=same)
    columns, left, right = spread_of(values.shape[2], width, step_w, same=same)
    n, in_height, in_width, depth = values.shape
    call.require_size(n, in_height + top + bottom, in_width + left + right, depth)
    call.require_size(n, rows, columns, height, width, depth, most=MOST_PRODUCTS)
    margins = ((0, 0), (top, bottom), (left, right), (0, 0))

    def windows(array: np.ndarray, constant: int) -> np.ndarray:
        padded = np.pad(array, margins, constant_values=constant)
        view = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
        return view[:, ::step_h, ::step_w][:, :rows, :columns]

    inside = np.ones((1, *values.shape[1:3], 1), np.int64)
    return windows(values, filling), windows(inside, 0)


def _clipped(call: Call, values: np.ndarray) -> np.ndarray:
    low, high = activation_limits(call.op.fused, call.result)
    clipped: np.ndarray = np.clip(values, low, high)
    return clipped.astype(call.result.dtype.value)


KERNELS: dict[str, Kernel] = {
    OpKind.AVERAGE_POOL: average_pool,
    OpKind.MAX_POOL: max_pool,
}
