"""Arithmetic on stored values and on shapes, done once for a batch of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from network.graph import Graph, Op, Tensor
from network.tflite.writer import FlatFile

SHAPE = "SHAPE"

_ELEMENT_TYPES = {0: "float32", 2: "int32", 4: "int64"}
"""NumPy's names of the schema's types that CAST and SHAPE give here."""


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
        known = [tensors[name].value for name in op.inputs if name]
        if op.kind == SHAPE and len(op.outputs) == 1:
            kind = _ELEMENT_TYPES.get(int(op.options.get("outType", 2)), "int32")
            results = [np.array(tensors[op.inputs[0]].shape, kind)]
        elif (
            known
            and all(value is not None for value in known)
            and not set(op.outputs) & set(graph.outputs)
        ):
            results = _computed(op, {n: tensors[n] for n in op.inputs if n})
        else:
            ops.append(op)
            continue
        for name, value in zip(op.outputs, results, strict=True):
            tensors[name] = Tensor(name, value.shape, value)
    if len(ops) == len(graph.ops):
        return graph
    return replace(graph, ops=tuple(ops), tensors=tensors).pruned(ops)


def _computed(op: Op, inputs: Mapping[str, Tensor]) -> list[np.ndarray]:
    """Results of an operator on constants, by LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    file, index = FlatFile(), {"": -1}
    for name, tensor in inputs.items():
        value = tensor.value
        assert value is not None
        index[name] = file.tensor(name, value.shape, str(value.dtype), value=value)
    first = next(str(t.value.dtype) for t in inputs.values() if t.value is not None)
    kind = _ELEMENT_TYPES[int(op.options["outDataType"])] if op.kind == "CAST" else first
    sinks = [file.tensor(name, (), kind) for name in op.outputs]
    reads = [index[name] for name in op.file_inputs]
    file.operator(op.kind, op.version, reads, sinks, op.options_type, op.options)
    interpreter = Interpreter(model_content=file.content([], sinks), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.invoke()
    return [np.array(interpreter.get_tensor(e["index"])) for e in interpreter.get_output_details()]
