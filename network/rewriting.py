"""Rewrites of the canonical graph: the same function in operators with good integer forms.

Softplus, for example, is ``log(exp(x) + 1)`` in the converter's files: the exponential of a number
of any size, which 8 bits cannot hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from foundation.tables import joined
from network.graph import Graph, Op
from network.integer_forms import FLOAT
from network.rewrites.parts import Parts, Rule

RULES: Mapping[str, Sequence[Rule]] = joined(f"{__package__}.rewrites", "RULES")
"""Rules for each kind of operator, by its name in the schema; the first that fits is applied."""


def rewritten(graph: Graph) -> Graph:
    """Apply the rules of ``network.rewrites`` to every operator, and to what they gave.

    Args:
        graph: as the converter's file has it.

    Returns:
        Graph of the same function; the same graph where no rule fits.
    """
    changed = _once(graph)
    while changed is not graph:
        graph, changed = changed, _once(changed)
    return graph


def _once(graph: Graph) -> Graph:
    ops: list[Op] = []
    tensors = dict(graph.tensors)
    made: dict[str, Op] = {}
    for op in graph.ops:
        parts = Parts(graph, op, tensors, made)
        rules = RULES.get(op.kind, ()) if tensors[op.name].dtype == FLOAT else ()
        ops += parts.ops if any(rule(parts) for rule in rules) else [op]
    return _needed(replace(graph, ops=tuple(ops), tensors=tensors)) if made else graph


def _needed(graph: Graph) -> Graph:
    """Graph without operators whose results nobody reads."""
    needed = set(graph.outputs)
    remaining: list[Op] = []
    for op in reversed(graph.ops):
        if needed.intersection(op.outputs):
            needed.update(op.inputs)
            remaining.append(op)
    return graph.pruned(reversed(remaining))
