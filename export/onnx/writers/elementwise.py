"""Elementwise operators of two operands, and the choice between two."""

from __future__ import annotations

from export.onnx.rendering import Rendering, Writer
from export.onnx.writers.common import (
    elementwise,
    runs_channels_first,
)
from network.graph import Op
from network.operators import OpKind


def _squared_difference(rendering: Rendering, op: Op) -> None:
    channels_first = runs_channels_first(rendering, op)
    inputs = [rendering.read(op, i, channels_first=channels_first) for i in range(2)]
    value = rendering.add("Sub", inputs, f"{op.name}.difference")
    value = rendering.add("Mul", [value, value], f"{op.name}.f", op.name)
    rendering.set_result(op, value, channels_first=channels_first)


def _chosen(rendering: Rendering, op: Op) -> None:
    """SELECT and SELECT_V2: the second operand where the first is true, else the third."""
    channels_first = runs_channels_first(rendering, op)
    inputs = [rendering.read(op, i, channels_first=channels_first) for i in range(3)]
    value = rendering.add("Where", inputs, f"{op.name}.f", op.name)
    rendering.set_result(op, value, channels_first=channels_first)


WRITERS: dict[str, Writer] = {
    OpKind.ADD: elementwise("Add"),
    OpKind.SUB: elementwise("Sub"),
    OpKind.MUL: elementwise("Mul"),
    OpKind.MAXIMUM: elementwise("Max"),
    OpKind.MINIMUM: elementwise("Min"),
    OpKind.SQUARED_DIFFERENCE: _squared_difference,
}


_BINARY = {
    "DIV": "Div", "EQUAL": "Equal", "GREATER": "Greater", "GREATER_EQUAL": "GreaterOrEqual",
    "LESS": "Less", "LESS_EQUAL": "LessOrEqual", "LOGICAL_AND": "And", "LOGICAL_OR": "Or",
    "POW": "Pow",
}  # fmt: skip


FLOAT_WRITERS: dict[str, Writer] = {
    **{kind: elementwise(op_type) for kind, op_type in _BINARY.items()},
    "SELECT": _chosen,
    "SELECT_V2": _chosen,
}
