"""Convolutions and matrix products: sums of products, a bias, one multiplier per channel.

Weights are int8; inputs are int8, or int16 with sums of 64 bits.

Source: ConvPerChannel, DepthwiseConvPerChannel, TransposeConv and FullyConnected of
tensorflow/lite/kernels/internal/reference/integer_ops, with the multipliers of
PopulateConvolutionQuantizationParams in tensorflow/lite/kernels/kernel_util.cc. The number of
roundings in FULLY_CONNECTED comes from a comparison with ai-edge-litert 2.3.0.
"""

from __future__ import annotations

import numpy as np

from network.operators import OpKind
from network.oracle.call import MOST_PRODUCTS, Call, Kernel, spread_of
from network.oracle.fixed_point import Multiplier

_SAME = 0
"""Value of Padding.SAME in the schema."""

_EXACT_IN_SINGLE = (1 << 24) // (255 * 128)
"""Largest number of products of 8-bit numbers whose sum is exact in single precision."""


def convolution(call: Call) -> tuple[np.ndarray, ...]:
    """CONV_2D: input ``[n, h, w, c]``, weight ``[o, kh, kw, c / groups]``, bias ``[o]``."""
    weight = call.array(1)
    outputs, height, width, depth = weight.shape
    patches = _patches(call, height, width)  # [n, rows, columns, kh, kw, c]
    n, rows, columns = patches.shape[:3]
    call.require_size(n, rows, columns, outputs)
    groups = patches.shape[5] // depth
    taps, group_outputs = height * width * depth, outputs // groups
    group_sums = []
    for group in range(groups):
        window = patches[..., group * depth : (group + 1) * depth]
        kernels = weight[group * group_outputs : (group + 1) * group_outputs]
        rows_of_taps = window.reshape(n * rows * columns, taps)
        group_sums.append(_product(call, rows_of_taps, kernels.reshape(group_outputs, taps).T))
    sums = np.concatenate(group_sums, axis=1).reshape(n, rows, columns, outputs)
    return (_finished(call, sums),)


def depthwise(call: Call) -> tuple[np.ndarray, ...]:
    """DEPTHWISE_CONV_2D: input ``[n, h, w, c]``, weight ``[1, kh, kw, c * multiplier]``."""
    weight = call.array(1).astype(np.int64)
    _, height, width, outputs = weight.shape
    patches = _patches(call, height, width)
    call.require_size(*patches.shape[:3], outputs)
    multiplier = outputs // patches.shape[5]
    sums = np.zeros((*patches.shape[:3], outputs), np.int64)
    for row in range(height):
        for column in range(width):
            tap = patches[:, :, :, row, column]
            # Output channel i * multiplier + m reads input channel i.
            sums += np.repeat(tap, multiplier, axis=3) * weight[0, row, column]
    return (_finished(call, sums),)


def dense(call: Call) -> tuple[np.ndarray, ...]:
    """FULLY_CONNECTED: input ``[..., c]``, weight ``[o, c]``, bias ``[o]``."""
    weight = call.array(1)
    rows = call.centred(wide=True).reshape(-1, weight.shape[1])
    call.require_size(len(rows), len(weight))
    sums = _biased(call, _product(call, rows, weight.T))
    # LiteRT rounds once here, with all bits of the multiplier; in convolutions it rounds twice.
    values = call.stored(_multiplier(call).apply_once(sums))
    return (values.reshape(call.shapes[0]),)


def transposed(call: Call) -> tuple[np.ndarray, ...]:
    """TRANSPOSE_CONV: input ``[n, h, w, c]``, weight ``[o, kh, kw, c]``, bias ``[o]``.

    Each pixel adds its products to a window of the result.
    """
    weight, values = call.array(1).astype(np.float64), call.centred(wide=True)
    n, rows, columns, depth = values.shape
    outputs, height, width, _ = weight.shape
    result = call.shapes[0]
    call.require_size(*result)
    call.require_size(n, rows, columns, height, width, outputs, most=MOST_PRODUCTS)
    places = [_places(call, axis, size) for axis, size in ((0, rows), (1, columns))]
    sums = np.zeros((n, *(extent for _, extent, _ in places), outputs), np.int64)
    flat = values.reshape(-1, depth).astype(np.float64)
    (down, _, top), (across, _, left) = places
    for row in range(height):
        for column in range(width):
            products = (flat @ weight[:, row, column].T).astype(np.int64)
            window = np.ix_(np.arange(n), down + row, across + column)
            sums[window] += products.reshape(n, rows, columns, outputs)
    sums = sums[:, top : top + result[1], left : left + result[2]]
    return (_finished(call, sums),)


def _places(call: Call, axis: int, size: int) -> tuple[np.ndarray, int, int]:
    """Where the window of each pixel begins, the extent of all windows, and what is cut off."""
    stride = int(call.options["strideH" if axis == 0 else "strideW"])
    window, result = call.array(1).shape[1 + axis], call.shapes[0][1 + axis]
    count = -(-result // stride) if call.options["padding"] == _SAME else size
    before = 0
    if call.options["padding"] == _SAME:
        before = max((count - 1) * stride + window - result, 0) // 2
    extent = max((size - 1) * stride + window, before + result)
    return np.arange(size) * stride, extent, before


def _patches(call: Call, height: int, width: int) -> np.ndarray:
    """Windows of the input minus its zero point, which pads it: ``[n, rows, columns, h, w, c]``."""
    options = call.options
    down, across = options["dilationHFactor"], options["dilationWFactor"]
    step_h, step_w = options["strideH"], options["strideW"]
    values = call.centred(wide=True)
    same = options["padding"] == _SAME
    extent_h, extent_w = (height - 1) * down + 1, (width - 1) * across + 1
    rows, top, bottom = spread_of(values.shape[1], extent_h, step_h, same=same)
    columns, left, right = spread_of(values.shape[2], extent_w, step_w, same=same)
    n, in_height, in_width, depth = values.shape
    call.require_size(n, in_height + top + bottom, in_width + left + right, depth)
    call.require_size(n, rows, columns, height, width, depth, most=MOST_PRODUCTS)
    padded = np.pad(values, ((0, 0), (top, bottom), (left, right), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (extent_h, extent_w), axis=(1, 2))
    chosen = windows[:, ::step_h, ::step_w, :, ::down, ::across][:, :rows, :columns]
    patches: np.ndarray = chosen.transpose(0, 1, 2, 4, 5, 3)
    return patches


def _product(call: Call, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Exact matrix product of small integers, int64; computed by BLAS in floating point."""
    single = not call.is_wide and left.shape[1] <= _EXACT_IN_SINGLE
    kind = np.dtype(np.float32 if single else np.float64)
    product: np.ndarray = left.astype(kind) @ right.astype(kind)
    return product.astype(np.int64)


def _finished(call: Call, sums: np.ndarray) -> np.ndarray:
    multiplier, biased = _multiplier(call), _biased(call, sums)
    return call.stored(multiplier.apply_wide(biased) if call.is_wide else multiplier.apply(biased))


def _biased(call: Call, sums: np.ndarray) -> np.ndarray:
    if len(call.inputs) > 2 and call.inputs[2] is not None:
        sums = sums + call.array(2).astype(np.int64)
    return sums


def _multiplier(call: Call) -> Multiplier:
    weights = np.asarray(call.source(1).scale, np.float64)
    return Multiplier.of(call.source().scale[0] * weights / call.result.scale[0])


KERNELS: dict[str, Kernel] = {
    OpKind.CONV: convolution,
    OpKind.DEPTHWISE_CONV: depthwise,
    OpKind.DENSE: dense,
    OpKind.TRANSPOSE_CONV: transposed,
}
