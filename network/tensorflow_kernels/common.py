"""Interface of the float kernels, and the functions that they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from network.graph import Graph, Op
from network.operators import Fused

Kernel = Callable[[Op, Graph, Sequence[Any]], Any]
"""Operator, its graph and its inputs -> the result, or a list of several results.

Only the shapes of the graph count, which are those of a batch of one. An absent input is None.
"""

PADDING = ("SAME", "VALID")
"""``Padding`` of the schema, with the semantics of TensorFlow."""


def fused(activation: Fused, value: Any) -> Any:
    """Apply the activation that is fused into an operator."""
    import tensorflow as tf

    low, high = activation.limits
    if activation is Fused.NONE:
        return value
    if (low, high) == (0, 6):
        return tf.nn.relu6(value)  # in one pass over the values
    return tf.nn.relu(value) if high == np.inf else tf.clip_by_value(value, low, high)


def strides(op: Op) -> list[int]:
    """Distances between windows, one for each axis of an image."""
    return [1, int(op.options["strideH"]), int(op.options["strideW"]), 1]


def of_whole_batch(inputs: Sequence[Any]) -> list[Any]:
    """Operands of one batch; stored ones, which have a batch of one, are repeated."""
    import tensorflow as tf

    batch = max(int(value.shape[0]) for value in inputs)
    return [tf.repeat(value, batch // int(value.shape[0]), axis=0) for value in inputs]


def unary(operation: str) -> Kernel:
    """Kernel of a function of ``tf`` of one operand."""

    def compute(_: Op, __: Graph, inputs: Sequence[Any]) -> Any:
        import tensorflow as tf

        return attrgetter(operation)(tf)(inputs[0])

    return compute


def binary(operation: str) -> Kernel:
    """Kernel of a function of ``tf`` of two operands, with the fused activation."""

    def compute(op: Op, _: Graph, inputs: Sequence[Any]) -> Any:
        import tensorflow as tf

        return fused(op.fused, attrgetter(operation)(tf)(inputs[0], inputs[1]))

    return compute
