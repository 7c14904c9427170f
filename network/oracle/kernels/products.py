"""Products of two activations, and vectors divided by their length.

Source: BatchMatMul of tensorflow/lite/kernels/internal/reference/batch_matmul.h, with the
multiplier of GetQuantizedConvolutionMultipler in tensorflow/lite/kernels/kernel_util.cc;
L2Normalization of internal/reference/integer_ops/l2normalization.h, with
GetInvSqrtQuantizedMultiplierExp of internal/common.h.
"""

from __future__ import annotations

import numpy as np

from network.operators import OpKind
from network.oracle.call import MOST_PRODUCTS, Call, Kernel
from network.oracle.fixed_point import (
    INT32,
    Multiplier,
    doubling_high_mul,
    rounding_divide_by_pot,
    wrapped,
)

_NEWTON_STEPS = 5
_ONE = 1 << 28
"""1 with three integer bits (Q3.28)."""
_HALF_ROOT_OF_TWO = 1518500250
"""``sqrt(2) / 2`` without integer bits."""
_UNIT_BITS = 7
"""The result of a normalization counts 128ths."""


def batch_product(call: Call) -> tuple[np.ndarray, ...]:
    """BATCH_MATMUL: ``[..., m, k]`` and ``[..., k, n]``, either one transposed."""
    left, right = call.centred(wide=True), call.centred(1, wide=True)
    left = left.swapaxes(-1, -2) if call.options.get("adjX") else left
    right = right.swapaxes(-1, -2) if call.options.get("adjY") else right
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    call.require_size(*batch, left.shape[-2], right.shape[-1], left.shape[-1], most=MOST_PRODUCTS)
    # Sums of products of 16-bit numbers are exact in double precision up to 2 ** 23 of them.
    sums = (left.astype(np.float64) @ right.astype(np.float64)).astype(np.int64)
    first, second = (np.float32(call.source(position).scale[0]) for position in (0, 1))
    multiplier = Multiplier.of(np.float64(first * second) / np.float64(call.result.scale[0]))
    return (call.stored(multiplier.apply_wide(sums) if call.is_wide else multiplier.apply(sums)),)


def normalize(call: Call) -> tuple[np.ndarray, ...]:
    """L2_NORMALIZATION over the last axis; the result counts 128ths."""
    values = call.centred()
    mantissa, shift = _inverse_roots(np.square(values).sum(axis=-1, keepdims=True))
    shift = shift + _UNIT_BITS
    left = wrapped(values << np.maximum(shift, 0))
    steps = rounding_divide_by_pot(doubling_high_mul(left, mantissa), np.maximum(-shift, 0))
    return (np.clip(steps, -128, 127).astype(np.int8),)


def _inverse_roots(squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mantissas and shifts to the left of ``1 / sqrt(x)``, by Newton-Raphson steps."""
    rest, right = squares.copy(), np.full_like(squares, 11)
    while (large := rest >= 1 << 29).any():
        rest, right = np.where(large, rest // 4, rest), right + large
    leading = 32 - np.frexp(np.maximum(rest, 1).astype(np.float64))[1].astype(np.int64)
    pairs = (leading - 1) // 2 - 1
    right = right - pairs
    half = rounding_divide_by_pot((rest << 2 * pairs) >> 1, 1)
    x = np.full_like(squares, _ONE)
    for _ in range(_NEWTON_STEPS):
        cube = _shifted(doubling_high_mul(doubling_high_mul(x, x), x), 6)
        three_halves = doubling_high_mul(np.full_like(x, (1 << 28) + (1 << 27)), x)
        x = _shifted(three_halves - doubling_high_mul(half, cube), 3)
    mantissa = doubling_high_mul(x, _HALF_ROOT_OF_TWO)
    mantissa, right = mantissa << np.maximum(-right, 0), np.maximum(right, 0)
    small = squares <= 1
    return np.where(small, INT32.max, mantissa), np.where(small, 0, -right)


def _shifted(values: np.ndarray, bits: int) -> np.ndarray:
    """Shift to the left that stays within int32."""
    saturated: np.ndarray = np.clip(values << bits, INT32.min, INT32.max)
    return saturated


KERNELS: dict[str, Kernel] = {
    OpKind.BATCH_MATMUL: batch_product,
    OpKind.L2_NORMALIZATION: normalize,
}
