"""Operators that move numbers: shapes, orders of axes, parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from export.onnx.graph import Node
from export.onnx.rendering import TO_NCHW, Rendering, Writer
from export.onnx.writers.common import (
    axis_in_file,
    axis_of,
    of_whole_batch,
    runs_channels_first,
)
from foundation.errors import UnsupportedError
from network.graph import Op
from network.operators import OpKind


def _pad(rendering: Rendering, op: Op) -> None:
    widths = np.asarray(rendering.value(op, 1), np.int64)
    channels_first = op.inputs[0] in rendering.channels_first
    if channels_first:
        widths = widths[TO_NCHW]
    pads = rendering.constant(f"{op.name}.pads", widths.T.reshape(-1))
    value = rendering.add("Pad", [rendering.read(op, 0), pads], f"{op.name}.f", op.name)
    rendering.set_result(op, value, channels_first=channels_first)


def reshape(rendering: Rendering, op: Op) -> None:
    """RESHAPE, in the order of the canonical graph."""
    before, after = rendering.operand_shape(op, 0), rendering.result_shape(op)
    # [b, 1, 1, c] and [b, c, 1, 1] have their numbers in the same order.
    either_layout = len(before) == 4 and before[1:3] == (1, 1) and len(after) == 2
    value = rendering.read(op, 0, channels_first=None if either_layout else False)
    shape = rendering.constant(f"{op.name}.shape", np.array([-1, *after[1:]], np.int64))
    value = rendering.add("Reshape", [value, shape], f"{op.name}.f", op.name)
    rendering.set_result(op, value, channels_first=False)


def _transpose(rendering: Rendering, op: Op) -> None:
    order = [int(axis) for axis in rendering.value(op, 1)]
    value = rendering.read(op, 0, channels_first=False)
    value = rendering.add("Transpose", [value], f"{op.name}.f", op.name, perm=order)
    rendering.set_result(op, value, channels_first=False)


def _concatenation(rendering: Rendering, op: Op) -> None:
    channels_first = runs_channels_first(rendering, op)
    inputs = [
        of_whole_batch(rendering, op, i, rendering.read(op, i, channels_first=channels_first))
        for i in range(len(op.inputs))
    ]
    axis = axis_of(rendering, op, int(op.options["axis"]), channels_first=channels_first)
    value = rendering.add("Concat", inputs, f"{op.name}.f", op.name, axis=axis)
    rendering.set_result(op, value, channels_first=channels_first)


def _split(rendering: Rendering, op: Op) -> None:
    channels_first = op.inputs[1] in rendering.channels_first
    axis = axis_of(
        rendering, op, int(np.ravel(rendering.value(op, 0))[0]), channels_first=channels_first
    )
    outputs = [f"{name}.f" for name in op.outputs]
    rendering.nodes.append(Node("Split", [rendering.read(op, 1)], outputs, {"axis": axis}, op.name))
    for name, value in zip(op.outputs, outputs, strict=True):
        rendering.set_result(op, value, name, channels_first=channels_first)


def _strided_slice(rendering: Rendering, op: Op) -> None:
    """Slice of the axes that are cut, and a Reshape where axes are removed or added."""
    removed_axes = any(int(op.options.get(f"{k}Mask", 0)) for k in ("shrinkAxis", "newAxis"))
    channels_first = op.inputs[0] in rendering.channels_first and not removed_axes
    ranges = _ranges(rendering, op)
    value = cut(rendering, op, ranges, channels_first=channels_first)
    if removed_axes:
        value = rendering.requantize(op.name, value, f"{op.name}.slice.dq")
        shape = rendering.constant(
            f"{op.name}.shape", np.array([-1, *rendering.result_shape(op)[1:]], np.int64)
        )
        value = rendering.add("Reshape", [value, shape], f"{op.name}.whole")
    rendering.set_result(op, value, channels_first=channels_first)


def _ranges(rendering: Rendering, op: Op) -> list[range]:
    """Indices that a STRIDED_SLICE keeps along each axis of its operand."""
    begin, end, step = ([int(v) for v in np.ravel(rendering.value(op, n))] for n in (1, 2, 3))
    masks = {
        key: int(op.options.get(f"{key}Mask", 0))
        for key in ("begin", "end", "ellipsis", "newAxis", "shrinkAxis")
    }
    shape = list(rendering.operand_shape(op, 0))
    entries = range(len(begin))
    named = sum(not (masks["ellipsis"] | masks["newAxis"]) >> entry & 1 for entry in entries)
    ranges: list[range] = []
    for entry in entries:
        if masks["ellipsis"] >> entry & 1:
            first = len(ranges)
            ranges += [range(n) for n in shape[first : first + len(shape) - named]]
            continue
        if masks["newAxis"] >> entry & 1:
            continue
        low = None if masks["begin"] >> entry & 1 else begin[entry]
        high = None if masks["end"] >> entry & 1 else end[entry]
        places = slice(low, high, step[entry])
        if masks["shrinkAxis"] >> entry & 1:
            places = slice(begin[entry], begin[entry] + 1 or None)
        ranges.append(range(shape[len(ranges)])[places])
    return ranges


def cut(rendering: Rendering, op: Op, ranges: Sequence[range], *, channels_first: bool) -> str:
    """Add a Slice of an operator's first operand.

    Args:
        rendering: graph being written.
        op: operator that cuts.
        ranges: indices to keep along each axis, in the order of the canonical graph.
        channels_first: layout in which the operand is read.

    Returns:
        Name of the slice; of the operand where nothing is cut.

    Raises:
        UnsupportedError: images of the batch would be left out.
    """
    shape = rendering.operand_shape(op, 0)
    cuts: list[tuple[int, int, int, int]] = []
    for axis, indices in enumerate(ranges):
        if indices == range(shape[axis]):
            continue
        if axis == 0:
            raise _not_sliced(op, "the batch cut")
        # ONNX reads -1 as the last index: a stop before the first one is a large negative number.
        stop = indices.stop if indices.stop >= 0 else -(2**31)
        file_axis = axis_in_file(axis, len(shape), channels_first=channels_first)
        cuts.append((indices.start, stop, file_axis, indices.step))
    value = rendering.read(op, 0, channels_first=channels_first)
    if not cuts:
        return value
    columns = zip(("starts", "ends", "axes", "steps"), zip(*cuts, strict=True), strict=True)
    stored = [rendering.constant(f"{op.name}.{name}", np.array(c, np.int64)) for name, c in columns]
    return rendering.add("Slice", [value, *stored], f"{op.name}.f", op.name)


def _not_sliced(op: Op, received: str) -> UnsupportedError:
    return UnsupportedError(
        "an .onnx file has slices of height, width and channels",
        received=f"{op.name} with {received}",
        remedy="replace that layer",
    )


WRITERS: dict[str, Writer] = {
    OpKind.PAD: _pad,
    OpKind.RESHAPE: reshape,
    OpKind.TRANSPOSE: _transpose,
    OpKind.CONCATENATION: _concatenation,
    OpKind.SPLIT: _split,
    OpKind.STRIDED_SLICE: _strided_slice,
}
