"""Operators that move numbers to other axes and places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from export.onnx.fusion import SHUFFLE
from export.onnx.graph import Node
from export.onnx.rendering import TO_NCHW, Rendering, Writer
from export.onnx.writers import layout
from export.onnx.writers.common import axis_in_file, of_whole_batch
from export.onnx.writers.layout import cut
from foundation.errors import UnsupportedError
from network.graph import Op
from network.operators import OpKind


def reshape(rendering: Rendering, op: Op) -> None:
    """RESHAPE, SQUEEZE and EXPAND_DIMS; images of one pixel are written channels first."""
    before, after = rendering.operand_shape(op, 0), rendering.result_shape(op)
    to_one_pixel = len(after) == 4 and after[1:3] == (1, 1)
    from_channels = len(before) == 2 or (len(before) == 4 and before[1:3] == (1, 1))
    if not (to_one_pixel and from_channels and before[-1] == after[-1]):
        layout.reshape(rendering, op)
        return
    shape = rendering.constant(f"{op.name}.shape", np.array([-1, after[3], 1, 1], np.int64))
    value = rendering.read(op, 0, channels_first=True)
    value = rendering.add("Reshape", [value, shape], f"{op.name}.f", op.name)
    rendering.set_result(op, value, channels_first=True)


def shuffle(rendering: Rendering, op: Op) -> None:
    """Channel shuffle: ``[b, c, h, w] -> [b, g, n, h*w] -> [b, n, g, h*w] -> [b, c, h, w]``."""
    _, height, width, channels = rendering.result_shape(op)
    groups = int(op.options["groups"])
    grouped = [0, groups, channels // groups, height * width]  # 0: size of the operand
    image = rendering.read(op, 0, channels_first=True)
    split = rendering.constant(f"{op.name}.groups.shape", np.array(grouped, np.int64))
    whole = rendering.constant(f"{op.name}.shape", np.array([0, channels, height, width], np.int64))
    value = rendering.add("Reshape", [image, split], f"{op.name}.groups")
    value = rendering.add("Transpose", [value], f"{op.name}.dealt", op.name, perm=[0, 2, 1, 3])
    value = rendering.add("Reshape", [value, whole], f"{op.name}.f")
    rendering.set_result(op, value, channels_first=True)


def pad_with(rendering: Rendering, op: Op) -> None:
    """PADV2: padding with another number than zero."""
    _padded(rendering, op, [_number(rendering, op)])


def _number(rendering: Rendering, op: Op) -> str:
    """Name of the number to pad with, that of its integer where the plan has one."""
    planned = rendering.plan.constants.get(op.inputs[2])
    value = rendering.value(op, 2) if planned is None else planned.to_float()
    return rendering.constant(f"{op.name}.value", np.asarray(value, np.float32).reshape(()))


def mirror_pad(rendering: Rendering, op: Op) -> None:
    """MIRROR_PAD: one Gather for each axis, since ONNX has no padding that repeats the ends."""
    widths = np.asarray(rendering.value(op, 1), np.int64)
    mode = "symmetric" if int(op.options.get("mode", 0)) else "reflect"
    channels_first = op.inputs[0] in rendering.channels_first
    shape = rendering.operand_shape(op, 0)
    value = rendering.read(op, 0)
    last = max((axis for axis in range(len(shape)) if widths[axis].any()), default=-1)
    for axis in np.flatnonzero(widths.any(axis=1)).tolist():
        places = np.pad(np.arange(shape[axis]), widths[axis], mode=mode)  # type: ignore[call-overload]
        stored = rendering.constant(f"{op.name}.places{axis}", places.astype(np.int64))
        name = f"{op.name}.f" if axis == last else f"{op.name}.{axis}"
        place = axis_in_file(axis, len(shape), channels_first=channels_first)
        value = rendering.add("Gather", [value, stored], name, op.name * (axis == last), axis=place)
        if axis != last:
            value = rendering.requantize(op.name, value, f"{name}.dq")
    rendering.set_result(op, value, channels_first=channels_first)


def _padded(rendering: Rendering, op: Op, more: Sequence[str]) -> None:
    widths = np.asarray(rendering.value(op, 1), np.int64)
    channels_first = op.inputs[0] in rendering.channels_first
    pads = rendering.constant(
        f"{op.name}.pads", (widths[TO_NCHW] if channels_first else widths).T.reshape(-1)
    )
    inputs = [rendering.read(op, 0), pads, *more]
    value = rendering.add("Pad", inputs, f"{op.name}.f", op.name)
    rendering.set_result(op, value, channels_first=channels_first)


def blocks(op_type: str) -> Writer:
    """Writer of DEPTH_TO_SPACE or SPACE_TO_DEPTH, whose channels ONNX counts in the same order."""

    def write(rendering: Rendering, op: Op) -> None:
        image = rendering.read(op, 0, channels_first=True)
        size = int(op.options["blockSize"])
        value = rendering.add(op_type, [image], f"{op.name}.f", op.name, blocksize=size)
        rendering.set_result(op, value, channels_first=True)

    return write


def sliced(rendering: Rendering, op: Op) -> None:
    """SLICE: where each axis begins, and its size, -1 for the rest."""
    shape = rendering.operand_shape(op, 0)
    begin, size = ([int(v) for v in np.ravel(rendering.value(op, n))] for n in (1, 2))
    ranges = [range(b, n if s < 0 else b + s) for b, s, n in zip(begin, size, shape, strict=True)]
    channels_first = op.inputs[0] in rendering.channels_first
    value = cut(rendering, op, ranges, channels_first=channels_first)
    rendering.set_result(op, value, channels_first=channels_first)


def split_unevenly(rendering: Rendering, op: Op) -> None:
    """SPLIT_V: image, sizes, axis."""
    rank = len(rendering.operand_shape(op, 0))
    channels_first = op.inputs[0] in rendering.channels_first
    axis = int(np.ravel(rendering.value(op, 2))[0]) % rank
    outputs = [f"{name}.f" for name in op.outputs]
    lengths = [rendering.source.tensors[name].shape[axis] for name in op.outputs]
    sizes = rendering.constant(f"{op.name}.sizes", np.array(lengths, np.int64))
    place = axis_in_file(axis, rank, channels_first=channels_first)
    rendering.nodes.append(
        Node("Split", [rendering.read(op, 0), sizes], outputs, {"axis": place}, op.name)
    )
    for name, value in zip(op.outputs, outputs, strict=True):
        rendering.set_result(op, value, name, channels_first=channels_first)


def gather(rendering: Rendering, op: Op) -> None:
    """GATHER at stored indices."""
    rank = len(rendering.operand_shape(op, 0))
    axis = int(op.options.get("axis", 0)) % rank
    indices = np.asarray(rendering.value(op, 1), np.int64)
    if axis == 0 or int(op.options.get("batchDims", 0)):
        raise UnsupportedError(
            "an .onnx file picks rows, columns or channels of each image",
            received=f"{op.name}, which picks images of a batch",
            remedy="replace that layer",
        )
    stored = rendering.constant(f"{op.name}.places", indices)
    value = rendering.read(op, 0, channels_first=False)
    value = rendering.add("Gather", [value, stored], f"{op.name}.f", op.name, axis=axis)
    rendering.set_result(op, value, channels_first=False)


def pack(rendering: Rendering, op: Op) -> None:
    """PACK: each operand with a new axis, joined along it."""
    axis = int(op.options.get("axis", 0)) % len(rendering.result_shape(op))
    axes = rendering.constant(f"{op.name}.axes", np.array([axis], np.int64))
    parts = []
    for i in range(len(op.inputs)):
        value = rendering.read(op, i, channels_first=False)
        value = of_whole_batch(rendering, op, i, value)
        part = rendering.add("Unsqueeze", [value, axes], f"{op.name}.{i}")
        parts.append(rendering.requantize(op.name, part, f"{part}.dq"))
    value = rendering.add("Concat", parts, f"{op.name}.f", op.name, axis=axis)
    rendering.set_result(op, value, channels_first=False)


def unpack(rendering: Rendering, op: Op) -> None:
    """UNPACK: one result for each index of an axis, without that axis."""
    axis = int(op.options.get("axis", 0)) % len(rendering.operand_shape(op, 0))
    axes = rendering.constant(f"{op.name}.axes", np.array([axis], np.int64))
    parts = [f"{name}.part" for name in op.outputs]
    value = rendering.read(op, 0, channels_first=False)
    rendering.nodes.append(Node("Split", [value], parts, {"axis": axis}, op.name))
    for name, part in zip(op.outputs, parts, strict=True):
        read = rendering.requantize(name, part, f"{part}.dq")
        value = rendering.add("Squeeze", [read, axes], f"{name}.f")
        rendering.set_result(op, value, name, channels_first=False)


def reverse(rendering: Rendering, op: Op) -> None:
    """REVERSE_V2: slices from the end to the beginning."""
    shape = rendering.operand_shape(op, 0)
    turned = {int(axis) % len(shape) for axis in np.ravel(rendering.value(op, 1))}
    ranges = [range(n)[:: -1 if axis in turned else 1] for axis, n in enumerate(shape)]
    channels_first = op.inputs[0] in rendering.channels_first
    value = cut(rendering, op, ranges, channels_first=channels_first)
    rendering.set_result(op, value, channels_first=channels_first)


def tile(rendering: Rendering, op: Op) -> None:
    """TILE: repeated a stored number of times along each axis."""
    times = np.asarray(rendering.value(op, 1), np.int64).reshape(-1)
    channels_first = op.inputs[0] in rendering.channels_first
    repeats = rendering.constant(f"{op.name}.times", times[TO_NCHW] if channels_first else times)
    value = rendering.add("Tile", [rendering.read(op, 0), repeats], f"{op.name}.f", op.name)
    rendering.set_result(op, value, channels_first=channels_first)


def broadcast(rendering: Rendering, op: Op) -> None:
    """BROADCAST_TO: to stored sizes, without a change of the batch."""
    sizes = np.array([1, *rendering.result_shape(op)[1:]], np.int64)  # 1: size of the operand
    shape = rendering.constant(f"{op.name}.shape", sizes)
    value = rendering.read(op, 0, channels_first=False)
    value = rendering.add("Expand", [value, shape], f"{op.name}.f", op.name)
    rendering.set_result(op, value, channels_first=False)


WRITERS: dict[str, Writer] = {
    OpKind.BROADCAST_TO: broadcast,
    OpKind.DEPTH_TO_SPACE: blocks("DepthToSpace"),
    OpKind.EXPAND_DIMS: layout.reshape,
    OpKind.GATHER: gather,
    OpKind.MIRROR_PAD: mirror_pad,
    OpKind.PACK: pack,
    OpKind.PADV2: pad_with,
    OpKind.REVERSE: reverse,
    OpKind.SLICE: sliced,
    OpKind.SPACE_TO_DEPTH: blocks("SpaceToDepth"),
    OpKind.SPLIT_V: split_unevenly,
    OpKind.SQUEEZE: layout.reshape,
    OpKind.UNPACK: unpack,
}

FLOAT_WRITERS: dict[str, Writer] = {
    OpKind.RESHAPE: reshape,
    OpKind.EXPAND_DIMS: reshape,
    OpKind.SQUEEZE: reshape,
    "TILE": tile,
    SHUFFLE: shuffle,
}
