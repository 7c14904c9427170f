"""Writers for float ONNX files: operators that move numbers to other axes, sizes and places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from export.onnx.fusion import SHUFFLE
from export.onnx.graph import Node
from export.onnx.rendering import TO_NCHW, Rendering, Writer
from export.onnx.writers import layout
from export.onnx.writers.common import axis_in_file
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
    number = np.asarray(rendering.value(op, 2)).reshape(())
    _padded(rendering, op, [rendering.constant(f"{op.name}.value", number)], {})


def mirror_pad(rendering: Rendering, op: Op) -> None:
    """MIRROR_PAD with reflection; ONNX has no symmetric padding."""
    if int(op.options.get("mode", 0)) != 0:
        raise UnsupportedError(
            "an .onnx file pads with a number or with a reflection",
            received=f"{op.name}, which pads symmetrically",
            remedy="pad in another mode",
        )
    _padded(rendering, op, [], {"mode": "reflect"})


def _padded(rendering: Rendering, op: Op, more: Sequence[str], attributes: dict[str, Any]) -> None:
    widths = np.asarray(rendering.value(op, 1), np.int64)
    channels_first = op.inputs[0] in rendering.channels_first
    pads = rendering.constant(
        f"{op.name}.pads", (widths[TO_NCHW] if channels_first else widths).T.reshape(-1)
    )
    inputs = [rendering.read(op, 0), pads, *more]
    value = rendering.add("Pad", inputs, f"{op.name}.f", op.name, **attributes)
    rendering.set_result(op, value, channels_first=channels_first)


def resize(mode: str) -> Writer:
    """Writer of RESIZE_BILINEAR or RESIZE_NEAREST_NEIGHBOR; both clamp at the border, as ONNX."""

    def write(rendering: Rendering, op: Op) -> None:
        grid = "asymmetric"
        if op.options.get("alignCorners"):
            grid = "align_corners"
        elif op.options.get("halfPixelCenters"):
            grid = "half_pixel"
        attributes = {"mode": mode, "coordinate_transformation_mode": grid}
        if mode == "nearest":  # TensorFlow Lite: floor(x * s), or round where it aligns or shifts
            attributes["nearest_mode"] = "floor" if grid == "asymmetric" else "round_prefer_ceil"
        image = rendering.read(op, 0, channels_first=True)
        _, height, width, channels = rendering.result_shape(op)
        batch = _batch(rendering, op, image)
        sizes = rendering.constant(
            f"{op.name}.sizes", np.array([channels, height, width], np.int64)
        )
        sizes = rendering.add("Concat", [batch, sizes], f"{op.name}.whole", axis=0)
        value = rendering.add(
            "Resize", [image, "", "", sizes], f"{op.name}.f", op.name, **attributes
        )
        rendering.set_result(op, value, channels_first=True)

    return write


def _batch(rendering: Rendering, op: Op, image: str) -> str:
    """Name of the batch size of a tensor, int64 ``[1]``."""
    ends = [rendering.constant(f"batch.{n}", np.array([n], np.int64)) for n in (0, 1)]
    shape = rendering.add("Shape", [image], f"{op.name}.sizes.in")
    return rendering.add("Slice", [shape, *ends], f"{op.name}.batch")


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
    parts = [
        rendering.add(
            "Unsqueeze", [rendering.read(op, i, channels_first=False), axes], f"{op.name}.{i}"
        )
        for i in range(len(op.inputs))
    ]
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
        value = rendering.add("Squeeze", [part, axes], f"{name}.f")
        rendering.set_result(op, value, name, channels_first=False)


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


FLOAT_WRITERS: dict[str, Writer] = {
    OpKind.RESHAPE: reshape,
    SHUFFLE: shuffle,
    "BROADCAST_TO": broadcast,
    "DEPTH_TO_SPACE": blocks("DepthToSpace"),
    "EXPAND_DIMS": reshape,
    "GATHER": gather,
    "MIRROR_PAD": mirror_pad,
    "PACK": pack,
    "PADV2": pad_with,
    "RESIZE_BILINEAR": resize("linear"),
    "RESIZE_NEAREST_NEIGHBOR": resize("nearest"),
    "SLICE": sliced,
    "SPACE_TO_DEPTH": blocks("SpaceToDepth"),
    "SPLIT_V": split_unevenly,
    "SQUEEZE": reshape,
    "TILE": tile,
    "UNPACK": unpack,
}
