"""Arithmetic on stored values and on shapes, done once for a batch of one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from network.graph import Graph, Op, Tensor
from network.operators import OpKind
from network.run_litert import constant_results

SHAPE = "SHAPE"

_RANDOM = "RANDOM_"
"""Beginning of the kinds whose results differ from run to run."""

_ELEMENT_TYPES = {2: "int32", 4: "int64"}
"""NumPy's names of the schema's types that SHAPE gives."""


_SELECTS = ("SELECT", "SELECT_V2")


def folded(graph: Graph) -> Graph:
    """Graph without the operators that compute the same for every input.

    Args:
        graph: as read from a file, with the shapes of a batch of one.

    Returns:
        The graph with the results of operators on constants, and with shapes, as constants.
    """
    tensors = dict(graph.tensors)
    ops: list[Op] = []
    chosen: dict[str, str] = {}
    for op in graph.ops:
        op = replace(op, inputs=tuple(chosen.get(name, name) for name in op.inputs))
        if (branch := _chosen(replace(graph, tensors=tensors), op)) is not None:
            chosen[op.name] = branch
            continue
        if op.kind == SHAPE and len(op.outputs) == 1 and op.name not in graph.outputs:
            kind = _ELEMENT_TYPES[int(op.options.get("outType", 2))]
            results = [np.array(tensors[op.inputs[0]].shape, kind)]
        elif _is_nothing(graph, op):
            results = [np.zeros(tensors[op.name].shape, np.float32)]
        elif _is_stored(replace(graph, tensors=tensors), op):
            results = constant_results(replace(graph, tensors=tensors), op)
        else:
            ops.append(op)
            continue
        for name, value in zip(op.outputs, results, strict=True):
            tensors[name] = Tensor(name, value.shape, value, str(value.dtype))
    if len(ops) == len(graph.ops):
        return graph
    return replace(graph, ops=tuple(ops), tensors=tensors).pruned(ops)


def _is_nothing(graph: Graph, op: Op) -> bool:
    """Whether an operator takes a tensor off itself, as tests for finite numbers do."""
    return op.kind == OpKind.SUB and op.inputs[0] == op.inputs[1] and op.name not in graph.outputs


def _chosen(graph: Graph, op: Op) -> str | None:
    """Name of the branch that a SELECT with a stored condition always takes; None for others."""
    if op.kind not in _SELECTS or op.name in graph.outputs or not graph.is_constant(op.inputs[0]):
        return None
    condition = graph.value(op.inputs[0])
    if not (condition.all() or not condition.any()):
        return None
    branch = op.inputs[1] if condition.all() else op.inputs[2]
    same = graph.tensors[branch].shape == graph.tensors[op.name].shape
    return branch if same and not graph.is_constant(branch) else None


def _is_stored(graph: Graph, op: Op) -> bool:
    """Whether the results of an operator, none of them an output, follow from stored values."""
    read = [name for name in op.inputs if name]
    return (
        bool(read)
        and all(graph.is_constant(name) for name in read)
        and not op.kind.startswith(_RANDOM)
        and not set(op.outputs) & set(graph.outputs)
    )
