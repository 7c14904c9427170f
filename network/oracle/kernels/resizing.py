"""Images in other sizes.

Source: ResizeBilinearInteger of tensorflow/lite/kernels/internal/reference/resize_bilinear.h,
ResizeNearestNeighbor of resize_nearest_neighbor.h beside it.
"""

from __future__ import annotations

import numpy as np

from network.affine import round_away
from network.operators import OpKind
from network.oracle.call import Call, Kernel

_BITS = 10
_ONE = 1 << _BITS
"""Distance of two pixels in the fixed point of the bilinear kernel."""


def nearest(call: Call) -> tuple[np.ndarray, ...]:
    """RESIZE_NEAREST_NEIGHBOR; the places are computed in single precision."""
    values = call.array(0)
    height, width = _sizes(call)
    rows, columns = (
        nearest_places(call, before, after)
        for before, after in zip(values.shape[1:3], (height, width), strict=True)
    )
    return (values[:, rows[:, None], columns],)


def bilinear(call: Call) -> tuple[np.ndarray, ...]:
    """RESIZE_BILINEAR: weights of 10 bits along each axis, and one rounding."""
    values = call.array(0).astype(np.int64)
    height, width = _sizes(call)
    top, bottom, down = _neighbours(call, values.shape[1], height)
    left, right, across = _neighbours(call, values.shape[2], width)
    down, across = down[:, None, None], across[:, None]
    total = np.zeros((values.shape[0], height, width, values.shape[3]), np.int64)
    for rows, share in ((top, _ONE - down), (bottom, down)):
        for columns, part in ((left, _ONE - across), (right, across)):
            total += values[:, rows[:, None], columns] * share * part
    # C divides towards zero, so half a step is added away from it.
    half = np.where(total > 0, 1 << 2 * _BITS - 1, -(1 << 2 * _BITS - 1))
    nudged = total + half
    rounded = np.sign(nudged) * (np.abs(nudged) >> 2 * _BITS)
    return (rounded.astype(call.result.dtype.value),)


def _sizes(call: Call) -> tuple[int, int]:
    height, width = (int(size) for size in call.array(1).reshape(-1))
    n, _, _, depth = call.array(0).shape
    call.require_size(n, height, width, depth)
    return height, width


def nearest_places(call: Call, before: int, after: int) -> np.ndarray:
    """Index that each of ``after`` results reads among ``before``."""
    aligned, half = bool(call.options["alignCorners"]), bool(call.options["halfPixelCenters"])
    ratio = np.float32(before) / np.float32(after)
    if aligned and after > 1:
        ratio = np.float32(before - 1) / np.float32(after - 1)
    offset = np.float32(0.5 if half else 0.0)
    exact = (np.arange(after, dtype=np.float32) + offset) * ratio
    exact = exact.astype(np.float64)
    places = round_away(exact) if aligned else np.floor(exact)
    places = np.minimum(places.astype(np.int64), before - 1)
    return np.maximum(places, 0) if half else places


def _neighbours(call: Call, before: int, after: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both indices that each result reads along an axis, and the share of the second."""
    ratio = (_ONE * before + after // 2) // after
    if call.options["alignCorners"] and after > 1:
        ratio = (_ONE * (before - 1) + (after - 1) // 2) // (after - 1)
    places = np.arange(after, dtype=np.int64) * ratio
    if call.options["halfPixelCenters"]:
        places += ratio // 2 - _ONE // 2
    # C divides towards zero; the largest with zero makes that a floor.
    low = np.maximum(places >> _BITS, 0)
    high = np.minimum(-(-places >> _BITS), before - 1)
    return low, np.maximum(high, 0), places - low * _ONE


KERNELS: dict[str, Kernel] = {
    OpKind.RESIZE_BILINEAR: bilinear,
    OpKind.RESIZE_NEAREST: nearest,
}
