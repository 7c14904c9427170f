"""Operators that move integers to other places, axes and sizes without a change of their values.

Source: Gather, Pack, Unpack, Slice, SplitV, BroadcastTo, MirrorPad, PadV2, Reverse,
DepthToSpace and SpaceToDepth of tensorflow/lite/kernels.
"""

from __future__ import annotations

import numpy as np

from network.operators import OpKind
from network.oracle.call import Call, Kernel


def _same_scales(call: Call, positions: tuple[int, ...]) -> None:
    """Refuse inputs of other parameters than the result's, which the kernels ignore."""
    if any(call.sources[position] != call.result for position in positions):
        raise call.refused("inputs of other scales than the result's")


def reshaped(call: Call) -> tuple[np.ndarray, ...]:
    """EXPAND_DIMS and SQUEEZE: to the shape of the result in the file."""
    return (call.array(0).reshape(call.shapes[0]),)


def pack(call: Call) -> tuple[np.ndarray, ...]:
    """PACK: the inputs along a new axis."""
    _same_scales(call, tuple(range(len(call.inputs))))
    arrays = [call.array(i) for i in range(len(call.inputs))]
    return (np.stack(arrays, axis=int(call.options["axis"])),)


def unpack(call: Call) -> tuple[np.ndarray, ...]:
    """UNPACK: each index of an axis, without that axis."""
    return tuple(np.moveaxis(call.array(0), int(call.options["axis"]), 0))


def sliced(call: Call) -> tuple[np.ndarray, ...]:
    """SLICE: where each axis begins, and how much of it; -1 for the rest."""
    begins, sizes = (call.array(i).reshape(-1) for i in (1, 2))
    parts = zip(begins, sizes, call.array(0).shape, strict=True)
    return (call.array(0)[tuple(slice(b, n if s < 0 else b + s) for b, s, n in parts)],)


def split_unevenly(call: Call) -> tuple[np.ndarray, ...]:
    """SPLIT_V: sizes along the axis in the third input; -1 for the rest."""
    axis = int(call.array(2).reshape(-1)[0])
    sizes = call.array(1).astype(np.int64).reshape(-1)
    sizes = np.where(sizes < 0, call.array(0).shape[axis] - sizes[sizes >= 0].sum(), sizes)
    return tuple(np.split(call.array(0), np.cumsum(sizes)[:-1], axis=axis))


def gather(call: Call) -> tuple[np.ndarray, ...]:
    """GATHER: the indices in the second input along an axis."""
    values, indices = call.array(0), call.array(1)
    axis, leading = int(call.options["axis"]), int(call.options.get("batchDims") or 0)
    axis, leading = axis % values.ndim, leading % max(indices.ndim, 1)
    if not leading:
        return (np.take(values, indices, axis=axis),)
    shared = values.shape[:leading]
    taken = [
        np.take(values[place], indices[place], axis=axis - leading) for place in np.ndindex(shared)
    ]
    return (np.stack(taken).reshape(call.shapes[0]),)


def broadcast(call: Call) -> tuple[np.ndarray, ...]:
    """BROADCAST_TO: to the sizes in the second input."""
    sizes = [int(size) for size in call.array(1).reshape(-1)]
    call.require_size(*sizes)
    return (np.ascontiguousarray(np.broadcast_to(call.array(0), sizes)),)


def reverse(call: Call) -> tuple[np.ndarray, ...]:
    """REVERSE_V2: backwards along the axes in the second input."""
    axes = tuple(int(axis) for axis in call.array(1).reshape(-1))
    return (np.ascontiguousarray(np.flip(call.array(0), axes)),)


def mirror_pad(call: Call) -> tuple[np.ndarray, ...]:
    """MIRROR_PAD: a reflection around the ends (mode 0), or with them (mode 1)."""
    margins = _margins(call)
    mode = "symmetric" if call.options["mode"] else "reflect"
    padded: np.ndarray = np.pad(call.array(0), margins, mode=mode)  # type: ignore[call-overload]
    return (padded,)


def pad_with(call: Call) -> tuple[np.ndarray, ...]:
    """PADV2: padding with the integer in the third input."""
    _same_scales(call, (0, 2))
    value = call.array(2).reshape(-1)[0]
    return (np.pad(call.array(0), _margins(call), constant_values=value),)


def _margins(call: Call) -> list[tuple[int, int]]:
    margins = [(int(before), int(after)) for before, after in call.array(1)]
    sizes = zip(call.array(0).shape, margins, strict=True)
    call.require_size(*(size + before + after for size, (before, after) in sizes))
    return margins


def to_space(call: Call) -> tuple[np.ndarray, ...]:
    """DEPTH_TO_SPACE: ``[n, h, w, b * b * c] -> [n, h * b, w * b, c]``."""
    n, height, width, depth = call.array(0).shape
    block = int(call.options["blockSize"])
    blocks = call.array(0).reshape(n, height, width, block, block, depth // block**2)
    return (blocks.transpose(0, 1, 3, 2, 4, 5).reshape(call.shapes[0]),)


def to_depth(call: Call) -> tuple[np.ndarray, ...]:
    """SPACE_TO_DEPTH: ``[n, h * b, w * b, c] -> [n, h, w, b * b * c]``."""
    n, height, width, depth = call.array(0).shape
    block = int(call.options["blockSize"])
    blocks = call.array(0).reshape(n, height // block, block, width // block, block, depth)
    return (blocks.transpose(0, 1, 3, 2, 4, 5).reshape(call.shapes[0]),)


KERNELS: dict[str, Kernel] = {
    OpKind.EXPAND_DIMS: reshaped,
    OpKind.SQUEEZE: reshaped,
    OpKind.PACK: pack,
    OpKind.UNPACK: unpack,
    OpKind.SLICE: sliced,
    OpKind.SPLIT_V: split_unevenly,
    OpKind.GATHER: gather,
    OpKind.BROADCAST_TO: broadcast,
    OpKind.REVERSE: reverse,
    OpKind.MIRROR_PAD: mirror_pad,
    OpKind.PADV2: pad_with,
    OpKind.DEPTH_TO_SPACE: to_space,
    OpKind.SPACE_TO_DEPTH: to_depth,
}
