"""Each operator of the canonical graph in ONNX; export.onnx.render has what stands around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from export.onnx.graph import Node
from foundation.errors import UnsupportedError
from network.graph import Op
from network.operators import OpKind

if TYPE_CHECKING:
    from export.onnx.render import Rendering

TO_NCHW = [0, 3, 1, 2]
TO_NHWC = [0, 2, 3, 1]

PADDED = "padded"
"""Option of a convolution that pads first: top, left, bottom, right."""

_DEAL = [0, 2, 1, 3]
"""Transposition of ``[b, groups, n, h*w]`` in a channel shuffle."""


def deals(transpose: Node) -> bool:
    """Whether a Transpose belongs to a channel shuffle, and exchanges no layouts."""
    return list(transpose.attributes.get("perm", ())) == _DEAL


def _window(op: Op, kernel: tuple[int, int], r: Rendering) -> dict[str, Any]:
    """Attributes of a convolution or pooling; TensorFlow puts the odd zero at the end."""
    options = op.options
    strides = [int(options["strideH"]), int(options["strideW"])]
    dilations = [int(options.get("dilationHFactor", 1)), int(options.get("dilationWFactor", 1))]
    pads = list(options.get(PADDED, (0, 0, 0, 0)))
    sizes = r.source.tensors[op.inputs[0]].shape[1:3]
    have = [sizes[axis] + pads[axis] + pads[axis + 2] for axis in (0, 1)]
    want = r.shape(op)[1:3]
    if int(options["padding"]) == 0:
        for axis in (0, 1):
            reach = (kernel[axis] - 1) * dilations[axis] + 1
            need = max((want[axis] - 1) * strides[axis] + reach - have[axis], 0)
            pads[axis] += need // 2
            pads[axis + 2] += need - need // 2
    window: dict[str, Any] = {"kernel_shape": list(kernel), "strides": strides, "pads": pads}
    if dilations != [1, 1]:
        window["dilations"] = dilations
    return window


def _conv(r: Rendering, op: Op) -> None:
    weight = r.value(op, 1)
    kernel = (int(weight.shape[1]), int(weight.shape[2]))
    channels = r.source.tensors[op.inputs[0]].shape[-1]
    depthwise = op.kind == OpKind.DEPTHWISE_CONV
    order = (3, 0, 1, 2) if depthwise else (0, 3, 1, 2)
    inputs = [
        r.shielded(op, r.read(op, 0, channels_first=True)),
        r.stored(op.inputs[1], "weight", op, order),
        r.stored(op.inputs[2], "bias", op, None),
    ]
    groups = channels if depthwise else channels // weight.shape[-1]
    attributes = _window(op, kernel, r)
    value = r.add("Conv", inputs, f"{op.name}.f", op.name, group=groups, **attributes)
    r.give(op, value, first=True)


def _dense(r: Rendering, op: Op) -> None:
    source = r.read(op, 0, channels_first=False)
    if len(r.source.tensors[op.inputs[0]].shape) != 2:
        shape = r.constant(f"{op.name}.rows", np.array([-1, r.value(op, 1).shape[1]]))
        source = r.add("Reshape", [source, shape], f"{op.name}.in")
        source = r.requantize(op.inputs[0], source, f"{source}.dq")
    inputs = [
        r.shielded(op, source),
        r.stored(op.inputs[1], "weight", op, None),
        r.stored(op.inputs[2], "bias", op, None),
    ]
    value = r.add("Gemm", inputs, f"{op.name}.f", op.name, transB=1)
    if len(r.shape(op)) != 2:  # of each pixel, say: rows again become what they were
        value = r.requantize(op.name, value, f"{op.name}.rows.dq")
        shape = r.constant(f"{op.name}.shape", np.array([-1, *r.shape(op)[1:]], np.int64))
        value = r.add("Reshape", [value, shape], f"{op.name}.whole")
    r.give(op, value, first=False)


def any_first(r: Rendering, op: Op) -> bool:
    """Whether an operator on several activations runs channels first: all must have four axes."""
    activations = [n for n in op.inputs if not r.source.is_constant(n)]
    four = all(len(r.source.tensors[name].shape) == 4 for name in activations)
    return four and any(name in r.first for name in activations)


def elementwise(op_type: str) -> Callable[[Rendering, Op], None]:
    """Writer of an operator of two operands that works place by place."""

    def write(r: Rendering, op: Op) -> None:
        first = any_first(r, op)
        inputs = [r.read(op, i, channels_first=first) for i in range(2)]
        r.give(op, r.add(op_type, inputs, f"{op.name}.f", op.name), first=first)

    return write


def _mean(r: Rendering, op: Op) -> None:
    axes = sorted(int(a) for a in np.ravel(r.value(op, 1)))
    if axes != [1, 2] or len(r.source.tensors[op.inputs[0]].shape) != 4:
        raise UnsupportedError(
            "a mean goes over height and width",
            received=f"{op.name} over the axes {axes}",
            remedy="use a float16 or dynamic recipe",
        )
    image = r.read(op, 0, channels_first=True)
    value = r.add("GlobalAveragePool", [image], f"{op.name}.f", op.name)
    if op.options.get("keepDims"):
        r.give(op, value, first=True)
        return
    value = r.requantize(op.name, value, f"{op.name}.pool")
    r.give(op, r.add("Flatten", [value], f"{op.name}.flat"), first=False)


def _pool(op_type: str) -> Callable[[Rendering, Op], None]:
    def write(r: Rendering, op: Op) -> None:
        kernel = (int(op.options["filterHeight"]), int(op.options["filterWidth"]))
        image = r.read(op, 0, channels_first=True)
        value = r.add(op_type, [image], f"{op.name}.f", op.name, **_window(op, kernel, r))
        r.give(op, value, first=True)

    return write


def _pad(r: Rendering, op: Op) -> None:
    widths = np.asarray(r.value(op, 1), np.int64)
    first = op.inputs[0] in r.first
    if first:
        widths = widths[TO_NCHW]
    pads = r.constant(f"{op.name}.pads", widths.T.reshape(-1))
    r.give(op, r.add("Pad", [r.read(op, 0), pads], f"{op.name}.f", op.name), first=first)


def _reshape(r: Rendering, op: Op) -> None:
    before, after = r.source.tensors[op.inputs[0]].shape, r.shape(op)
    # With one position it does not matter where the channels stand.
    keep = len(before) == 4 and before[1:3] == (1, 1) and len(after) == 2
    value = r.read(op, 0, channels_first=None if keep else False)
    shape = r.constant(f"{op.name}.shape", np.array([-1, *after[1:]], np.int64))
    r.give(op, r.add("Reshape", [value, shape], f"{op.name}.f", op.name), first=False)


def _transpose(r: Rendering, op: Op) -> None:
    order = [int(axis) for axis in r.value(op, 1)]
    value = r.read(op, 0, channels_first=False)
    r.give(op, r.add("Transpose", [value], f"{op.name}.f", op.name, perm=order), first=False)


def _axis(r: Rendering, op: Op, axis: int, *, first: bool) -> int:
    return axis_in_file(axis, len(r.shape(op)), first=first)


def axis_in_file(axis: int, rank: int, *, first: bool) -> int:
    """Where an axis of a tensor stands in the file."""
    axis %= rank
    return TO_NCHW.index(axis) if first and rank == 4 else axis


def _concatenation(r: Rendering, op: Op) -> None:
    first = any_first(r, op)
    inputs = [r.read(op, i, channels_first=first) for i in range(len(op.inputs))]
    axis = _axis(r, op, int(op.options["axis"]), first=first)
    r.give(op, r.add("Concat", inputs, f"{op.name}.f", op.name, axis=axis), first=first)


def _split(r: Rendering, op: Op) -> None:
    first = op.inputs[1] in r.first
    axis = _axis(r, op, int(np.ravel(r.value(op, 0))[0]), first=first)
    outputs = [f"{name}.f" for name in op.outputs]
    r.nodes.append(Node("Split", [r.read(op, 1)], outputs, {"axis": axis}, op.name))
    for name, value in zip(op.outputs, outputs, strict=True):
        r.give(op, value, name, first=first)


def _strided_slice(r: Rendering, op: Op) -> None:
    """Slice of the axes that are cut, and a Reshape where one of them goes."""
    options = op.options
    if int(options.get("ellipsisMask", 0)) or int(options.get("newAxisMask", 0)):
        raise _not_sliced(op, "new axes or an ellipsis")
    begin, end, step = ([int(v) for v in np.ravel(r.value(op, n))] for n in (1, 2, 3))
    gone = int(options.get("shrinkAxisMask", 0))
    first = op.inputs[0] in r.first and not gone
    kept: list[range] = []
    for axis, size in enumerate(r.source.tensors[op.inputs[0]].shape[: len(begin)]):
        low = None if int(options.get("beginMask", 0)) >> axis & 1 else begin[axis]
        high = None if int(options.get("endMask", 0)) >> axis & 1 else end[axis]
        if gone >> axis & 1:
            low, high, step[axis] = begin[axis], begin[axis] + 1 or None, 1
        kept.append(range(size)[slice(low, high, step[axis])])
    value = cut(r, op, kept, first=first)
    if gone:
        value = r.requantize(op.name, value, f"{op.name}.slice.dq")
        shape = r.constant(f"{op.name}.shape", np.array([-1, *r.shape(op)[1:]], np.int64))
        value = r.add("Reshape", [value, shape], f"{op.name}.whole")
    r.give(op, value, first=first)


def cut(r: Rendering, op: Op, kept: Sequence[range], *, first: bool) -> str:
    """Name of what is left of an operator's first operand.

    Args:
        r: being written.
        op: that cuts.
        kept: places along each axis, in the order of the canonical graph.
        first: whether to cut it channels first.

    Raises:
        UnsupportedError: images of the batch would be left out.
    """
    shape = r.source.tensors[op.inputs[0]].shape
    cuts: list[tuple[int, int, int, int]] = []
    for axis, places in enumerate(kept):
        if places == range(shape[axis]):
            continue
        if axis == 0:
            raise _not_sliced(op, "the batch cut")
        # -1 is the last place: a stop before the first one is said by a large number.
        stop = places.stop if places.stop >= 0 else -(2**31)
        cuts.append((places.start, stop, axis_in_file(axis, len(shape), first=first), places.step))
    value = r.read(op, 0, channels_first=first)
    if not cuts:
        return value
    columns = zip(("starts", "ends", "axes", "steps"), zip(*cuts, strict=True), strict=True)
    stored = [r.constant(f"{op.name}.{name}", np.array(c, np.int64)) for name, c in columns]
    return r.add("Slice", [value, *stored], f"{op.name}.f", op.name)


def _not_sliced(op: Op, received: str) -> UnsupportedError:
    return UnsupportedError(
        "an .onnx file has slices of height, width and channels",
        received=f"{op.name} with {received}",
        remedy="replace that layer",
    )


def unary(op_type: str) -> Callable[[Rendering, Op], None]:
    """Writer of an operator of one operand that works place by place."""

    def write(r: Rendering, op: Op) -> None:
        value = r.add(op_type, [r.read(op, 0)], f"{op.name}.f", op.name)
        r.give(op, value, first=op.inputs[0] in r.first)

    return write


def _relu6(r: Rendering, op: Op) -> None:
    ends = [r.constant(f"clip.{n:g}", np.array(n, np.float32)) for n in (0.0, 6.0)]
    value = r.add("Clip", [r.read(op, 0), *ends], f"{op.name}.f", op.name)
    r.give(op, value, first=op.inputs[0] in r.first)


def _softmax(r: Rendering, op: Op) -> None:
    """In float: 256 steps cannot hold the probabilities of 1,000 classes, and it costs nothing."""
    value = r.add(
        "Softmax", [r.read(op, 0, channels_first=False)], f"{op.name}.f", op.name, axis=-1
    )
    r.give(op, value, first=False)


WRITERS: dict[str, Callable[[Rendering, Op], None]] = {
    OpKind.CONV: _conv,
    OpKind.DEPTHWISE_CONV: _conv,
    OpKind.DENSE: _dense,
    OpKind.ADD: elementwise("Add"),
    OpKind.SUB: elementwise("Sub"),
    OpKind.MUL: elementwise("Mul"),
    OpKind.MEAN: _mean,
    OpKind.AVERAGE_POOL: _pool("AveragePool"),
    OpKind.MAX_POOL: _pool("MaxPool"),
    OpKind.PAD: _pad,
    OpKind.RESHAPE: _reshape,
    OpKind.TRANSPOSE: _transpose,
    OpKind.CONCATENATION: _concatenation,
    OpKind.SPLIT: _split,
    OpKind.STRIDED_SLICE: _strided_slice,
    OpKind.RELU: unary("Relu"),
    OpKind.RELU6: _relu6,
    OpKind.LOGISTIC: unary("Sigmoid"),
    OpKind.HARD_SWISH: unary("HardSwish"),
    OpKind.SOFTMAX: _softmax,
}
