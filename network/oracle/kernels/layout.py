"""Operators that move integers without a change of their values.

Source: Pad, Transpose, Split, StridedSlice and Concatenation of tensorflow/lite/kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from network.operators import OpKind
from network.oracle.call import Call, Kernel


def pad(call: Call) -> tuple[np.ndarray, ...]:
    """PAD with the integer that stands for 0."""
    margins = [(int(before), int(after)) for before, after in call.array(1)]
    sizes = zip(call.array(0).shape, margins, strict=True)
    call.require_size(*(size + before + after for size, (before, after) in sizes))
    return (np.pad(call.array(0), margins, constant_values=call.result.zero_point[0]),)


def reshape(call: Call) -> tuple[np.ndarray, ...]:
    """RESHAPE to the shape of the result in the file."""
    return (call.array(0).reshape(call.shapes[0]),)


def transpose(call: Call) -> tuple[np.ndarray, ...]:
    """TRANSPOSE by the permutation in the second input."""
    return (call.array(0).transpose(tuple(int(axis) for axis in call.array(1))),)


def concatenate(call: Call) -> tuple[np.ndarray, ...]:
    """CONCATENATION; the kernel requires one scale for all inputs and the result."""
    if any(source != call.result for source in call.sources):
        raise call.refused("inputs of other scales than the result's")
    arrays = [call.array(i) for i in range(len(call.inputs))]
    joined = np.concatenate(arrays, axis=call.options["axis"]).astype(np.int64)
    return (call.stored(joined - call.result.zero_point[0]),)


def split(call: Call) -> tuple[np.ndarray, ...]:
    """SPLIT of the second input into equal parts, along the axis in the first."""
    axis = int(call.array(0).reshape(-1)[0])
    return tuple(np.split(call.array(1), call.options["numSplits"], axis=axis))


def strided_slice(call: Call) -> tuple[np.ndarray, ...]:
    """STRIDED_SLICE with all of its masks."""
    return (call.array(0)[slice_index(call)],)


def slice_index(call: Call) -> tuple[Any, ...]:
    """Index of NumPy that a STRIDED_SLICE stands for; refuses offsets."""
    options = call.options
    if options.get("offset"):
        raise call.refused("offsets")
    begins, ends, steps = (call.array(i).reshape(-1) for i in (1, 2, 3))
    index: list[Any] = []
    for axis, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        bit = 1 << axis
        if int(options.get("ellipsisMask") or 0) & bit:
            index.append(Ellipsis)
            continue
        if int(options.get("newAxisMask") or 0) & bit:
            index.append(np.newaxis)
            continue
        if options["shrinkAxisMask"] & bit:
            index.append(int(begin))
            continue
        first = None if options["beginMask"] & bit else int(begin)
        last = None if options["endMask"] & bit else int(end)
        index.append(slice(first, last, int(step)))
    return tuple(index)


KERNELS: dict[str, Kernel] = {
    OpKind.PAD: pad,
    OpKind.RESHAPE: reshape,
    OpKind.TRANSPOSE: transpose,
    OpKind.CONCATENATION: concatenate,
    OpKind.SPLIT: split,
    OpKind.STRIDED_SLICE: strided_slice,
}
