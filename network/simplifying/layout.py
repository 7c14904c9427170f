"""The input of a foreign graph as channels-last float pixels, and transposes that cancel.

Networks of PyTorch take ``[1, channels, height, width]`` and transpose it first; networks with
uint8 inputs convert it first. Here the graph begins after that.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from network.graph import Graph, Op, Tensor
from network.operators import OpKind

_CHANNELS = (1, 3, 4)
"""Numbers of channels by which an image with the channels first is recognized."""


def with_channels_last(graph: Graph) -> Graph:
    """Graph of ``[1, height, width, channels]``, for an input with the channels first.

    Such an input has 1, 3 or 4 channels in front of height and width, and another number behind.
    """
    shape = graph.tensors[graph.input].shape
    if len(shape) != 4 or shape[1] not in _CHANNELS or shape[3] in _CHANNELS:
        return graph
    inner, perm = f"{graph.input}_nchw", f"{graph.input}_nchw.const1"
    tensors = {
        **graph.tensors,
        graph.input: Tensor(graph.input, (1, *shape[2:], shape[1])),
        inner: Tensor(inner, shape),
        perm: Tensor(perm, (4,), np.array([0, 3, 1, 2], np.int32)),
    }
    first = Op(OpKind.TRANSPOSE, (graph.input, perm), (inner,), {}, "TransposeOptions")
    rest = [_reading(op, {graph.input: inner}) for op in graph.ops]
    return replace(graph, ops=(first, *rest), tensors=tensors)


def with_float_input(graph: Graph) -> Graph:
    """Graph that begins after the CAST that makes floats of an input in integers."""
    readers = graph.readers[graph.input]
    if len(readers) != 1 or readers[0].kind != "CAST" or readers[0].name in graph.outputs:
        return graph
    inner = readers[0].name
    rest = [_reading(op, {inner: graph.input}) for op in graph.ops if op is not readers[0]]
    floats = replace(graph.tensors[inner], name=graph.input)
    return replace(graph, tensors={**graph.tensors, graph.input: floats}).pruned(rest)


def without_transposes(graph: Graph) -> Graph:
    """Graph without transposes that move nothing, and one in the place of two in a row."""
    tensors, ops = dict(graph.tensors), list[Op]()
    made: dict[str, Op] = {}
    same: dict[str, str] = {}
    for op in (_reading(op, same) for op in graph.ops):
        perm = _permutation(op, tensors)
        before = made.get(op.inputs[0]) if perm is not None else None
        if perm is not None and before is not None:
            earlier = _permutation(before, tensors)
            assert earlier is not None
            perm = tuple(earlier[axis] for axis in perm)
            stored = f"{op.name}.order"  # its own: others may read the constant it had
            tensors[stored] = Tensor(stored, (len(perm),), np.array(perm, np.int32))
            op = replace(op, inputs=(before.inputs[0], stored))
        if perm == tuple(range(len(perm or ()))) and op.name not in graph.outputs:
            same[op.name] = op.inputs[0]
            continue
        if perm is not None:
            made[op.name] = op
        ops.append(op)
    if tuple(ops) == graph.ops:
        return graph
    return without_unused(replace(graph, ops=tuple(ops), tensors=tensors))


def without_unused(graph: Graph) -> Graph:
    """Graph without operators whose results nobody reads."""
    needed, remaining = set(graph.outputs), list[Op]()
    for op in reversed(graph.ops):
        if needed.intersection(op.outputs):
            needed.update(op.inputs)
            remaining.append(op)
    return graph.pruned(reversed(remaining))


def _permutation(op: Op, tensors: dict[str, Tensor]) -> tuple[int, ...] | None:
    """Order of axes of a transpose; None for another operator, or an order that is computed."""
    stored = tensors[op.inputs[1]].value if op.kind == OpKind.TRANSPOSE else None
    return None if stored is None else tuple(int(axis) for axis in np.ravel(stored))


def _reading(op: Op, other: dict[str, str]) -> Op:
    """Operator with other names of the tensors that it reads."""
    inputs = tuple(other.get(name, name) for name in op.inputs)
    return op if inputs == op.inputs else replace(op, inputs=inputs)
