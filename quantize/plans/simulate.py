"""A planned network run on images in float arithmetic, with TensorFlow on all cores.

Every weight, bias and activation is the number that its integer stands for, so the answers are
those of an int8 file except for the rounding of single sums: fast enough to compare many plans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from network.affine import QuantParams
from network.graph import Graph, Op
from network.operators import OpKind
from network.run_tensorflow import dequantized, quantized, run_outputs
from quantize.plans.plan import PlannedNetwork


def simulated(planned: PlannedNetwork, images: np.ndarray) -> np.ndarray:
    """First output of ``simulated_outputs``: float32 ``[batch, h, w, 3] -> [batch, ...]``."""
    return simulated_outputs(planned, images)[0]


def simulated_outputs(planned: PlannedNetwork, images: np.ndarray) -> tuple[np.ndarray, ...]:
    """Outputs of the quantized network: float32 ``[batch, h, w, 3]`` to ``[batch, ...]`` each."""
    plan = planned.plan
    values = {name: constant.to_float() for name, constant in plan.constants.items()}
    return run_outputs(planned.graph.with_values(values), images, rounding_of(plan.activations))


def rounding_of(params: Mapping[str, QuantParams]) -> Callable[[str, Any], Any]:
    """What ``run_outputs`` replaces activations by: the numbers that their integers stand for.

    Args:
        params: parameters of activations, by name; those without stay as they are.
    """

    def rounded(name: str, value: Any) -> Any:
        given = params.get(name)
        return value if given is None else dequantized(quantized(value, given), given)

    return rounded


def multiply_adds(graph: Graph, op: Op) -> int:
    """Number of multiply-adds of a convolution or matrix product on one image; 0 for any other."""
    if op.kind == OpKind.BATCH_MATMUL:
        shape = graph.tensors[op.inputs[0]].shape
        depth = shape[-2 if op.options.get("adjX") else -1]
        return int(np.prod(graph.tensors[op.name].shape) * depth)
    if not op.is_weighted:
        return 0
    weight = graph.weight(op)
    # Each pixel of a transposed convolution's input meets the whole weight once.
    counted = op.inputs[0] if op.kind == OpKind.TRANSPOSE_CONV else op.name
    return int(np.prod(graph.tensors[counted].shape[1:-1]) * weight.size)


def float_share(graph: Graph, names: Iterable[str]) -> float:
    """Share of the network's multiply-adds that these operators compute, 0 to 1."""
    floats = frozenset(names)
    total = sum(multiply_adds(graph, op) for op in graph.ops)
    in_float = sum(multiply_adds(graph, op) for op in graph.ops if op.name in floats)
    return in_float / total if total else 0.0
