"""Products of two activations, and vectors divided by their length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from network.graph import Graph, Op
from network.operators import OpKind
from network.tensorflow_kernels.common import Kernel, fused

_SMALLEST_SQUARE = 1e-12
"""Smallest squared length that vectors are divided by, ``epsilon`` squared of LiteRT's kernel."""


def _batch_product(op: Op, _: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    return tf.matmul(
        inputs[0],
        inputs[1],
        transpose_a=bool(op.options.get("adjX")),
        transpose_b=bool(op.options.get("adjY")),
    )


def _normalize(op: Op, _: Graph, inputs: Sequence[Any]) -> Any:
    import tensorflow as tf

    return fused(op.fused, tf.math.l2_normalize(inputs[0], -1, _SMALLEST_SQUARE))


KERNELS: dict[str, Kernel] = {
    OpKind.BATCH_MATMUL: _batch_product,
    OpKind.L2_NORMALIZATION: _normalize,
}
