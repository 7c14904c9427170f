"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from network.graph import Graph, Op
from network.operators import OpKind
from network.tensorflow_kernels.common import Kernel


def _reduce(operation: str) -> Kernel:
    def compute(op: Op, _: Graph, inputs: Sequence[Any]) -> Any:
        import tensorflow as tf

        axes = [int(axis) for axis in np.ravel(inputs[1])]
        reduce = getattr(tf, operation)
        return reduce(inputs[0], axes, keepdims=bool(op.options.get("keepDims")))

    return compute


KERNELS: dict[str, Kernel] = {
    OpKind.MEAN: _reduce("reduce_mean"),
    OpKind.REDUCE_MAX: _reduce("reduce_max"),
    OpKind.REDUCE_MIN: _reduce("reduce_min"),
}
