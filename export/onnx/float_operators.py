"""Writers for float ONNX files: operators of the canonical graph that int8 files do not have."""

from __future__ import annotations

from typing import Any

import numpy as np

from export.onnx.float_moves import (
    blocks,
    broadcast,
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
from export.onnx.float_places import PLACE_WRITERS
from export.onnx.fusion import HARD_SIGMOID, SHUFFLE
from export.onnx.operators import (
    WRITERS,
    axis_in_file,
    elementwise,
    runs_channels_first,
    unary,
)
from export.onnx.rendering import Rendering, Writer
from network.graph import Op
from network.operators import OpKind

_SPATIAL = [1, 2]


def _hard_sigmoid(rendering: Rendering, op: Op) -> None:
    ends = {"alpha": float(op.options["slope"]), "beta": float(op.options["offset"])}
    value = rendering.add("HardSigmoid", [rendering.read(op, 0)], f"{op.name}.f", op.name, **ends)
    rendering.set_result(op, value, channels_first=op.inputs[0] in rendering.channels_first)


def _dense(rendering: Rendering, op: Op) -> None:
    """Gemm on rows, Conv on the pixels of an image, MatMul on what else has more axes.

    A weight that the network computes is left to MatMul too.
    """
    rank = len(rendering.result_shape(op))
    stored = rendering.source.is_constant(op.inputs[1])
    if stored and rank == 2:
        WRITERS[OpKind.DENSE](rendering, op)
        return
    if stored and rank == 4 and len(rendering.operand_shape(op, 0)) == 4:
        matrix = rendering.value(op, 1)
        filters = rendering.constant(f"{op.name}.weight", matrix.reshape(*matrix.shape, 1, 1))
        inputs = [rendering.read(op, 0, channels_first=True), filters]
        inputs += [rendering.stored(op.inputs[2], "bias", op, None)] if op.inputs[2] else []
        value = rendering.add("Conv", inputs, f"{op.name}.f", op.name, kernel_shape=[1, 1])
        rendering.set_result(op, value, channels_first=True)
        return
    source = rendering.read(op, 0, channels_first=False)
    if rendering.source.is_constant(op.inputs[1]):
        weight = rendering.stored(op.inputs[1], "weight", op, (1, 0))
    else:
        weight = rendering.add(
            "Transpose", [rendering.read(op, 1)], f"{op.name}.weight", perm=[1, 0]
        )
    value = rendering.add("MatMul", [source, weight], f"{op.name}.product", op.name)
    if op.inputs[2]:
        bias = rendering.read(op, 2, channels_first=False)
        value = rendering.add("Add", [value, bias], f"{op.name}.f", f"{op.name}.bias")
    rendering.set_result(op, value, channels_first=False)


def _batch_product(rendering: Rendering, op: Op) -> None:
    sides = []
    for position, key in enumerate(("adjX", "adjY")):
        side = rendering.read(op, position, channels_first=False)
        if op.options.get(key):
            rank = len(rendering.operand_shape(op, position))
            order = [*range(rank - 2), rank - 1, rank - 2]
            side = rendering.add("Transpose", [side], f"{op.name}.{key}", perm=order)
        sides.append(side)
    value = rendering.add("MatMul", sides, f"{op.name}.f", op.name)
    rendering.set_result(op, value, channels_first=False)


def _reduction(op_type: str, pooling: str = "") -> Writer:
    def write(rendering: Rendering, op: Op) -> None:
        rank = len(rendering.operand_shape(op, 0))
        axes = sorted(int(axis) % rank for axis in np.ravel(rendering.value(op, 1)))
        keep = bool(op.options.get("keepDims"))
        # The remaining axes must be in the same order in either layout.
        either_layout = rank == 4 and (keep or axes in (_SPATIAL, [3], [1, 2, 3]))
        if pooling and rank == 4 and axes == _SPATIAL:
            value = rendering.add(
                pooling, [rendering.read(op, 0, channels_first=True)], f"{op.name}.f", op.name
            )
            if not keep:
                value = rendering.add("Flatten", [value], f"{op.name}.flat")
            rendering.set_result(op, value, channels_first=keep)
            return
        channels_first = either_layout and op.inputs[0] in rendering.channels_first
        value = rendering.read(op, 0, channels_first=channels_first)
        file_axes = sorted(axis_in_file(axis, rank, channels_first=channels_first) for axis in axes)
        attributes: dict[str, Any] = {"keepdims": int(keep)}
        inputs = [value]
        if op_type == "ReduceSum":
            inputs.append(rendering.constant(f"{op.name}.axes", np.array(file_axes, np.int64)))
        else:
            attributes["axes"] = file_axes
        value = rendering.add(op_type, inputs, f"{op.name}.f", op.name, **attributes)
        rendering.set_result(op, value, channels_first=channels_first)

    return write


def _transposed_conv(rendering: Rendering, op: Op) -> None:
    """TRANSPOSE_CONV: sizes, weight ``[out, h, w, in]``, image, bias or none."""
    weight = rendering.value(op, 1)
    sizes, result_sizes = rendering.operand_shape(op, 2)[1:3], rendering.result_shape(op)[1:3]
    strides = [int(op.options["strideH"]), int(op.options["strideW"])]
    pads, extra = [0, 0, 0, 0], [0, 0]
    for axis in (0, 1):
        # There are (in - 1) * stride + kernel results; those beyond the stored size are cut off.
        results = (sizes[axis] - 1) * strides[axis] + weight.shape[1 + axis]
        surplus = results - result_sizes[axis]
        pads[axis], pads[axis + 2] = max(surplus, 0) // 2, max(surplus, 0) - max(surplus, 0) // 2
        extra[axis] = max(-surplus, 0)
    inputs = [
        rendering.read(op, 2, channels_first=True),
        rendering.stored(op.inputs[1], "weight", op, (3, 0, 1, 2)),
    ]
    if len(op.inputs) > 3 and op.inputs[3]:
        inputs.append(rendering.stored(op.inputs[3], "bias", op, None))
    value = rendering.add(
        "ConvTranspose",
        inputs,
        f"{op.name}.f",
        op.name,
        kernel_shape=list(weight.shape[1:3]),
        strides=strides,
        pads=pads,
        output_padding=extra,
    )
    rendering.set_result(op, value, channels_first=True)


def _attributed(op_type: str, **keys: str) -> Writer:
    """Writer of an elementwise operator with numbers: ONNX's name of each, and the schema's."""

    def write(rendering: Rendering, op: Op) -> None:
        numbers = {name: float(op.options[key]) for name, key in keys.items()}
        value = rendering.add(op_type, [rendering.read(op, 0)], f"{op.name}.f", op.name, **numbers)
        rendering.set_result(op, value, channels_first=op.inputs[0] in rendering.channels_first)

    return write


def _clip(low: float, high: float) -> Writer:
    def write(rendering: Rendering, op: Op) -> None:
        ends = [rendering.constant(f"clip.{n:g}", np.array(n, np.float32)) for n in (low, high)]
        value = rendering.add("Clip", [rendering.read(op, 0), *ends], f"{op.name}.f", op.name)
        rendering.set_result(op, value, channels_first=op.inputs[0] in rendering.channels_first)

    return write


def _prelu(rendering: Rendering, op: Op) -> None:
    channels_first = runs_channels_first(rendering, op)
    inputs = [rendering.read(op, i, channels_first=channels_first) for i in range(2)]
    value = rendering.add("PRelu", inputs, f"{op.name}.f", op.name)
    rendering.set_result(op, value, channels_first=channels_first)


def _square(rendering: Rendering, op: Op) -> None:
    value = rendering.read(op, 0)
    value = rendering.add("Mul", [value, value], f"{op.name}.f", op.name)
    rendering.set_result(op, value, channels_first=op.inputs[0] in rendering.channels_first)


def _squared_difference(rendering: Rendering, op: Op) -> None:
    channels_first = runs_channels_first(rendering, op)
    inputs = [rendering.read(op, i, channels_first=channels_first) for i in range(2)]
    value = rendering.add("Sub", inputs, f"{op.name}.difference", op.name)
    value = rendering.add("Mul", [value, value], f"{op.name}.f")
    rendering.set_result(op, value, channels_first=channels_first)


def _inverse_root(rendering: Rendering, op: Op) -> None:
    root = rendering.add("Sqrt", [rendering.read(op, 0)], f"{op.name}.root", op.name)
    value = rendering.add("Reciprocal", [root], f"{op.name}.f")
    rendering.set_result(op, value, channels_first=op.inputs[0] in rendering.channels_first)


def _gelu(rendering: Rendering, op: Op) -> None:
    """``x/2 (1 + erf(x/sqrt 2))``, or its approximation by tanh, in the operators of opset 15.

    Source: Hendrycks and Gimpel 2016, arXiv:1606.08415.
    """
    x = rendering.read(op, 0)

    def number(value: float) -> str:
        return rendering.constant(f"gelu.{value:.6g}", np.array(value, np.float32))

    def step(op_type: str, *inputs: str) -> str:
        return rendering.add(op_type, inputs, f"{op.name}.{len(rendering.nodes)}")

    if op.options.get("approximate"):
        cubed = step("Mul", step("Mul", step("Mul", x, x), x), number(0.044715))
        inner = step("Mul", step("Add", x, cubed), number(np.sqrt(2 / np.pi)))
        bent = step("Tanh", inner)
    else:
        bent = step("Erf", step("Div", x, number(np.sqrt(2))))
    half = step("Mul", x, step("Add", bent, number(1.0)))
    value = rendering.add("Mul", [half, number(0.5)], f"{op.name}.f", op.name)
    rendering.set_result(op, value, channels_first=op.inputs[0] in rendering.channels_first)


def _over_channels(op_type: str) -> Writer:
    """Writer of a softmax or its logarithm, over the channels in either layout."""

    def write(rendering: Rendering, op: Op) -> None:
        rank, channels_first = (
            len(rendering.result_shape(op)),
            op.inputs[0] in rendering.channels_first,
        )
        value, beta = rendering.read(op, 0), float(op.options.get("beta", 1.0))
        if beta != 1.0:
            factor = rendering.constant(f"{op.name}.beta", np.array(beta, np.float32))
            value = rendering.add("Mul", [value, factor], f"{op.name}.in")
        axis = axis_in_file(-1, rank, channels_first=channels_first) if channels_first else -1
        value = rendering.add(op_type, [value], f"{op.name}.f", op.name, axis=axis)
        rendering.set_result(op, value, channels_first=channels_first)

    return write


def _chosen(rendering: Rendering, op: Op) -> None:
    """SELECT and SELECT_V2: the second operand where the first is true, else the third."""
    channels_first = runs_channels_first(rendering, op)
    inputs = [rendering.read(op, i, channels_first=channels_first) for i in range(3)]
    value = rendering.add("Where", inputs, f"{op.name}.f", op.name)
    rendering.set_result(op, value, channels_first=channels_first)


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
    **PLACE_WRITERS,
}
"""Writer of each kind of operator, by its name in the canonical graph."""
