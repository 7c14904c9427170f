"""Activation functions: elementwise operators of one operand, and softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from network.graph import Graph, Op
from network.operators import OpKind
from network.tensorflow_kernels.common import Kernel, unary


def _hard_swish(_: Op, __: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    return inputs[0] * tf.nn.relu6(inputs[0] + 3.0) / 6.0


def _softmax(op: Op, _: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    return tf.nn.softmax(inputs[0] * float(op.options.get("beta", 1.0)))


def _clip(op: Op, _: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    return tf.clip_by_value(inputs[0], *op.traits.limits)


def _leaky_relu(op: Op, _: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    return tf.nn.leaky_relu(inputs[0], float(op.options["alpha"]))


def _prelu(_: Op, __: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    return tf.where(inputs[0] < 0, inputs[0] * inputs[1], inputs[0])


def _gelu(op: Op, _: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    return tf.nn.gelu(inputs[0], approximate=bool(op.options.get("approximate")))


def _inverse_root(_: Op, __: Graph, inputs: Sequence[Any]) -> Any:
    """``tf.math.rsqrt`` approximates, differently from CPU to CPU; root and quotient are exact."""
    import tensorflow as tf

    return 1.0 / tf.sqrt(inputs[0])


KERNELS: dict[str, Kernel] = {
    OpKind.RELU: unary("nn.relu"),
    OpKind.RELU6: unary("nn.relu6"),
    OpKind.RELU_N1_TO_1: _clip,
    OpKind.RELU_0_TO_1: _clip,
    OpKind.LEAKY_RELU: _leaky_relu,
    OpKind.PRELU: _prelu,
    OpKind.GELU: _gelu,
    OpKind.TANH: unary("tanh"),
    OpKind.EXP: unary("exp"),
    OpKind.LOG: unary("math.log"),
    OpKind.ABS: unary("abs"),
    OpKind.SQRT: unary("sqrt"),
    OpKind.RSQRT: _inverse_root,
    OpKind.LOGISTIC: unary("nn.sigmoid"),
    OpKind.HARD_SWISH: _hard_swish,
    OpKind.SOFTMAX: _softmax,
}
