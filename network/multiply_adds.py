"""Operations of each operator: what a share of the multiply-adds is counted in.

A product counts one multiply-add for each pair of factors. Any other operator that computes counts
one for each number that it gives, or reads where it reads more; moving numbers counts none. So an
operator that the papers count as nothing has a share as well, and a network without a product does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from network.graph import Graph, Op
from network.operators import OpKind

_OUTPUT_AXES = {str(OpKind.CONV): 0, str(OpKind.DEPTHWISE_CONV): 3, str(OpKind.DENSE): 0}
"""Axis of a weight that counts the output channels, whether or not it has an integer form."""

_PRODUCT = "BATCH_MATMUL"
_STORED_FILTERS = ("TRANSPOSE_CONV", "CONV_3D")
_MOVES = frozenset(
    {
        "BATCH_TO_SPACE_ND", "BROADCAST_TO", "CAST", "DEPTH_TO_SPACE", "EMBEDDING_LOOKUP",
        "EXPAND_DIMS", "FILL", "GATHER", "GATHER_ND", "MIRROR_PAD", "PACK", "PADV2", "RANGE",
        "REVERSE_SEQUENCE", "REVERSE_V2", "SHAPE", "SLICE", "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH",
        "SPLIT_V", "SQUEEZE", "TILE", "UNPACK", "ZEROS_LIKE",
    }
)  # fmt: skip
"""Operators without a row of their own that only move numbers."""


def operations(graph: Graph, op: Op) -> int:
    """Multiply-adds of an operator on one input, or the numbers that it computes or reads."""
    result = math.prod(graph.tensors[op.name].shape)
    shapes = [graph.tensors[name].shape for name in op.inputs if name]
    if op.kind in _OUTPUT_AXES and len(shapes) > 1:
        return result * (math.prod(shapes[1]) // max(1, shapes[1][_OUTPUT_AXES[op.kind]]))
    if op.kind == _PRODUCT and len(shapes) > 1:
        return result * shapes[0][-2 if op.options.get("adjX") else -1]
    if op.kind in _STORED_FILTERS and len(shapes) > 1:
        weight = shapes[1]
        channels = weight[-1] if op.kind == "TRANSPOSE_CONV" else weight[-2]
        return math.prod(shapes[0]) * (math.prod(weight) // max(1, channels))
    if op.traits.moves or op.kind in _MOVES:
        return 0
    read = [math.prod(shape) for name, shape in _activations(graph, op)]
    return max(result, *read) if read else result


def _activations(graph: Graph, op: Op) -> list[tuple[str, tuple[int, ...]]]:
    return [(n, graph.tensors[n].shape) for n in op.inputs if n and not graph.is_constant(n)]


def shares(graph: Graph, names: Iterable[str]) -> dict[str, float]:
    """Share of each of these operators in the network's operations, 0 to 1, by name."""
    counts = {op.name: operations(graph, op) for op in graph.ops}
    total = sum(counts.values())
    return {name: counts[name] / total if total else 0.0 for name in names}
