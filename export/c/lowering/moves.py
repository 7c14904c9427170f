"""Operators that move numbers without a change of their values.

The moves are those of NumPy's views: the strides of a view of an array are the kernel's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from export.c.calls import AXES, Constant, Field, KernelCall, Lowering, Site, six
from export.c.lowering.reductions import picked
from network.operators import OpKind
from network.oracle.kernels.layout import slice_index


def aliased(_site: Site) -> tuple[KernelCall, ...]:
    """RESHAPE, EXPAND_DIMS and SQUEEZE: the result is the input's memory."""
    return ()


def transposed(site: Site) -> tuple[KernelCall, ...]:
    """TRANSPOSE by the permutation in the second input."""
    source = _array(site)
    view = source.transpose(tuple(int(axis) for axis in site.call.array(1)))
    return (_moved(site, source, view),)


def concatenated(site: Site) -> tuple[KernelCall, ...]:
    """CONCATENATION of inputs of one scale; the fused activation only limits integers."""
    _require_one_scale(site, range(len(site.op.inputs)))
    limits = site.limits()
    if (limits["low"], limits["high"]) != (-128, 127):
        raise site.refused("a fused activation")
    axis = int(site.op.options["axis"]) % len(site.result.shape)
    return _joined(site, axis, lambda place, size: slice(place, place + size))


def packed(site: Site) -> tuple[KernelCall, ...]:
    """PACK: the inputs along a new axis."""
    _require_one_scale(site, range(len(site.op.inputs)))
    axis = int(site.op.options["axis"]) % len(site.result.shape)
    return _joined(site, axis, None)


def _joined(site: Site, axis: int, part: Any) -> tuple[KernelCall, ...]:
    """Each input into its part of the result; ``part`` gives it, None for one index each."""
    result = np.empty(site.result.shape, np.int8)
    calls, place = [], 0
    for position in range(len(site.op.inputs)):
        size = 1 if part is None else site.input(position).shape[axis]
        index: list[Any] = [slice(None)] * result.ndim
        index[axis] = place if part is None else part(place, size)
        place += size
        source = _array(site, position)
        calls.append(_moved(site, source, source, position, target=(result, result[tuple(index)])))
    return tuple(calls)


def split(site: Site) -> tuple[KernelCall, ...]:
    """SPLIT into equal parts along the axis in the first input."""
    axis = int(site.call.array(0).reshape(-1)[0])
    source = _array(site, 1)
    parts = np.split(source, int(site.op.options["numSplits"]), axis=axis)
    return _parts(site, source, parts, 1)


def split_unevenly(site: Site) -> tuple[KernelCall, ...]:
    """SPLIT_V: sizes along the axis in the third input; -1 for the rest."""
    source = _array(site)
    axis = int(site.call.array(2).reshape(-1)[0])
    sizes = site.call.array(1).astype(np.int64).reshape(-1)
    sizes = np.where(sizes < 0, source.shape[axis] - sizes[sizes >= 0].sum(), sizes)
    return _parts(site, source, np.split(source, np.cumsum(sizes)[:-1], axis=axis))


def unpacked(site: Site) -> tuple[KernelCall, ...]:
    """UNPACK: each index of an axis, without that axis."""
    source = _array(site)
    return _parts(site, source, list(np.moveaxis(source, int(site.op.options["axis"]), 0)))


def _parts(
    site: Site, source: np.ndarray, views: list[np.ndarray], position: int = 0
) -> tuple[KernelCall, ...]:
    return tuple(
        _moved(site, source, view, position, name=name)
        for view, name in zip(views, site.op.outputs, strict=True)
    )


def strided_slice(site: Site) -> tuple[KernelCall, ...]:
    """STRIDED_SLICE with all of its masks."""
    source = _array(site)
    return (_moved(site, source, source[slice_index(site.call)]),)


def sliced(site: Site) -> tuple[KernelCall, ...]:
    """SLICE: where each axis begins, and how much of it; -1 for the rest."""
    source = _array(site)
    begins, sizes = (site.call.array(i).reshape(-1) for i in (1, 2))
    parts = zip(begins, sizes, source.shape, strict=True)
    return (
        _moved(site, source, source[tuple(slice(b, n if s < 0 else b + s) for b, s, n in parts)]),
    )


def broadcast(site: Site) -> tuple[KernelCall, ...]:
    """BROADCAST_TO."""
    source = _array(site)
    return (_moved(site, source, np.broadcast_to(source, site.result.shape)),)


def reversed_axes(site: Site) -> tuple[KernelCall, ...]:
    """REVERSE_V2: backwards along the axes in the second input."""
    source = _array(site)
    axes = tuple(int(axis) for axis in site.call.array(1).reshape(-1))
    return (_moved(site, source, np.flip(source, axes)),)


def to_space(site: Site) -> tuple[KernelCall, ...]:
    """DEPTH_TO_SPACE."""
    source = _array(site)
    n, height, width, depth = source.shape
    block = int(site.op.options["blockSize"])
    blocks = source.reshape(n, height, width, block, block, depth // block**2)
    return (_moved(site, source, blocks.transpose(0, 1, 3, 2, 4, 5)),)


def to_depth(site: Site) -> tuple[KernelCall, ...]:
    """SPACE_TO_DEPTH."""
    source = _array(site)
    n, height, width, depth = source.shape
    block = int(site.op.options["blockSize"])
    blocks = source.reshape(n, height // block, block, width // block, block, depth)
    return (_moved(site, source, blocks.transpose(0, 1, 3, 2, 4, 5)),)


def padded(site: Site) -> tuple[KernelCall, ...]:
    """PAD with the integer that stands for 0, PADV2 with that in the third input."""
    value = site.call.result.zero_point[0]
    if site.op.kind == OpKind.PADV2:
        if site.input(2).value is None:
            raise site.refused("a computed value")
        _require_one_scale(site, (0, 2))
        value = int(site.call.array(2).reshape(-1)[0])
    source, result = _array(site), np.empty(site.result.shape, np.int8)
    margins = site.call.array(1)
    inside = tuple(
        slice(int(before), int(before) + size)
        for (before, _), size in zip(margins, source.shape, strict=True)
    )
    fields: dict[str, Field] = {"bytes": result.size, "value": value}
    return (
        KernelCall("fill", "fill", fields, (), site.result.name),
        _moved(site, source, source, target=(result, result[inside])),
    )


def mirrored(site: Site) -> tuple[KernelCall, ...]:
    """MIRROR_PAD: a reflection around the ends (mode 0), or with them (mode 1)."""
    shape = site.input().shape
    if len(shape) > AXES:
        raise site.refused(f"{len(shape)} axes")
    mode = "symmetric" if site.op.options["mode"] else "reflect"
    tables, stride = [], 1
    for size, margin in zip(reversed(shape), reversed(site.call.array(1)), strict=True):
        pair = (int(margin[0]), int(margin[1]))
        places: np.ndarray = np.pad(np.arange(size), pair, mode=mode)  # type: ignore[call-overload]
        tables.append(Constant.of(places * stride, "int32_t"))
        stride *= size
    sizes = tuple(table.values.size for table in reversed(tables))
    return (picked(site, sizes, tuple(reversed(tables)), 1),)


def gathered(site: Site) -> tuple[KernelCall, ...]:
    """GATHER of stored indices along an axis."""
    if site.input(1).value is None:
        raise site.refused("computed indices")
    shape, indices = site.input().shape, site.call.array(1)
    axis = int(site.op.options["axis"]) % len(shape)
    if int(site.op.options.get("batchDims") or 0) % max(indices.ndim, 1):
        raise site.refused("indices for each example of a batch")
    before, after = int(np.prod(shape[:axis])), int(np.prod(shape[axis + 1 :]))
    flat = indices.astype(np.int64).reshape(-1) % shape[axis]
    tables = (
        Constant.of(np.arange(before) * shape[axis] * after, "int32_t"),
        Constant.of(flat * after, "int32_t"),
    )
    return (picked(site, (before, flat.size), tables, after),)


def _array(site: Site, position: int = 0) -> np.ndarray:
    """Array of an input's shape, for its strides alone."""
    return np.empty(site.input(position).shape, np.int8)


def _moved(
    site: Site,
    source: np.ndarray,
    view: np.ndarray,
    position: int = 0,
    *,
    name: str = "",
    target: tuple[np.ndarray, np.ndarray] | None = None,
) -> KernelCall:
    """Call that copies a view of an input to the result, or to a view of it."""
    if target is None:
        result = np.empty(view.shape, np.int8)
        target = result, result
    sizes, steps, targets = _merged(view, target[1])
    if len(sizes) > AXES:
        raise site.refused(f"{len(sizes)} axes")
    fields: dict[str, Field] = {
        "sizes": six(sizes, 1),
        "from": six(steps, 0),
        "to": six(targets, 0),
        "from_start": _start(source, view),
        "to_start": _start(*target),
    }
    result_name = name or site.result.name
    return KernelCall("move", "move", fields, (site.source(position),), result_name)


def _start(whole: np.ndarray, view: np.ndarray) -> int:
    """Distance of a view's first number from the array's."""
    first, start = (int(a.__array_interface__["data"][0]) for a in (view, whole))
    return first - start


def _merged(
    view: np.ndarray, target: np.ndarray
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Sizes and strides of two views, with axes joined that lie together in both."""
    axes: list[tuple[int, int, int]] = []
    for size, step, to in zip(view.shape, view.strides, target.strides, strict=True):
        if size == 1:
            continue
        if axes and axes[-1][1] == size * step and axes[-1][2] == size * to:
            axes[-1] = (axes[-1][0] * size, step, to)
        else:
            axes.append((size, step, to))
    axes = axes or [(1, 1, 1)]
    sizes, steps, targets = zip(*axes, strict=True)
    return sizes, steps, targets


def _require_one_scale(site: Site, positions: Any) -> None:
    if any(site.call.sources[position] != site.call.result for position in positions):
        raise site.refused("inputs of other scales than the result's")


LOWERINGS: dict[str, Lowering] = {
    OpKind.RESHAPE: aliased,
    OpKind.EXPAND_DIMS: aliased,
    OpKind.SQUEEZE: aliased,
    OpKind.TRANSPOSE: transposed,
    OpKind.CONCATENATION: concatenated,
    OpKind.PACK: packed,
    OpKind.SPLIT: split,
    OpKind.SPLIT_V: split_unevenly,
    OpKind.UNPACK: unpacked,
    OpKind.STRIDED_SLICE: strided_slice,
    OpKind.SLICE: sliced,
    OpKind.BROADCAST_TO: broadcast,
    OpKind.REVERSE: reversed_axes,
    OpKind.DEPTH_TO_SPACE: to_space,
    OpKind.SPACE_TO_DEPTH: to_depth,
    OpKind.PAD: padded,
    OpKind.PADV2: padded,
    OpKind.MIRROR_PAD: mirrored,
    OpKind.GATHER: gathered,
}
