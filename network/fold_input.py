"""Folding of a contract into the first convolution of a canonical graph.

As ``models.rewriting.fold_contract`` does for layers: networks that come as a .tflite have none.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from calibration_data.one_pair import OnePair
from foundation.errors import UnsupportedError
from network.graph import Graph, Op, Tensor
from network.operators import OpKind

_SAME = 0
"""``Padding.SAME`` in the schema."""


def fold_input(graph: Graph, pair: OnePair) -> tuple[Graph, bool]:
    """Graph of the same function for an input with one mean and one standard deviation.

    Args:
        graph: canonical; a convolution is the only reader of its input.
        pair: what the platform leaves to the network.

    Returns:
        The graph, and whether the convolution pads, so that an addition stands before it.

    Raises:
        UnsupportedError: another operator reads the input; names it.
    """
    first = graph.sole_reader(graph.input)
    if first is None or first.kind != OpKind.CONV or not first.is_weighted:
        kinds = sorted({str(op.kind) for op in graph.readers[graph.input]})
        raise UnsupportedError(
            "this platform takes RGB with one mean and one std, and another contract is folded "
            "into a convolution that reads the input",
            received=f"{', '.join(kinds)} as the first operator",
            remedy="train with one mean and std, or put the normalization into the model as a "
            "layer",
        )
    weight = graph.weight(first).astype(np.float64)  # [outputs, height, width, channels]
    padded = int(first.options["padding"]) == _SAME and max(weight.shape[1:3]) > 1
    values = {first.inputs[1]: (weight * pair.gain)[..., pair.order].astype(np.float32)}
    if padded:
        offset = (pair.shift / pair.gain)[pair.order].astype(np.float32)
        graph = _with_offset(graph, first, offset)
    else:
        bias = graph.bias(first) + np.einsum("ohwi,i->o", weight, pair.shift)
        values[first.inputs[2]] = bias.astype(np.float32)
    return graph.with_values(values), padded


def _with_offset(graph: Graph, first: Op, offset: np.ndarray) -> Graph:
    """Graph with an addition of ``offset`` between its input and an operator."""
    result, stored = "mean_shift", "mean_shift.operand1"
    shape = graph.tensors[graph.input].shape
    options = {"fusedActivationFunction": 0, "potScaleInt16": False}
    addition = Op(OpKind.ADD, (graph.input, stored), (result,), options, "AddOptions")
    moved = replace(first, inputs=(result, *first.inputs[1:]))
    tensors = {
        **graph.tensors,
        stored: Tensor(stored, offset.shape, offset),
        result: Tensor(result, shape),
    }
    ops = [addition, *(moved if op is first else op for op in graph.ops)]
    return replace(graph, ops=tuple(ops), tensors=tensors)
