"""Operators of ONNX files without a plan that move numbers: to other axes, sizes and places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from export.onnx.graph import Node
from export.onnx.operators import TO_NCHW, WRITERS, axis_in_file, cut
from foundation.errors import UnsupportedError
from network.graph import Op
from network.operators import OpKind

if TYPE_CHECKING:
    from export.onnx.render import Rendering


def reshape(r: Rendering, op: Op) -> None:
    """RESHAPE, SQUEEZE and EXPAND_DIMS; a single pixel of each image stands channels first."""
    before, after = r.source.tensors[op.inputs[0]].shape, r.shape(op)
    pixel = len(after) == 4 and after[1:3] == (1, 1)
    held = len(before) == 2 or (len(before) == 4 and before[1:3] == (1, 1))
    if not (pixel and held and before[-1] == after[-1]):
        WRITERS[OpKind.RESHAPE](r, op)
        return
    shape = r.constant(f"{op.name}.shape", np.array([-1, after[3], 1, 1], np.int64))
    value = r.read(op, 0, channels_first=True)
    r.give(op, r.add("Reshape", [value, shape], f"{op.name}.f", op.name), first=True)


def shuffle(r: Rendering, op: Op) -> None:
    """``[b, c, h, w] -> [b, g, n, h*w] -> [b, n, g, h*w] -> [b, c, h, w]``."""
    _, height, width, channels = r.shape(op)
    groups = int(op.options["groups"])
    apart = [0, groups, channels // groups, height * width]  # 0: as it is
    image = r.read(op, 0, channels_first=True)
    split = r.constant(f"{op.name}.groups.shape", np.array(apart, np.int64))
    whole = r.constant(f"{op.name}.shape", np.array([0, channels, height, width], np.int64))
    value = r.add("Reshape", [image, split], f"{op.name}.groups")
    value = r.add("Transpose", [value], f"{op.name}.dealt", op.name, perm=[0, 2, 1, 3])
    r.give(op, r.add("Reshape", [value, whole], f"{op.name}.f"), first=True)


def pad_with(r: Rendering, op: Op) -> None:
    """PADV2: another number than zero."""
    _padded(r, op, [r.constant(f"{op.name}.value", np.asarray(r.value(op, 2)).reshape(()))], {})


def mirror_pad(r: Rendering, op: Op) -> None:
    """MIRROR_PAD: ONNX reflects, and has no symmetric padding."""
    if int(op.options.get("mode", 0)) != 0:
        raise UnsupportedError(
            "an .onnx file pads with a number or with a reflection",
            received=f"{op.name}, which pads symmetrically",
            remedy="pad in another mode",
        )
    _padded(r, op, [], {"mode": "reflect"})


def _padded(r: Rendering, op: Op, more: Sequence[str], attributes: dict[str, Any]) -> None:
    widths = np.asarray(r.value(op, 1), np.int64)
    first = op.inputs[0] in r.first
    pads = r.constant(f"{op.name}.pads", (widths[TO_NCHW] if first else widths).T.reshape(-1))
    inputs = [r.read(op, 0), pads, *more]
    r.give(op, r.add("Pad", inputs, f"{op.name}.f", op.name, **attributes), first=first)


def resize(mode: str) -> Callable[[Rendering, Op], None]:
    """RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR; both clamp at the border as ONNX does."""

    def write(r: Rendering, op: Op) -> None:
        grid = "asymmetric"
        if op.options.get("alignCorners"):
            grid = "align_corners"
        elif op.options.get("halfPixelCenters"):
            grid = "half_pixel"
        attributes = {"mode": mode, "coordinate_transformation_mode": grid}
        if mode == "nearest":  # TensorFlow Lite: floor(x * s), or round where it aligns or shifts
            attributes["nearest_mode"] = "floor" if grid == "asymmetric" else "round_prefer_ceil"
        image = r.read(op, 0, channels_first=True)
        _, height, width, channels = r.shape(op)
        batch = _batch(r, op, image)
        sizes = r.constant(f"{op.name}.sizes", np.array([channels, height, width], np.int64))
        sizes = r.add("Concat", [batch, sizes], f"{op.name}.whole", axis=0)
        value = r.add("Resize", [image, "", "", sizes], f"{op.name}.f", op.name, **attributes)
        r.give(op, value, first=True)

    return write


def _batch(r: Rendering, op: Op, image: str) -> str:
    """The size of the first axis, ``[1]`` int64."""
    ends = [r.constant(f"batch.{n}", np.array([n], np.int64)) for n in (0, 1)]
    shape = r.add("Shape", [image], f"{op.name}.sizes.in")
    return r.add("Slice", [shape, *ends], f"{op.name}.batch")


def blocks(op_type: str) -> Callable[[Rendering, Op], None]:
    """Writer of DEPTH_TO_SPACE or SPACE_TO_DEPTH, whose channels ONNX counts in the same order."""

    def write(r: Rendering, op: Op) -> None:
        image = r.read(op, 0, channels_first=True)
        size = int(op.options["blockSize"])
        r.give(op, r.add(op_type, [image], f"{op.name}.f", op.name, blocksize=size), first=True)

    return write


def sliced(r: Rendering, op: Op) -> None:
    """SLICE: where each axis begins, and its size, -1 for the rest."""
    have = r.source.tensors[op.inputs[0]].shape
    begin, size = ([int(v) for v in np.ravel(r.value(op, n))] for n in (1, 2))
    kept = [range(b, n if s < 0 else b + s) for b, s, n in zip(begin, size, have, strict=True)]
    first = op.inputs[0] in r.first
    r.give(op, cut(r, op, kept, first=first), first=first)


def split_unevenly(r: Rendering, op: Op) -> None:
    """SPLIT_V: image, sizes, axis."""
    rank = len(r.source.tensors[op.inputs[0]].shape)
    first = op.inputs[0] in r.first
    axis = int(np.ravel(r.value(op, 2))[0]) % rank
    outputs = [f"{name}.f" for name in op.outputs]
    lengths = [r.source.tensors[name].shape[axis] for name in op.outputs]
    sizes = r.constant(f"{op.name}.sizes", np.array(lengths, np.int64))
    place = axis_in_file(axis, rank, first=first)
    r.nodes.append(Node("Split", [r.read(op, 0), sizes], outputs, {"axis": place}, op.name))
    for name, value in zip(op.outputs, outputs, strict=True):
        r.give(op, value, name, first=first)


def gather(r: Rendering, op: Op) -> None:
    """GATHER at stored places."""
    rank = len(r.source.tensors[op.inputs[0]].shape)
    axis = int(op.options.get("axis", 0)) % rank
    indices = np.asarray(r.value(op, 1), np.int64)
    if axis == 0 or int(op.options.get("batchDims", 0)):
        raise UnsupportedError(
            "an .onnx file picks rows, columns or channels of each image",
            received=f"{op.name}, which picks images of a batch",
            remedy="replace that layer",
        )
    places = r.constant(f"{op.name}.places", indices)
    value = r.read(op, 0, channels_first=False)
    r.give(op, r.add("Gather", [value, places], f"{op.name}.f", op.name, axis=axis), first=False)


def pack(r: Rendering, op: Op) -> None:
    """PACK: each operand with a new axis, joined along it."""
    axis = int(op.options.get("axis", 0)) % len(r.shape(op))
    axes = r.constant(f"{op.name}.axes", np.array([axis], np.int64))
    parts = [
        r.add("Unsqueeze", [r.read(op, i, channels_first=False), axes], f"{op.name}.{i}")
        for i in range(len(op.inputs))
    ]
    r.give(op, r.add("Concat", parts, f"{op.name}.f", op.name, axis=axis), first=False)


def unpack(r: Rendering, op: Op) -> None:
    """UNPACK: cut along an axis, which goes."""
    axis = int(op.options.get("axis", 0)) % len(r.source.tensors[op.inputs[0]].shape)
    axes = r.constant(f"{op.name}.axes", np.array([axis], np.int64))
    parts = [f"{name}.part" for name in op.outputs]
    value = r.read(op, 0, channels_first=False)
    r.nodes.append(Node("Split", [value], parts, {"axis": axis}, op.name))
    for name, part in zip(op.outputs, parts, strict=True):
        r.give(op, r.add("Squeeze", [part, axes], f"{name}.f"), name, first=False)


def tile(r: Rendering, op: Op) -> None:
    """TILE: so many times along each axis."""
    times = np.asarray(r.value(op, 1), np.int64).reshape(-1)
    first = op.inputs[0] in r.first
    many = r.constant(f"{op.name}.times", times[TO_NCHW] if first else times)
    r.give(op, r.add("Tile", [r.read(op, 0), many], f"{op.name}.f", op.name), first=first)


def broadcast(r: Rendering, op: Op) -> None:
    """BROADCAST_TO: stored sizes, the batch as it is."""
    sizes = np.array([1, *r.shape(op)[1:]], np.int64)  # 1: as large as it is
    shape = r.constant(f"{op.name}.shape", sizes)
    value = r.read(op, 0, channels_first=False)
    r.give(op, r.add("Expand", [value, shape], f"{op.name}.f", op.name), first=False)
