"""Each operator of the canonical graph in ONNX; export.onnx_render has what stands around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from export.onnx_graph import Node
from foundation.errors import UnsupportedError
from quantize.graph import Op, OpKind

if TYPE_CHECKING:
    from export.onnx_render import Rendering

TO_NCHW = [0, 3, 1, 2]
TO_NHWC = [0, 2, 3, 1]


def _window(op: Op, kernel: tuple[int, int], r: Rendering) -> dict[str, Any]:
    """Attributes of a convolution or pooling; TensorFlow puts the odd zero at the end."""
    options = op.options
    strides = [int(options["strideH"]), int(options["strideW"])]
    dilations = [int(options.get("dilationHFactor", 1)), int(options.get("dilationWFactor", 1))]
    have = r.source.tensors[op.inputs[0]].shape[1:3]
    want = r.shape(op)[1:3]
    pads = [0, 0, 0, 0]
    if int(options["padding"]) == 0:
        for axis in (0, 1):
            reach = (kernel[axis] - 1) * dilations[axis] + 1
            need = max((want[axis] - 1) * strides[axis] + reach - have[axis], 0)
            pads[axis], pads[axis + 2] = need // 2, need - need // 2
    window: dict[str, Any] = {"kernel_shape": list(kernel), "strides": strides, "pads": pads}
    if dilations != [1, 1]:
        window["dilations"] = dilations
    return window


def _conv(r: Rendering, op: Op) -> None:
    weight = r.source.weight(op)
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
        shape = r.constant(f"{op.name}.rows", np.array([-1, r.source.weight(op).shape[1]]))
        source = r.add("Reshape", [source, shape], f"{op.name}.in")
        source = r.requantize(op.inputs[0], source, f"{source}.dq")
    inputs = [
        r.shielded(op, source),
        r.stored(op.inputs[1], "weight", op, None),
        r.stored(op.inputs[2], "bias", op, None),
    ]
    value = r.add("Gemm", inputs, f"{op.name}.f", op.name, transB=1)
    r.give(op, value, first=False)


def _elementwise(op_type: str) -> Callable[[Rendering, Op], None]:
    def write(r: Rendering, op: Op) -> None:
        first = any(name in r.first for name in op.inputs)
        inputs = [r.read(op, i, channels_first=first) for i in range(2)]
        r.give(op, r.add(op_type, inputs, f"{op.name}.f", op.name), first=first)

    return write


def _mean(r: Rendering, op: Op) -> None:
    axes = sorted(int(a) for a in np.ravel(r.source.value(op.inputs[1])))
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
    widths = np.asarray(r.source.value(op.inputs[1]), np.int64)
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
    order = [int(axis) for axis in r.source.value(op.inputs[1])]
    value = r.read(op, 0, channels_first=False)
    r.give(op, r.add("Transpose", [value], f"{op.name}.f", op.name, perm=order), first=False)


def _axis(r: Rendering, op: Op, axis: int, *, first: bool) -> int:
    axis %= len(r.shape(op))
    return [0, 2, 3, 1][axis] if first and len(r.shape(op)) == 4 else axis


def _concatenation(r: Rendering, op: Op) -> None:
    first = any(name in r.first for name in op.inputs)
    inputs = [r.read(op, i, channels_first=first) for i in range(len(op.inputs))]
    axis = _axis(r, op, int(op.options["axis"]), first=first)
    r.give(op, r.add("Concat", inputs, f"{op.name}.f", op.name, axis=axis), first=first)


def _split(r: Rendering, op: Op) -> None:
    first = op.inputs[1] in r.first
    axis = _axis(r, op, int(np.ravel(r.source.value(op.inputs[0]))[0]), first=first)
    outputs = [f"{name}.f" for name in op.outputs]
    r.nodes.append(Node("Split", [r.read(op, 1)], outputs, {"axis": axis}, op.name))
    for name, value in zip(op.outputs, outputs, strict=True):
        r.give(op, value, name, first=first)


def _unary(op_type: str) -> Callable[[Rendering, Op], None]:
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
    OpKind.ADD: _elementwise("Add"),
    OpKind.SUB: _elementwise("Sub"),
    OpKind.MUL: _elementwise("Mul"),
    OpKind.MEAN: _mean,
    OpKind.AVERAGE_POOL: _pool("AveragePool"),
    OpKind.MAX_POOL: _pool("MaxPool"),
    OpKind.PAD: _pad,
    OpKind.RESHAPE: _reshape,
    OpKind.TRANSPOSE: _transpose,
    OpKind.CONCATENATION: _concatenation,
    OpKind.SPLIT: _split,
    OpKind.RELU: _unary("Relu"),
    OpKind.RELU6: _relu6,
    OpKind.LOGISTIC: _unary("Sigmoid"),
    OpKind.HARD_SWISH: _unary("HardSwish"),
    OpKind.SOFTMAX: _softmax,
}
