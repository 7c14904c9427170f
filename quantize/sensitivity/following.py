"""How a change is followed: from the operator that it is made at, through those that it reaches.

The float activations of a batch are computed once; everything that a change does not reach is
taken from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from network.affine import QuantParams
from network.graph import Graph, Op
from network.run_tensorflow import constants, dequantized, forward, quantized, run_op
from quantize.sensitivity.changes import CLIPPING, Change


def float_activations(graph: Graph, images: np.ndarray) -> dict[str, Any]:
    """Every activation of the float network, by name, as TensorFlow tensors.

    Args:
        graph: canonical.
        images: float32 ``[batch, height, width, 3]``.
    """
    import tensorflow as tf

    activations: dict[str, Any] = {}

    def record(name: str, value: Any) -> Any:
        activations[name] = value
        return value

    forward(graph, tf.constant(images), record)
    return activations


def changed_outputs(
    graph: Graph, activations: Mapping[str, Any], change: Change
) -> list[np.ndarray]:
    """Outputs ``[batch, ...]`` after a change; computes only the operators that it reaches.

    Args:
        graph: canonical.
        activations: those of the float network, by name.
        change: what is quantized.
    """
    changed = {
        name: _replaced(activations[name], params, change.part)
        for name, params in change.rounded.items()
    }
    changed = {name: value for name, value in changed.items() if value is not None}
    for op in graph.ops:
        if op is change.op and change.values:
            values = {**_inputs(op, activations, changed), **change.values}
        elif op is not change.op and any(name in changed for name in op.inputs):
            values = _inputs(op, activations, changed)
        else:
            continue
        results = run_op(op, graph, constants(graph, op, values))
        changed.update(zip(op.outputs, results, strict=True))
    return [np.asarray(changed.get(name, activations[name])) for name in graph.outputs]


def _replaced(value: Any, params: QuantParams, part: str) -> Any:
    """An activation after a change; None where no number is clipped."""
    import tensorflow as tf

    if part != CLIPPING:
        return dequantized(quantized(value, params), params)
    low, high = params.real_range
    clipped = tf.clip_by_value(value, low, high)
    return None if bool(tf.reduce_all(clipped == value)) else clipped


def _inputs(op: Op, activations: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Activations that an operator reads, changed where the change has reached them."""
    return {n: changed.get(n, activations[n]) for n in op.inputs if n in activations}
