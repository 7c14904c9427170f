"""Operators of the canonical graph that ONNX files without a plan have beside those of int8."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from export.onnx.float_moves import (
    blocks,
    broadcast,
    gather,
    mirror_pad,
    pack,
    pad_with,
    reshape,
    resize,
    shuffle,
    sliced,
    split_unevenly,
    tile,
    unpack,
)
from export.onnx.fusion import HARD_SIGMOID, SHUFFLE
from export.onnx.operators import (
    WRITERS,
    any_first,
    axis_in_file,
    elementwise,
    unary,
)
from network.graph import Op
from network.operators import OpKind

if TYPE_CHECKING:
    from export.onnx.render import Rendering

    Writer = Callable[[Rendering, Op], None]

_SPATIAL = [1, 2]


def _hard_sigmoid(r: Rendering, op: Op) -> None:
    ends = {"alpha": float(op.options["slope"]), "beta": float(op.options["offset"])}
    value = r.add("HardSigmoid", [r.read(op, 0)], f"{op.name}.f", op.name, **ends)
    r.give(op, value, first=op.inputs[0] in r.first)


def _dense(r: Rendering, op: Op) -> None:
    """Gemm on rows, Conv on the pixels of an image, MatMul on what else has more axes.

    A weight that the network computes is left to MatMul too.
    """
    rank = len(r.shape(op))
    stored = r.source.is_constant(op.inputs[1])
    if stored and rank == 2:
        WRITERS[OpKind.DENSE](r, op)
        return
    if stored and rank == 4 and len(r.source.tensors[op.inputs[0]].shape) == 4:
        matrix = r.value(op, 1)
        filters = r.constant(f"{op.name}.weight", matrix.reshape(*matrix.shape, 1, 1))
        inputs = [r.read(op, 0, channels_first=True), filters]
        inputs += [r.stored(op.inputs[2], "bias", op, None)] if op.inputs[2] else []
        value = r.add("Conv", inputs, f"{op.name}.f", op.name, kernel_shape=[1, 1])
        r.give(op, value, first=True)
        return
    source = r.read(op, 0, channels_first=False)
    if r.source.is_constant(op.inputs[1]):
        weight = r.stored(op.inputs[1], "weight", op, (1, 0))
    else:
        weight = r.add("Transpose", [r.read(op, 1)], f"{op.name}.weight", perm=[1, 0])
    value = r.add("MatMul", [source, weight], f"{op.name}.product", op.name)
    if op.inputs[2]:
        bias = r.read(op, 2, channels_first=False)
        value = r.add("Add", [value, bias], f"{op.name}.f", f"{op.name}.bias")
    r.give(op, value, first=False)


def _batch_product(r: Rendering, op: Op) -> None:
    sides = []
    for position, key in enumerate(("adjX", "adjY")):
        side = r.read(op, position, channels_first=False)
        if op.options.get(key):
            rank = len(r.source.tensors[op.inputs[position]].shape)
            order = [*range(rank - 2), rank - 1, rank - 2]
            side = r.add("Transpose", [side], f"{op.name}.{key}", perm=order)
        sides.append(side)
    r.give(op, r.add("MatMul", sides, f"{op.name}.f", op.name), first=False)


def _reduction(op_type: str, pooling: str = "") -> Callable[[Rendering, Op], None]:
    def write(r: Rendering, op: Op) -> None:
        rank = len(r.source.tensors[op.inputs[0]].shape)
        axes = sorted(int(axis) % rank for axis in np.ravel(r.value(op, 1)))
        keep = bool(op.options.get("keepDims"))
        # What stays must be in one order in either layout.
        alike = rank == 4 and (keep or axes in (_SPATIAL, [3], [1, 2, 3]))
        if pooling and rank == 4 and axes == _SPATIAL:
            value = r.add(pooling, [r.read(op, 0, channels_first=True)], f"{op.name}.f", op.name)
            if not keep:
                value = r.add("Flatten", [value], f"{op.name}.flat")
            r.give(op, value, first=keep)
            return
        first = alike and op.inputs[0] in r.first
        value = r.read(op, 0, channels_first=first)
        places = sorted(axis_in_file(axis, rank, first=first) for axis in axes)
        attributes: dict[str, Any] = {"keepdims": int(keep)}
        inputs = [value]
        if op_type == "ReduceSum":
            inputs.append(r.constant(f"{op.name}.axes", np.array(places, np.int64)))
        else:
            attributes["axes"] = places
        r.give(op, r.add(op_type, inputs, f"{op.name}.f", op.name, **attributes), first=first)

    return write


def _transposed_conv(r: Rendering, op: Op) -> None:
    """TRANSPOSE_CONV: sizes, weight ``[out, h, w, in]``, image, bias or none."""
    weight = r.value(op, 1)
    have = r.source.tensors[op.inputs[2]].shape[1:3]
    strides = [int(op.options["strideH"]), int(op.options["strideW"])]
    pads, extra = [0, 0, 0, 0], [0, 0]
    for axis in (0, 1):
        # (have - 1) * stride + kernel results, of which what is too much is cut off.
        surplus = (have[axis] - 1) * strides[axis] + weight.shape[1 + axis] - r.shape(op)[1 + axis]
        pads[axis], pads[axis + 2] = max(surplus, 0) // 2, max(surplus, 0) - max(surplus, 0) // 2
        extra[axis] = max(-surplus, 0)
    inputs = [
        r.read(op, 2, channels_first=True),
        r.stored(op.inputs[1], "weight", op, (3, 0, 1, 2)),
    ]
    if len(op.inputs) > 3 and op.inputs[3]:
        inputs.append(r.stored(op.inputs[3], "bias", op, None))
    value = r.add(
        "ConvTranspose",
        inputs,
        f"{op.name}.f",
        op.name,
        kernel_shape=list(weight.shape[1:3]),
        strides=strides,
        pads=pads,
        output_padding=extra,
    )
    r.give(op, value, first=True)


def _attributed(op_type: str, **keys: str) -> Callable[[Rendering, Op], None]:
    """An elementwise operator with numbers: ONNX's name of each, and the schema's."""

    def write(r: Rendering, op: Op) -> None:
        numbers = {name: float(op.options[key]) for name, key in keys.items()}
        value = r.add(op_type, [r.read(op, 0)], f"{op.name}.f", op.name, **numbers)
        r.give(op, value, first=op.inputs[0] in r.first)

    return write


def _clip(low: float, high: float) -> Callable[[Rendering, Op], None]:
    def write(r: Rendering, op: Op) -> None:
        ends = [r.constant(f"clip.{n:g}", np.array(n, np.float32)) for n in (low, high)]
        value = r.add("Clip", [r.read(op, 0), *ends], f"{op.name}.f", op.name)
        r.give(op, value, first=op.inputs[0] in r.first)

    return write


def _prelu(r: Rendering, op: Op) -> None:
    first = any_first(r, op)
    inputs = [r.read(op, i, channels_first=first) for i in range(2)]
    r.give(op, r.add("PRelu", inputs, f"{op.name}.f", op.name), first=first)


def _square(r: Rendering, op: Op) -> None:
    value = r.read(op, 0)
    value = r.add("Mul", [value, value], f"{op.name}.f", op.name)
    r.give(op, value, first=op.inputs[0] in r.first)


def _squared_difference(r: Rendering, op: Op) -> None:
    first = any_first(r, op)
    inputs = [r.read(op, i, channels_first=first) for i in range(2)]
    value = r.add("Sub", inputs, f"{op.name}.difference", op.name)
    r.give(op, r.add("Mul", [value, value], f"{op.name}.f"), first=first)


def _inverse_root(r: Rendering, op: Op) -> None:
    root = r.add("Sqrt", [r.read(op, 0)], f"{op.name}.root", op.name)
    r.give(op, r.add("Reciprocal", [root], f"{op.name}.f"), first=op.inputs[0] in r.first)


def _gelu(r: Rendering, op: Op) -> None:
    """``x/2 (1 + erf(x/sqrt 2))``, or its approximation by tanh, in the operators of opset 15.

    Source: Hendrycks and Gimpel 2016, arXiv:1606.08415.
    """
    x = r.read(op, 0)

    def number(value: float) -> str:
        return r.constant(f"gelu.{value:.6g}", np.array(value, np.float32))

    def step(op_type: str, *inputs: str) -> str:
        return r.add(op_type, inputs, f"{op.name}.{len(r.nodes)}")

    if op.options.get("approximate"):
        cubed = step("Mul", step("Mul", step("Mul", x, x), x), number(0.044715))
        inner = step("Mul", step("Add", x, cubed), number(np.sqrt(2 / np.pi)))
        bent = step("Tanh", inner)
    else:
        bent = step("Erf", step("Div", x, number(np.sqrt(2))))
    half = step("Mul", x, step("Add", bent, number(1.0)))
    value = r.add("Mul", [half, number(0.5)], f"{op.name}.f", op.name)
    r.give(op, value, first=op.inputs[0] in r.first)


def _over_channels(op_type: str) -> Callable[[Rendering, Op], None]:
    """Softmax or its logarithm, over the channels in either layout."""

    def write(r: Rendering, op: Op) -> None:
        rank, first = len(r.shape(op)), op.inputs[0] in r.first
        value, beta = r.read(op, 0), float(op.options.get("beta", 1.0))
        if beta != 1.0:
            factor = r.constant(f"{op.name}.beta", np.array(beta, np.float32))
            value = r.add("Mul", [value, factor], f"{op.name}.in")
        axis = axis_in_file(-1, rank, first=first) if first else -1
        r.give(op, r.add(op_type, [value], f"{op.name}.f", op.name, axis=axis), first=first)

    return write


def _chosen(r: Rendering, op: Op) -> None:
    """SELECT and SELECT_V2: the second operand where the first is true, else the third."""
    first = any_first(r, op)
    inputs = [r.read(op, i, channels_first=first) for i in range(3)]
    r.give(op, r.add("Where", inputs, f"{op.name}.f", op.name), first=first)


_UNARY = {
    "ABS": "Abs", "CEIL": "Ceil", "COS": "Cos", "EXP": "Exp", "FLOOR": "Floor", "LOG": "Log",
    "LOGICAL_NOT": "Not", "NEG": "Neg", "ROUND": "Round", "SIGN": "Sign", "SIN": "Sin",
    "SQRT": "Sqrt", "TANH": "Tanh",
}  # fmt: skip
_BINARY = {
    "DIV": "Div", "EQUAL": "Equal", "GREATER": "Greater", "GREATER_EQUAL": "GreaterOrEqual",
    "LESS": "Less", "LESS_EQUAL": "LessOrEqual", "LOGICAL_AND": "And", "LOGICAL_OR": "Or",
    "MAXIMUM": "Max", "MINIMUM": "Min", "POW": "Pow",
}  # fmt: skip

FLOAT_WRITERS: dict[str, Writer] = {
    **WRITERS,
    **{kind: unary(op_type) for kind, op_type in _UNARY.items()},
    **{kind: elementwise(op_type) for kind, op_type in _BINARY.items()},
    OpKind.RESHAPE: reshape,
    OpKind.DENSE: _dense,
    OpKind.MEAN: _reduction("ReduceMean", "GlobalAveragePool"),
    OpKind.SOFTMAX: _over_channels("Softmax"),
    SHUFFLE: shuffle,
    HARD_SIGMOID: _hard_sigmoid,
    "BATCH_MATMUL": _batch_product,
    "BROADCAST_TO": broadcast,
    "DEPTH_TO_SPACE": blocks("DepthToSpace"),
    "ELU": unary("Elu"),
    "EXPAND_DIMS": reshape,
    "GATHER": gather,
    "GELU": _gelu,
    "LEAKY_RELU": _attributed("LeakyRelu", alpha="alpha"),
    "LOG_SOFTMAX": _over_channels("LogSoftmax"),
    "MIRROR_PAD": mirror_pad,
    "PACK": pack,
    "PADV2": pad_with,
    "PRELU": _prelu,
    "REDUCE_MAX": _reduction("ReduceMax", "GlobalMaxPool"),
    "REDUCE_MIN": _reduction("ReduceMin"),
    "REDUCE_PROD": _reduction("ReduceProd"),
    "RELU_0_TO_1": _clip(0.0, 1.0),
    "RELU_N1_TO_1": _clip(-1.0, 1.0),
    "RESIZE_BILINEAR": resize("linear"),
    "RESIZE_NEAREST_NEIGHBOR": resize("nearest"),
    "RSQRT": _inverse_root,
    "SELECT": _chosen,
    "SELECT_V2": _chosen,
    "SLICE": sliced,
    "SPACE_TO_DEPTH": blocks("SpaceToDepth"),
    "SPLIT_V": split_unevenly,
    "SQUARE": _square,
    "SQUARED_DIFFERENCE": _squared_difference,
    "SQUEEZE": reshape,
    "SUM": _reduction("ReduceSum"),
    "TILE": tile,
    "TRANSPOSE_CONV": _transposed_conv,
    "UNPACK": unpack,
}
"""What writes each kind of operator, by the canonical graph's names of them."""
