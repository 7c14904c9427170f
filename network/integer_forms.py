"""Operators of a canonical graph that have no int8 form: they stay in float in an int8 file.

A row of ``network.operators`` says what a kind of operator can do; an operator of a graph may still
have no integer form, because of the tensors that it reads.
"""

from __future__ import annotations

from network.graph import Graph, Op

FLOAT = "float32"
"""Type of an activation that can become integers."""


def obstacle(graph: Graph, op: Op) -> str:
    """Reason why an operator has no int8 form, as a phrase; empty where it has one.

    Args:
        graph: canonical.
        op: operator of the graph.
    """
    traits = op.traits
    if traits.int8_version is None:
        return "no int8 kernel"
    for name in (*op.inputs, *op.outputs):
        if name and not graph.is_constant(name) and graph.tensors[name].dtype != FLOAT:
            return f"{graph.tensors[name].dtype} activations"
    if traits.weighted:
        computed = any(name and not graph.is_constant(name) for name in op.inputs[1:])
        if computed or len(op.inputs) < 2:
            return "a computed weight"
        return "" if not graph.is_constant(op.inputs[0]) else "a stored operand"
    positions = op.data_positions
    for position, name in enumerate(op.inputs):
        if name and position not in positions and not graph.is_constant(name):
            return "computed sizes or places"
    read = [op.inputs[position] for position in positions if position < len(op.inputs)]
    return "a stored operand" if all(graph.is_constant(name) for name in read if name) else ""


def without_integer_form(graph: Graph) -> dict[str, str]:
    """Operators that have no int8 form: reason by name, in the order of the graph."""
    reasons = {op.name: obstacle(graph, op) for op in graph.ops}
    return {name: reason for name, reason in reasons.items() if reason}


def measured(graph: Graph) -> tuple[str, ...]:
    """Names of the activations that may become integers, in the order of ``graph.activations``.

    Activations between operators without an integer form are left out: nothing reads their range,
    which may be infinite.
    """
    floats = without_integer_form(graph)
    if not floats:
        return graph.activations

    def touches_integers(name: str) -> bool:
        producer = graph.producers.get(name)
        around = [*graph.readers[name], *([producer] if producer else [])]
        ends = (graph.input, *graph.outputs)
        return name in ends or any(op.name not in floats for op in around)

    return tuple(name for name in graph.activations if touches_integers(name))
