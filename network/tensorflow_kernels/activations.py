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


KERNELS: dict[str, Kernel] = {
    OpKind.RELU: unary("relu"),
    OpKind.RELU6: unary("relu6"),
    OpKind.LOGISTIC: unary("sigmoid"),
    OpKind.HARD_SWISH: _hard_swish,
    OpKind.SOFTMAX: _softmax,
}
