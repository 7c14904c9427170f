"""Operators that read stored values alone, computed once: constants of the canonical graph."""

from __future__ import annotations

from dataclasses import replace

from network.graph import Graph, Op, Tensor
from network.run_litert import constant_results

_RANDOM = "RANDOM_"
"""Beginning of the kinds whose results differ from run to run."""


def folded(graph: Graph) -> Graph:
    """Graph of the same function without operators on stored values."""
    ops: list[Op] = []
    tensors = dict(graph.tensors)
    for op in graph.ops:
        current = replace(graph, tensors=tensors)
        stored = bool(op.inputs) and all(not n or current.is_constant(n) for n in op.inputs)
        if not stored or op.kind.startswith(_RANDOM) or graph.output in op.outputs:
            ops.append(op)
            continue
        for name, value in zip(op.outputs, constant_results(current, op), strict=True):
            tensors[name] = Tensor(name, value.shape, value, str(value.dtype))
    if len(ops) == len(graph.ops):
        return graph
    return replace(graph, tensors=tensors).pruned(ops)
