"""Rewrites of a graph that has just been read, none of which changes a number of its results.

Arithmetic on shapes is computed once, for a batch of one; dilation becomes an option of its
convolution; what ``network.idioms`` knows becomes fewer operators, or others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from network.graph import Graph, Op, Tensor
from network.idioms import (
    sole_reader,
    with_copies,
    with_means,
    with_places,
    with_resizes,
    with_unit_lengths,
)
from network.operators import OpKind
from network.tflite.writer import FlatFile

SHAPE = "SHAPE"
SPACE_TO_BATCH = "SPACE_TO_BATCH_ND"
BATCH_TO_SPACE = "BATCH_TO_SPACE_ND"

_SAME, _VALID = 0, 1
_ELEMENT_TYPES = {0: "float32", 2: "int32", 4: "int64"}
"""NumPy's names of the schema's types that CAST and SHAPE give here."""

_CONVOLUTIONS = (OpKind.CONV, OpKind.DEPTHWISE_CONV)


def folded(graph: Graph) -> Graph:
    """Graph without the operators that compute the same for every input.

    Args:
        graph: as read from a file, with the shapes of a batch of one.

    Returns:
        The graph with the results of these operators as constants, and with the rewrites of this
        module and of ``network.idioms``.
    """
    for rewrite in (
        _with_constants,
        _with_dilations,
        _with_stored_products,
        with_resizes,
        with_copies,
        with_unit_lengths,
        with_means,
        with_places,
    ):
        graph = rewrite(graph)
    return graph


def _with_constants(graph: Graph) -> Graph:
    """Results of operators on constants, and shapes, as constants."""
    tensors = dict(graph.tensors)
    ops: list[Op] = []
    for op in graph.ops:
        known = [tensors[name].value for name in op.inputs if name]
        if op.kind == SHAPE and len(op.outputs) == 1:
            kind = _ELEMENT_TYPES.get(int(op.options.get("outType", 2)), "int32")
            results = [np.array(tensors[op.inputs[0]].shape, kind)]
        elif known and all(value is not None for value in known) and graph.output not in op.outputs:
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


def _with_dilations(graph: Graph) -> Graph:
    """SPACE_TO_BATCH_ND, convolution, BATCH_TO_SPACE_ND as one convolution with dilation.

    The blocks of the first hold the pixels of every d-th row and column, so that a convolution of
    neighbours there is one of pixels d apart. Zeros that both add and cut off again are left out.
    """
    ops = {op.name: op for op in graph.ops}
    tensors = dict(graph.tensors)
    for split in graph.ops:
        if split.kind != SPACE_TO_BATCH:
            continue
        conv = sole_reader(graph, split.name)
        join = None if conv is None else sole_reader(graph, conv.name)
        if conv is None or join is None or join.kind != BATCH_TO_SPACE:
            continue
        dilated = _dilated(graph, split, conv, join)
        if dilated is None:
            continue
        conv, margins = dilated
        for op in (split, conv):
            ops.pop(op.name, None)
        if margins is not None:
            stored = f"{split.name}.widths"
            tensors[stored] = Tensor(stored, margins.shape, margins)
            (height, width), shape = margins[1:3].sum(axis=1), tensors[split.inputs[0]].shape
            padded = (shape[0], shape[1] + height, shape[2] + width, shape[3])
            tensors[split.name] = Tensor(split.name, tuple(int(n) for n in padded))
            reads = (split.inputs[0], stored)
            ops[split.name] = Op(OpKind.PAD, reads, split.outputs, {}, "PadOptions")
            conv = replace(conv, inputs=(split.name, *conv.inputs[1:]))
        ops[join.name] = replace(conv, outputs=join.outputs)
    if len(ops) == len(graph.ops):
        return graph
    order = [name for op in graph.ops for name in op.outputs if name in ops]
    return replace(graph, tensors=tensors).pruned(ops[name] for name in order)


def _dilated(graph: Graph, split: Op, conv: Op, join: Op) -> tuple[Op, np.ndarray | None] | None:
    """Convolution with dilation, and the zeros to add before it; None where it is no such group."""
    stored = [split.inputs[1], split.inputs[2], join.inputs[1], join.inputs[2]]
    if conv.kind not in _CONVOLUTIONS or not all(graph.is_constant(name) for name in stored):
        return None
    block, pads, other, crops = (graph.value(name).astype(np.int64) for name in stored)
    options = conv.options
    plain = all(int(options[f"{key}{axis}"]) == 1 for axis in "HW" for key in ("stride",))
    plain &= all(int(options[f"dilation{axis}Factor"]) == 1 for axis in "HW")
    margins = pads - crops if pads.shape == crops.shape == (2, 2) else np.full((2, 2), -1)
    if not plain or int(options["padding"]) != _VALID or (margins < 0).any():
        return None
    if not np.array_equal(block, other) or crops[:, 0].any():
        return None
    padding = {"padding": _VALID}
    reach = (np.array(graph.weight(conv).shape[1:3]) - 1) * block
    widths: np.ndarray | None = None
    if margins.any():
        if np.array_equal(margins, np.stack([reach // 2, reach - reach // 2], axis=1)):
            padding = {"padding": _SAME}
        else:
            widths = np.concatenate([[[0, 0]], margins, [[0, 0]]]).astype(np.int32)
    dilations = {f"dilation{axis}Factor": int(n) for axis, n in zip("HW", block, strict=True)}
    inputs = (split.inputs[0], *conv.inputs[1:])
    return replace(conv, inputs=inputs, options={**options, **padding, **dilations}), widths


def _with_stored_products(graph: Graph) -> Graph:
    """BATCH_MATMUL with one stored matrix as FULLY_CONNECTED, whose weights are rounded as such."""
    ops: list[Op] = []
    tensors = dict(graph.tensors)
    for op in graph.ops:
        matrix = graph.tensors[op.inputs[1]].value if op.kind == OpKind.BATCH_MATMUL else None
        left = graph.tensors[op.inputs[0]]
        if (
            matrix is None
            or left.value is not None
            or op.options.get("adjX")
            or matrix.size != np.prod(matrix.shape[-2:])
            or len(graph.tensors[op.name].shape) != len(left.shape)
        ):
            ops.append(op)
            continue
        matrix = matrix.reshape(matrix.shape[-2:])
        matrix = np.ascontiguousarray(matrix if op.options.get("adjY") else matrix.T)
        names = (f"{op.name}.weight", f"{op.name}.bias")
        for name, value in zip(names, (matrix, np.zeros(len(matrix), np.float32)), strict=True):
            tensors[name] = Tensor(name, value.shape, value)
        ops.append(
            Op(OpKind.DENSE, (op.inputs[0], *names), op.outputs, DENSE_OPTIONS, DENSE_TABLE, 5)
        )
    return replace(graph, tensors=tensors).pruned(ops) if ops != list(graph.ops) else graph


DENSE_TABLE = "FullyConnectedOptions"
DENSE_OPTIONS: Mapping[str, Any] = {
    "fusedActivationFunction": 0,
    "weightsFormat": 0,
    "keepNumDims": True,
    "asymmetricQuantizeInputs": False,
}
"""Options of a product of each vector in the last axis."""
