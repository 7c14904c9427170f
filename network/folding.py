"""Arithmetic on stored values and on shapes, done once for a batch of one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from network.graph import Graph, Op, Tensor
from network.run_litert import constant_results

SHAPE = "SHAPE"

_RANDOM = "RANDOM_"
"""Beginning of the kinds whose results differ from run to run."""

_ELEMENT_TYPES = {2: "int32", 4: "int64"}
"""NumPy's names of the schema's types that SHAPE gives."""


def folded(graph: Graph) -> Graph:
    """Graph without the operators that compute the same for every input.

    Args:
        graph: as read from a file, with the shapes of a batch of one.

    Returns:
        The graph with the results of operators on constants, and with shapes, as constants.
    """
    tensors = dict(graph.tensors)
    ops: list[Op] = []
    for op in graph.ops:
        if op.kind == SHAPE and len(op.outputs) == 1 and op.name not in graph.outputs:
            kind = _ELEMENT_TYPES[int(op.options.get("outType", 2))]
            results = [np.array(tensors[op.inputs[0]].shape, kind)]
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


def _is_stored(graph: Graph, op: Op) -> bool:
    """Whether the results of an operator, none of them an output, follow from stored values."""
    read = [name for name in op.inputs if name]
    return (
        bool(read)
        and all(graph.is_constant(name) for name in read)
        and not op.kind.startswith(_RANDOM)
        and not set(op.outputs) & set(graph.outputs)
    )
