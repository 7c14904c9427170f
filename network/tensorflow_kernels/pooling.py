"""Pools: means and maxima of windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from network.graph import Graph, Op
from network.operators import OpKind
from network.tensorflow_kernels.common import PADDING, Kernel, fused, strides


def _pool(operation: str) -> Kernel:
    def compute(op: Op, _: Graph, inputs: Sequence[Any]) -> Any:
        import tensorflow as tf

        window = [int(op.options["filterHeight"]), int(op.options["filterWidth"])]
        padding = PADDING[int(op.options["padding"])]
        pool = getattr(tf.nn, operation)
        return fused(op.fused, pool(inputs[0], window, strides(op)[1:3], padding))

    return compute


KERNELS: dict[str, Kernel] = {
    OpKind.AVERAGE_POOL: _pool("avg_pool2d"),
    OpKind.MAX_POOL: _pool("max_pool2d"),
}
