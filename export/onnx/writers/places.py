"""Operators on places, types and orders of numbers, for float ONNX files."""

from __future__ import annotations

import numpy as np

from export.onnx.graph import Node
from export.onnx.rendering import Rendering, Writer
from export.onnx.writers.common import runs_channels_first
from export.onnx.writers.moves import gather
from foundation.errors import UnsupportedError
from network.graph import Op


def _cast_to(rendering: Rendering, value: str, dtype: str, output: str, name: str = "") -> str:
    from onnx import helper

    to = int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
    return rendering.add("Cast", [value], output, name, to=to)


def _cast(rendering: Rendering, op: Op) -> None:
    dtype = rendering.source.tensors[op.name].dtype
    value = _cast_to(rendering, rendering.read(op, 0), dtype, f"{op.name}.f", op.name)
    rendering.set_result(op, value, channels_first=op.inputs[0] in rendering.channels_first)


def _last_axis_only(op: Op, axis: int, rank: int) -> None:
    if axis % rank == 0:
        raise UnsupportedError(
            "an .onnx file computes each image alone",
            received=f"{op.name} over the images of a batch",
            remedy="replace that layer",
        )


def _top(rendering: Rendering, op: Op) -> None:
    """TOPK_V2 over the last axis: values and their places."""
    count = np.asarray(rendering.value(op, 1), np.int64).reshape(1)
    stored = rendering.constant(f"{op.name}.count", count)
    image = rendering.read(op, 0, channels_first=False)
    outputs = [f"{name}.f" for name in op.outputs]
    places = f"{op.outputs[1]}.wide"
    rendering.nodes.append(
        Node("TopK", [image, stored], [outputs[0], places], {"axis": -1}, op.name)
    )
    rendering.set_result(op, outputs[0], channels_first=False)
    dtype = rendering.source.tensors[op.outputs[1]].dtype
    value = _cast_to(rendering, places, dtype, outputs[1])
    rendering.set_result(op, value, op.outputs[1], channels_first=False)


def _place(op_type: str) -> Writer:
    """Writer of ARG_MAX or ARG_MIN."""

    def write(rendering: Rendering, op: Op) -> None:
        axis = int(np.ravel(rendering.value(op, 1))[0])
        _last_axis_only(op, axis, len(rendering.operand_shape(op, 0)))
        image = rendering.read(op, 0, channels_first=False)
        wide = rendering.add(op_type, [image], f"{op.name}.wide", op.name, axis=axis, keepdims=0)
        dtype = rendering.source.tensors[op.name].dtype
        rendering.set_result(
            op, _cast_to(rendering, wide, dtype, f"{op.name}.f"), channels_first=False
        )

    return write


def _one_hot(rendering: Rendering, op: Op) -> None:
    """ONE_HOT: places, depth, number at the place, number elsewhere."""
    depth = np.asarray(rendering.value(op, 1), np.int64).reshape(1)
    ends = np.array([np.ravel(rendering.value(op, n))[0] for n in (3, 2)])
    places = rendering.read(op, 0, channels_first=False)
    inputs = [  # ONNX Runtime has no kernel for places in int32
        _cast_to(rendering, places, "int64", f"{op.name}.places"),
        rendering.constant(f"{op.name}.depth", depth),
        rendering.constant(f"{op.name}.ends", ends),
    ]
    axis = int(op.options.get("axis", -1))
    value = rendering.add("OneHot", inputs, f"{op.name}.f", op.name, axis=axis)
    rendering.set_result(op, value, channels_first=False)


def _cumulative(rendering: Rendering, op: Op) -> None:
    axis = int(np.ravel(rendering.value(op, 1))[0])
    _last_axis_only(op, axis, len(rendering.operand_shape(op, 0)))
    stored = rendering.constant(f"{op.name}.axis", np.array(axis, np.int64))
    keys = ("exclusive", "reverse")
    attributes = {key: int(bool(op.options.get(key))) for key in keys}
    inputs = [rendering.read(op, 0, channels_first=False), stored]
    value = rendering.add("CumSum", inputs, f"{op.name}.f", op.name, **attributes)
    rendering.set_result(op, value, channels_first=False)


def _gathered(rendering: Rendering, op: Op) -> None:
    """GATHER; at computed places from a stored table, or from each image by its own places."""
    if rendering.source.is_constant(op.inputs[1]):
        gather(rendering, op)
        return
    rank = len(rendering.operand_shape(op, 0))
    axis, batch = int(op.options.get("axis", 0)) % rank, int(op.options.get("batchDims", 0))
    table = rendering.read(op, 0, channels_first=False)
    places = rendering.read(op, 1, channels_first=False)
    if batch == 0 and rendering.source.is_constant(op.inputs[0]):
        value = rendering.add("Gather", [table, places], f"{op.name}.f", op.name, axis=axis)
    elif batch and batch == axis:
        axes = rendering.constant(f"{op.name}.axes", np.array([-1], np.int64))
        places = rendering.add("Cast", [places], f"{op.name}.wide", to=7)  # int64
        places = rendering.add("Unsqueeze", [places, axes], f"{op.name}.places")
        value = rendering.add(
            "GatherND", [table, places], f"{op.name}.f", op.name, batch_dims=batch
        )
    else:
        raise UnsupportedError(
            "an .onnx file picks by computed places from a table, or from each image",
            received=f"{op.name}, which picks along the axis {axis} of a batch",
            remedy="replace that layer",
        )
    rendering.set_result(op, value, channels_first=False)


def _floor_divided(rendering: Rendering, op: Op) -> None:
    channels_first = runs_channels_first(rendering, op)
    x, y = (rendering.read(op, i, channels_first=channels_first) for i in range(2))
    if _is_float(rendering, op):
        ratio = rendering.add("Div", [x, y], f"{op.name}.ratio", op.name)
        value = rendering.add("Floor", [ratio], f"{op.name}.f")
    else:  # Div of integers rounds towards zero
        left = rendering.add("Mod", [x, y], f"{op.name}.left")
        whole = rendering.add("Sub", [x, left], f"{op.name}.whole")
        value = rendering.add("Div", [whole, y], f"{op.name}.f", op.name)
    rendering.set_result(op, value, channels_first=channels_first)


def _floor_left(rendering: Rendering, op: Op) -> None:
    """FLOOR_MOD: ``x - y floor(x / y)``; ONNX's Mod of floats has the sign of x."""
    channels_first = runs_channels_first(rendering, op)
    x, y = (rendering.read(op, i, channels_first=channels_first) for i in range(2))
    if not _is_float(rendering, op):
        value = rendering.add("Mod", [x, y], f"{op.name}.f", op.name)
    else:
        ratio = rendering.add("Div", [x, y], f"{op.name}.ratio")
        whole = rendering.add("Floor", [ratio], f"{op.name}.whole")
        product = rendering.add("Mul", [whole, y], f"{op.name}.product")
        value = rendering.add("Sub", [x, product], f"{op.name}.f", op.name)
    rendering.set_result(op, value, channels_first=channels_first)


def _is_float(rendering: Rendering, op: Op) -> bool:
    return rendering.source.tensors[op.name].dtype == "float32"


def _not_equal(rendering: Rendering, op: Op) -> None:
    channels_first = runs_channels_first(rendering, op)
    inputs = [rendering.read(op, i, channels_first=channels_first) for i in range(2)]
    equal = rendering.add("Equal", inputs, f"{op.name}.equal", op.name)
    value = rendering.add("Not", [equal], f"{op.name}.f")
    rendering.set_result(op, value, channels_first=channels_first)


FLOAT_WRITERS: dict[str, Writer] = {
    "ARG_MAX": _place("ArgMax"),
    "ARG_MIN": _place("ArgMin"),
    "CAST": _cast,
    "CUMSUM": _cumulative,
    "FLOOR_DIV": _floor_divided,
    "FLOOR_MOD": _floor_left,
    "GATHER": _gathered,
    "NOT_EQUAL": _not_equal,
    "ONE_HOT": _one_hot,
    "TOPK_V2": _top,
}
"""Writer of each kind of operator, by its name in the canonical graph."""
