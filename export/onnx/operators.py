"""One writer for each kind of operator of the canonical graph: the nodes that it is in ONNX.

``export.onnx.rendering`` has what they share: the graph being built, quantizers and layouts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from export.onnx.graph import Node
from export.onnx.rendering import TO_NCHW, Rendering, Writer
from foundation.errors import UnsupportedError
from network.graph import Op
from network.operators import OpKind

PADDED = "padded"
"""Option of a convolution that pads its input: zeros at the top, left, bottom and right."""


def _window(op: Op, kernel: tuple[int, int], rendering: Rendering) -> dict[str, Any]:
    """Kernel, strides, padding and dilations of a convolution or pooling.

    SAME pads ``(out - 1) * stride + (kernel - 1) * dilation + 1 - in`` zeros along an axis;
    of an odd number TensorFlow puts the larger half at the end.
    """
    options = op.options
    strides = [int(options["strideH"]), int(options["strideW"])]
    dilations = [int(options.get("dilationHFactor", 1)), int(options.get("dilationWFactor", 1))]
    pads = list(options.get(PADDED, (0, 0, 0, 0)))
    sizes = rendering.operand_shape(op, 0)[1:3]
    padded_sizes = [sizes[axis] + pads[axis] + pads[axis + 2] for axis in (0, 1)]
    result_sizes = rendering.result_shape(op)[1:3]
    if int(options["padding"]) == 0:
        for axis in (0, 1):
            reach = (kernel[axis] - 1) * dilations[axis] + 1
            zeros = max((result_sizes[axis] - 1) * strides[axis] + reach - padded_sizes[axis], 0)
            pads[axis] += zeros // 2
            pads[axis + 2] += zeros - zeros // 2
    window: dict[str, Any] = {"kernel_shape": list(kernel), "strides": strides, "pads": pads}
    if dilations != [1, 1]:
        window["dilations"] = dilations
    return window


def _conv(rendering: Rendering, op: Op) -> None:
    weight = rendering.value(op, 1)
    kernel = (int(weight.shape[1]), int(weight.shape[2]))
    channels = rendering.operand_shape(op, 0)[-1]
    depthwise = op.kind == OpKind.DEPTHWISE_CONV
    # [1, h, w, o] or [o, h, w, i] -> [o, i, h, w]
    order = (3, 0, 1, 2) if depthwise else (0, 3, 1, 2)
    inputs = [
        rendering.shielded(op, rendering.read(op, 0, channels_first=True)),
        rendering.stored(op.inputs[1], "weight", op, order),
        rendering.stored(op.inputs[2], "bias", op, None),
    ]
    groups = channels if depthwise else channels // weight.shape[-1]
    attributes = _window(op, kernel, rendering)
    value = rendering.add("Conv", inputs, f"{op.name}.f", op.name, group=groups, **attributes)
    rendering.set_result(op, value, channels_first=True)


def _dense(rendering: Rendering, op: Op) -> None:
    source = rendering.read(op, 0, channels_first=False)
    if len(rendering.operand_shape(op, 0)) != 2:
        shape = rendering.constant(
            f"{op.name}.rows", np.array([-1, rendering.value(op, 1).shape[1]])
        )
        source = rendering.add("Reshape", [source, shape], f"{op.name}.in")
        source = rendering.requantize(op.inputs[0], source, f"{source}.dq")
    inputs = [
        rendering.shielded(op, source),
        rendering.stored(op.inputs[1], "weight", op, None),
        rendering.stored(op.inputs[2], "bias", op, None),
    ]
    value = rendering.add("Gemm", inputs, f"{op.name}.f", op.name, transB=1)
    if len(rendering.result_shape(op)) != 2:  # [rows, units] -> [b, h, w, units], say
        value = rendering.requantize(op.name, value, f"{op.name}.rows.dq")
        shape = rendering.constant(
            f"{op.name}.shape", np.array([-1, *rendering.result_shape(op)[1:]], np.int64)
        )
        value = rendering.add("Reshape", [value, shape], f"{op.name}.whole")
    rendering.set_result(op, value, channels_first=False)


def runs_channels_first(rendering: Rendering, op: Op) -> bool:
    """Whether an operator on several activations runs channels first: all must have four axes."""
    activations = [n for n in op.inputs if not rendering.source.is_constant(n)]
    all_images = all(len(rendering.source.tensors[name].shape) == 4 for name in activations)
    return all_images and any(name in rendering.channels_first for name in activations)


def elementwise(op_type: str) -> Writer:
    """Writer of an elementwise operator of two operands."""

    def write(rendering: Rendering, op: Op) -> None:
        channels_first = runs_channels_first(rendering, op)
        inputs = [rendering.read(op, i, channels_first=channels_first) for i in range(2)]
        value = rendering.add(op_type, inputs, f"{op.name}.f", op.name)
        rendering.set_result(op, value, channels_first=channels_first)

    return write


def _mean(rendering: Rendering, op: Op) -> None:
    axes = sorted(int(a) for a in np.ravel(rendering.value(op, 1)))
    if axes != [1, 2] or len(rendering.operand_shape(op, 0)) != 4:
        raise UnsupportedError(
            "a mean goes over height and width",
            received=f"{op.name} over the axes {axes}",
            remedy="use a float16 or dynamic recipe",
        )
    image = rendering.read(op, 0, channels_first=True)
    value = rendering.add("GlobalAveragePool", [image], f"{op.name}.f", op.name)
    if op.options.get("keepDims"):
        rendering.set_result(op, value, channels_first=True)
        return
    value = rendering.requantize(op.name, value, f"{op.name}.pool")
    value = rendering.add("Flatten", [value], f"{op.name}.flat")
    rendering.set_result(op, value, channels_first=False)


def _pool(op_type: str) -> Writer:
    def write(rendering: Rendering, op: Op) -> None:
        kernel = (int(op.options["filterHeight"]), int(op.options["filterWidth"]))
        image = rendering.read(op, 0, channels_first=True)
        value = rendering.add(
            op_type, [image], f"{op.name}.f", op.name, **_window(op, kernel, rendering)
        )
        rendering.set_result(op, value, channels_first=True)

    return write


def _pad(rendering: Rendering, op: Op) -> None:
    widths = np.asarray(rendering.value(op, 1), np.int64)
    channels_first = op.inputs[0] in rendering.channels_first
    if channels_first:
        widths = widths[TO_NCHW]
    pads = rendering.constant(f"{op.name}.pads", widths.T.reshape(-1))
    value = rendering.add("Pad", [rendering.read(op, 0), pads], f"{op.name}.f", op.name)
    rendering.set_result(op, value, channels_first=channels_first)


def _reshape(rendering: Rendering, op: Op) -> None:
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


def _axis(rendering: Rendering, op: Op, axis: int, *, channels_first: bool) -> int:
    return axis_in_file(axis, len(rendering.result_shape(op)), channels_first=channels_first)


def axis_in_file(axis: int, rank: int, *, channels_first: bool) -> int:
    """Index in the file of an axis of the canonical graph."""
    axis %= rank
    return TO_NCHW.index(axis) if channels_first and rank == 4 else axis


def _concatenation(rendering: Rendering, op: Op) -> None:
    channels_first = runs_channels_first(rendering, op)
    inputs = [rendering.read(op, i, channels_first=channels_first) for i in range(len(op.inputs))]
    axis = _axis(rendering, op, int(op.options["axis"]), channels_first=channels_first)
    value = rendering.add("Concat", inputs, f"{op.name}.f", op.name, axis=axis)
    rendering.set_result(op, value, channels_first=channels_first)


def _split(rendering: Rendering, op: Op) -> None:
    channels_first = op.inputs[1] in rendering.channels_first
    axis = _axis(
        rendering, op, int(np.ravel(rendering.value(op, 0))[0]), channels_first=channels_first
    )
    outputs = [f"{name}.f" for name in op.outputs]
    rendering.nodes.append(Node("Split", [rendering.read(op, 1)], outputs, {"axis": axis}, op.name))
    for name, value in zip(op.outputs, outputs, strict=True):
        rendering.set_result(op, value, name, channels_first=channels_first)


def _strided_slice(rendering: Rendering, op: Op) -> None:
    """Slice of the axes that are cut, and a Reshape where an axis of one place is removed."""
    options = op.options
    if int(options.get("ellipsisMask", 0)) or int(options.get("newAxisMask", 0)):
        raise _not_sliced(op, "new axes or an ellipsis")
    begin, end, step = ([int(v) for v in np.ravel(rendering.value(op, n))] for n in (1, 2, 3))
    removed_axes = int(options.get("shrinkAxisMask", 0))  # a bit for each axis
    channels_first = op.inputs[0] in rendering.channels_first and not removed_axes
    ranges: list[range] = []
    for axis, size in enumerate(rendering.operand_shape(op, 0)[: len(begin)]):
        low = None if int(options.get("beginMask", 0)) >> axis & 1 else begin[axis]
        high = None if int(options.get("endMask", 0)) >> axis & 1 else end[axis]
        if removed_axes >> axis & 1:
            low, high, step[axis] = begin[axis], begin[axis] + 1 or None, 1
        ranges.append(range(size)[slice(low, high, step[axis])])
    value = cut(rendering, op, ranges, channels_first=channels_first)
    if removed_axes:
        value = rendering.requantize(op.name, value, f"{op.name}.slice.dq")
        shape = rendering.constant(
            f"{op.name}.shape", np.array([-1, *rendering.result_shape(op)[1:]], np.int64)
        )
        value = rendering.add("Reshape", [value, shape], f"{op.name}.whole")
    rendering.set_result(op, value, channels_first=channels_first)


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


def unary(op_type: str) -> Writer:
    """Writer of an elementwise operator of one operand."""

    def write(rendering: Rendering, op: Op) -> None:
        value = rendering.add(op_type, [rendering.read(op, 0)], f"{op.name}.f", op.name)
        rendering.set_result(op, value, channels_first=op.inputs[0] in rendering.channels_first)

    return write


def _relu6(rendering: Rendering, op: Op) -> None:
    ends = [rendering.constant(f"clip.{n:g}", np.array(n, np.float32)) for n in (0.0, 6.0)]
    value = rendering.add("Clip", [rendering.read(op, 0), *ends], f"{op.name}.f", op.name)
    rendering.set_result(op, value, channels_first=op.inputs[0] in rendering.channels_first)


def _softmax(rendering: Rendering, op: Op) -> None:
    """In float: 256 steps cannot hold the probabilities of 1,000 classes, and it costs nothing."""
    value = rendering.add(
        "Softmax", [rendering.read(op, 0, channels_first=False)], f"{op.name}.f", op.name, axis=-1
    )
    rendering.set_result(op, value, channels_first=False)


WRITERS: dict[str, Writer] = {
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
