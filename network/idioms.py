"""Groups of operators that a file has where one of another kind does the same.

Each rewrite takes a graph and gives one of the same function, with the same names of results. What
it gives has an integer form in LiteRT's reference kernels and in TensorFlow Lite Micro.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from network.graph import Graph, Op, Tensor
from network.operators import Fused, OpKind

TILE = "TILE"
SPACE_TO_BATCH = "SPACE_TO_BATCH_ND"
BATCH_TO_SPACE = "BATCH_TO_SPACE_ND"

_SAME, _VALID = 0, 1
_CONVOLUTIONS = (OpKind.CONV, OpKind.DEPTHWISE_CONV)


def idiomatic(graph: Graph) -> Graph:
    """Graph with the rewrites of this module.

    Args:
        graph: as read from a file, with the shapes of a batch of one.
    """
    for rewrite in (
        _with_dilations,
        _with_stored_products,
        _with_resizes,
        _with_copies,
        _with_unit_lengths,
        _with_means,
        _with_places,
    ):
        graph = rewrite(graph)
    return graph


def _with_resizes(graph: Graph) -> Graph:
    """Reshapes and tiles that repeat each pixel as RESIZE_NEAREST_NEIGHBOR.

    Whether they do that is computed, on the numbers of the places.
    """
    ops = {op.name: op for op in graph.ops}
    tensors = dict(graph.tensors)
    for first in graph.ops:
        if first.name not in ops or first.kind != OpKind.RESHAPE:
            continue
        chain = _chain(graph, first)
        if chain is None:
            continue
        before, last = graph.tensors[first.inputs[0]].shape, chain[-1]
        for op in chain:
            del ops[op.name]
        stored = f"{last.name}.size"
        size = np.array(graph.tensors[last.name].shape[1:3], np.int32)
        assert len(before) == 4
        tensors[stored] = Tensor(stored, (2,), size)
        options = {"alignCorners": False, "halfPixelCenters": False}
        ops[last.name] = Op(
            OpKind.RESIZE_NEAREST,
            (first.inputs[0], stored),
            last.outputs,
            options,
            "ResizeNearestNeighborOptions",
        )
    if len(ops) == len(graph.ops):
        return graph
    order = [name for op in graph.ops for name in op.outputs if name in ops]
    return replace(graph, tensors=tensors).pruned(ops[name] for name in dict.fromkeys(order))


def _chain(graph: Graph, first: Op) -> list[Op] | None:
    """Operators from a reshape on that repeat pixels; None where these do not."""
    before = graph.tensors[first.inputs[0]].shape
    chain, op = [first], first
    while (reader := graph.sole_reader(op.name)) is not None:
        if reader.kind not in (OpKind.RESHAPE, TILE) or reader.inputs[0] != op.name:
            break
        chain.append(op := reader)
        after = graph.tensors[op.name].shape
        if op.kind == OpKind.RESHAPE and len(after) == 4 and len(before) == 4:
            return chain if _repeats(graph, chain, before, after) else None
    return None


def _repeats(
    graph: Graph, chain: list[Op], before: tuple[int, ...], after: tuple[int, ...]
) -> bool:
    """Whether operators repeat every pixel a whole number of times along height and width."""
    whole = all(a % b == 0 for a, b in zip(after, before, strict=True))
    tiles = [op for op in chain if op.kind == TILE]
    if not whole or before[0] != after[0] or before[3] != after[3] or not tiles:
        return False
    if not all(graph.is_constant(op.inputs[1]) for op in tiles):
        return False
    places = np.arange(int(np.prod(before)), dtype=np.int32)
    expected = places.reshape(before)
    for axis in (1, 2):
        expected = expected.repeat(after[axis] // before[axis], axis=axis)
    found = places
    for op in chain:
        if op.kind == TILE:
            found = np.tile(found, np.ravel(graph.value(op.inputs[1])))
        else:
            found = found.reshape(graph.tensors[op.name].shape)
    return bool(np.array_equal(found, expected))


def _with_copies(graph: Graph) -> Graph:
    """TILE as BROADCAST_TO along axes of one place, and as CONCATENATION of copies along others.

    TensorFlow Lite Micro has no TILE.
    """
    ops: list[Op] = []
    tensors = dict(graph.tensors)
    for op in graph.ops:
        before = graph.tensors[op.inputs[0]].shape if op.inputs else ()
        if op.kind != TILE or not graph.is_constant(op.inputs[1]) or before[:1] != (1,):
            ops.append(op)
            continue
        times = [int(count) for count in np.ravel(graph.value(op.inputs[1]))]
        ops += _copies(op, before, times, tensors)
    return replace(graph, ops=tuple(ops), tensors=tensors).pruned(ops)


def _copies(
    op: Op, before: tuple[int, ...], times: list[int], tensors: dict[str, Tensor]
) -> list[Op]:
    """Operators that repeat an activation, whose results are entered in ``tensors``."""
    shape = [t if n == 1 else n for n, t in zip(before, times, strict=True)]
    stages: list[tuple[tuple[int, ...], int]] = [(tuple(shape), -1)]
    for axis, (n, t) in enumerate(zip(before, times, strict=True)):
        if n > 1 and t > 1:
            shape[axis] *= t
            stages.append((tuple(shape), axis))
    if len(stages) > 1 and stages[0][0] == before:
        del stages[0]
    ops: list[Op] = []
    source = op.inputs[0]
    for number, (after, axis) in enumerate(stages, 1):
        name = op.name if number == len(stages) else f"{op.name}.{number}"
        tensors[name] = replace(tensors[op.name], name=name, shape=after)
        if axis < 0:
            stored = f"{name}.shape"
            tensors[stored] = Tensor(stored, (len(after),), np.array(after, np.int32))
            ops.append(Op(OpKind.BROADCAST_TO, (source, stored), (name,), {}, "", 2))
        else:
            options = {"axis": axis, "fusedActivationFunction": 0}
            inputs = (source,) * times[axis]
            ops.append(Op(OpKind.CONCATENATION, inputs, (name,), options, "ConcatenationOptions"))
        source = name
    return ops


SMALLEST_SQUARE = 1e-6
"""Largest bound of squared lengths that is taken for the one of L2_NORMALIZATION (1e-12)."""


def _with_unit_lengths(graph: Graph) -> Graph:
    """``x * rsqrt(sum(x^2))`` over the last axis, in the forms of Keras, as L2_NORMALIZATION.

    Vectors of ordinary length give the same; the bounds for those close to zero differ.
    """
    ops = {op.name: op for op in graph.ops}
    for last in graph.ops:
        found = _lengths(graph, last) if last.kind == OpKind.MUL and last.name in ops else None
        if found is None:
            continue
        source, chain = found
        for op in chain:
            ops.pop(op.name, None)
        options = {"fusedActivationFunction": 0}
        ops[last.name] = Op(
            OpKind.L2_NORMALIZATION, (source,), last.outputs, options, "L2NormOptions"
        )
    if len(ops) == len(graph.ops):
        return graph
    order = (name for op in graph.ops for name in op.outputs if name in ops)
    return graph.pruned([ops[name] for name in order])


def _lengths(graph: Graph, last: Op) -> tuple[str, list[Op]] | None:
    """Vectors that a product divides by their length, and the operators that compute that."""
    for source, factor in (last.inputs, last.inputs[::-1]):
        chain: list[Op] = []
        name = factor
        for kinds in (("MINIMUM",), ("RSQRT",), ("MAXIMUM",), ("SUM",), ("SQUARE", OpKind.MUL)):
            op = graph.producers.get(name)
            if op is None or op.kind not in kinds or graph.sole_reader(name) is None:
                if kinds[0] in ("MINIMUM", "MAXIMUM"):
                    continue  # a bound may be missing
                break
            if not _is_part_of_length(graph, op):
                break
            chain.append(op)
            name = op.inputs[0]
        else:
            if name == source and last.fused is Fused.NONE:
                return source, chain
    return None


def _is_part_of_length(graph: Graph, op: Op) -> bool:
    """Whether the bound, the axes or the operands of an operator are those of a length."""
    if op.kind in ("MINIMUM", "MAXIMUM"):
        bound = graph.value(op.inputs[1]) if graph.is_constant(op.inputs[1]) else np.zeros(2)
        if bound.size != 1:
            return False
        number = float(bound.reshape(()))
        return (
            number >= SMALLEST_SQUARE**-0.5 if op.kind == "MINIMUM" else number <= SMALLEST_SQUARE
        )
    if op.kind == "SUM":
        rank = len(graph.tensors[op.inputs[0]].shape)
        axes = graph.value(op.inputs[1]) if graph.is_constant(op.inputs[1]) else np.zeros(2)
        return axes.size == 1 and int(axes.reshape(())) % rank == rank - 1
    return op.kind in ("RSQRT", "SQUARE") or (
        op.inputs[0] == op.inputs[1] and op.fused is Fused.NONE
    )


def _with_means(graph: Graph) -> Graph:
    """SUM as a MEAN times the number of summands.

    LiteRT's reference kernel for SUM reads int8 as uint8, so that its runtimes give other integers.
    """
    ops: list[Op] = []
    tensors = dict(graph.tensors)
    for op in graph.ops:
        numbers = graph.tensors[op.name].dtype == "float32"
        if op.kind != "SUM" or not numbers or not graph.is_constant(op.inputs[1]):
            ops.append(op)
            continue
        mean, count = f"{op.name}.mean", f"{op.name}.count"
        before, after = (graph.tensors[name].shape for name in (op.inputs[0], op.name))
        number = np.array(prod(before) / max(prod(after), 1), np.float32)
        tensors |= {mean: Tensor(mean, after), count: Tensor(count, (), number)}
        options = {"fusedActivationFunction": 0}
        ops.append(replace(op, kind=OpKind.MEAN, outputs=(mean,)))
        ops.append(Op(OpKind.MUL, (mean, count), op.outputs, options, "MulOptions"))
    return replace(graph, ops=tuple(ops), tensors=tensors)


def _with_places(graph: Graph) -> Graph:
    """GATHER_ND at stored places of the only example as GATHER from one long axis."""
    ops: list[Op] = []
    tensors = dict(graph.tensors)

    def shaped(source: str, result: str, shape: tuple[int, ...]) -> Op:
        stored = f"{result}.shape"
        tensors[stored] = Tensor(stored, (len(shape),), np.array(shape, np.int32))
        tensors[result] = Tensor(result, shape, dtype=tensors[source].dtype)
        return Op(OpKind.RESHAPE, (source, stored), (result,), {}, "ReshapeOptions")

    for op in graph.ops:
        known = op.kind == "GATHER_ND" and graph.is_constant(op.inputs[1])
        places = graph.value(op.inputs[1]) if known else np.ones((1, 1))
        before = graph.tensors[op.inputs[0]].shape if op.inputs else ()
        if not known or before[:1] != (1,) or places[..., 0].any():
            ops.append(op)
            continue
        depth = places.shape[-1]
        flat = np.ravel_multi_index(tuple(np.moveaxis(places, -1, 0)), before[:depth]).ravel()
        long = (1, int(np.prod(before[:depth])), *before[depth:])
        names = [f"{op.name}.{role}" for role in ("long", "indices", "picked")]
        tensors[names[1]] = Tensor(names[1], flat.shape, flat.astype(np.int32))
        tensors[names[2]] = replace(
            tensors[op.name], name=names[2], shape=(1, len(flat), *before[depth:])
        )
        options = {"axis": 1, "batchDims": 0}
        ops.append(shaped(op.inputs[0], names[0], long))
        ops.append(Op(OpKind.GATHER, tuple(names[:2]), (names[2],), options, "GatherOptions"))
        ops.append(shaped(names[2], op.name, graph.tensors[op.name].shape))
    return replace(graph, ops=tuple(ops), tensors=tensors).pruned(ops)


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
        conv = graph.sole_reader(split.name)
        join = None if conv is None else graph.sole_reader(conv.name)
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
