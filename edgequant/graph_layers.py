"""A canonical graph as the layers that costs are counted over."""

from __future__ import annotations

from math import prod

from models.cost.graph import LayerGraph, Operator, Role, Shape
from network.graph import Graph, Op
from network.operators import OpKind


def layer_graph(graph: Graph) -> LayerGraph:
    """Operators and tensors of a graph; norms and activations are in them already.

    Reshapes are left out: a file has none of their results in memory twice.
    """
    index: dict[str, int] = {}
    tensors: list[Shape] = []
    for name in graph.activations:
        index[name] = len(tensors)
        tensors.append(graph.tensors[name].shape[1:])
    operators = []
    for op in graph.ops:
        read = tuple(dict.fromkeys(index[n] for n in op.inputs if n in index))
        if op.kind == OpKind.RESHAPE:
            index[op.name] = read[0]
            continue
        made = tuple(index[name] for name in op.outputs)
        operators.append(_operator(op, graph, read, made))
    outputs = tuple(index[name] for name in graph.outputs)
    return LayerGraph(tuple(operators), tuple(tensors), (index[graph.input],), outputs)


def _operator(op: Op, graph: Graph, read: tuple[int, ...], made: tuple[int, ...]) -> Operator:
    stored = [graph.tensors[n].value for n in op.inputs if graph.is_constant(n)]
    params = sum(value.size for value in stored if value is not None and value.dtype.kind == "f")
    macs, kernel = 0, ()
    if op.is_weighted and graph.is_constant(op.inputs[1]):
        weight = graph.weight(op)
        kernel = weight.shape
        macs = prod(graph.tensors[op.name].shape[1:-1]) * weight.size
    return Operator(
        op.name, str(op.kind), Role.OTHER, read, made, macs, kernel, params, layers=(op.name,)
    )
