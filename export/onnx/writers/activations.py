"""Activation functions: elementwise operators of one operand, and softmax."""

from __future__ import annotations

import numpy as np

from export.onnx.fusion import HARD_SIGMOID
from export.onnx.rendering import Rendering, Writer
from export.onnx.writers.common import (
    attributed,
    axis_in_file,
    clip,
    runs_channels_first,
    unary,
)
from network.graph import Op
from network.operators import OpKind


def _hard_sigmoid(rendering: Rendering, op: Op) -> None:
    ends = {"alpha": float(op.options["slope"]), "beta": float(op.options["offset"])}
    value = rendering.add("HardSigmoid", [rendering.read(op, 0)], f"{op.name}.f", op.name, **ends)
    rendering.set_result(op, value, channels_first=op.inputs[0] in rendering.channels_first)


def _softmax(rendering: Rendering, op: Op) -> None:
    """In float: 256 steps cannot hold the probabilities of 1,000 classes, and it costs nothing."""
    value = rendering.add(
        "Softmax", [rendering.read(op, 0, channels_first=False)], f"{op.name}.f", op.name, axis=-1
    )
    rendering.set_result(op, value, channels_first=False)


def _prelu(rendering: Rendering, op: Op) -> None:
    channels_first = runs_channels_first(rendering, op)
    inputs = [rendering.read(op, i, channels_first=channels_first) for i in range(2)]
    value = rendering.add("PRelu", inputs, f"{op.name}.f", op.name)
    rendering.set_result(op, value, channels_first=channels_first)


def _root(rendering: Rendering, op: Op) -> None:
    """Root, and less by half a step before a quantizer: TFLite's int8 kernel rounds down."""
    source, params = rendering.read(op, 0), rendering.plan.activations.get(op.name)
    if params is None or op.name in rendering.plan.settings.float_ops:
        value = rendering.add("Sqrt", [source], f"{op.name}.f", op.name)
    else:
        root = rendering.add("Sqrt", [source], f"{op.name}.root")
        half = np.array(params.scale[0] / 2, np.float32)
        halved = rendering.constant(f"{op.name}.half", half)
        value = rendering.add("Sub", [root, halved], f"{op.name}.f", op.name)
    rendering.set_result(op, value, channels_first=op.inputs[0] in rendering.channels_first)


def _inverse_root(rendering: Rendering, op: Op) -> None:
    root = rendering.add("Sqrt", [rendering.read(op, 0)], f"{op.name}.root")
    value = rendering.add("Reciprocal", [root], f"{op.name}.f", op.name)
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


def _square(rendering: Rendering, op: Op) -> None:
    value = rendering.read(op, 0)
    value = rendering.add("Mul", [value, value], f"{op.name}.f", op.name)
    rendering.set_result(op, value, channels_first=op.inputs[0] in rendering.channels_first)


WRITERS: dict[str, Writer] = {
    OpKind.RELU: unary("Relu"),
    OpKind.RELU6: clip(0.0, 6.0),
    OpKind.RELU_N1_TO_1: clip(-1.0, 1.0),
    OpKind.RELU_0_TO_1: clip(0.0, 1.0),
    OpKind.LEAKY_RELU: attributed("LeakyRelu", alpha="alpha"),
    OpKind.PRELU: _prelu,
    OpKind.GELU: _gelu,
    OpKind.TANH: unary("Tanh"),
    OpKind.EXP: unary("Exp"),
    OpKind.LOG: unary("Log"),
    OpKind.ABS: unary("Abs"),
    OpKind.SQRT: _root,
    OpKind.RSQRT: _inverse_root,
    OpKind.LOGISTIC: unary("Sigmoid"),
    OpKind.HARD_SWISH: unary("HardSwish"),
    OpKind.SOFTMAX: _softmax,
}


_UNARY = {
    "CEIL": "Ceil", "COS": "Cos", "FLOOR": "Floor", "LOGICAL_NOT": "Not", "NEG": "Neg",
    "ROUND": "Round", "SIGN": "Sign", "SIN": "Sin",
}  # fmt: skip


FLOAT_WRITERS: dict[str, Writer] = {
    **{kind: unary(op_type) for kind, op_type in _UNARY.items()},
    OpKind.SOFTMAX: _over_channels("Softmax"),
    HARD_SIGMOID: _hard_sigmoid,
    "ELU": unary("Elu"),
    "LOG_SOFTMAX": _over_channels("LogSoftmax"),
    "SQUARE": _square,
}
