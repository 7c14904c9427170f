"""Groups of operators of the canonical graph that are fewer operators in a float ONNX file.

No rewrite changes the function of the network. The int8 files have none of them: there a quantizer
follows each operator of the canonical graph.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from export.onnx.writers.common import PADDED
from network.graph import Graph, Op
from network.operators import Fused, OpKind

SHUFFLE = "CHANNEL_SHUFFLE"
"""Kind that stands for the three operators of a shuffle; ``groups`` is among its options."""

HARD_SIGMOID = "HARD_SIGMOID"
"""Kind that stands for ``clip(slope * x + offset, 0, 1)``; slope and offset are its options."""

_SIXTH = 1 / 6


def fused(graph: Graph) -> Graph:
    """Graph with fewer operators, some of them of the kinds above."""
    for rewrite in (_with_shuffles, _with_padding_inside, _with_hard_sigmoids):
        graph = rewrite(graph)
    return graph


def _with_shuffles(graph: Graph) -> Graph:
    """Channel shuffles (Zhang et al. 2017, arXiv:1707.01083, section 3.1) as one operator each.

    A reshape separates the groups, groups and channels are transposed, and a reshape joins them:
    ``[b, h, w, g*n] -> [b, h*w, g, n] -> [b, h*w, n, g] -> [b, h, w, n*g]``. Channels first it
    takes three operators on other axes; translated one by one, these three need channels last.
    """
    ops: dict[str, Op] = {op.name: op for op in graph.ops}
    for last in graph.ops:
        deal = graph.producers.get(last.inputs[0]) if last.kind == OpKind.RESHAPE else None
        if deal is None or deal.kind != OpKind.TRANSPOSE or not graph.is_constant(deal.inputs[1]):
            continue
        first = graph.producers.get(deal.inputs[0])
        if first is None or first.kind != OpKind.RESHAPE:
            continue
        shapes = [graph.tensors[n].shape for n in (first.inputs[0], first.name, last.name)]
        alone = graph.sole_reader(first.name) is deal and graph.sole_reader(deal.name) is last
        if alone and list(graph.value(deal.inputs[1])) == [0, 1, 3, 2] and _is_shuffle(*shapes):
            ops[last.name] = Op(SHUFFLE, (first.inputs[0],), last.outputs, {"groups": shapes[1][2]})
            del ops[first.name], ops[deal.name]
    return graph.pruned(ops.values())


def _is_shuffle(before: tuple[int, ...], grouped: tuple[int, ...], after: tuple[int, ...]) -> bool:
    if len(before) != 4 or len(grouped) != 4 or before != after:
        return False
    batch, height, width, channels = before
    return grouped[:2] == (batch, height * width) and grouped[2] * grouped[3] == channels


def _with_padding_inside(graph: Graph) -> Graph:
    """Zeros around height and width as an option of the convolutions that read them."""
    padded: dict[str, Op] = {}
    removed: set[str] = set()
    for pad in graph.ops:
        if pad.kind != OpKind.PAD or pad.name in graph.outputs:
            continue
        readers = graph.readers[pad.name]
        convolutions = (OpKind.CONV, OpKind.DEPTHWISE_CONV)
        if not readers or any(r.kind not in convolutions for r in readers):
            continue
        if not graph.is_constant(pad.inputs[1]):
            continue
        widths = np.asarray(graph.value(pad.inputs[1]))
        if widths.shape != (4, 2) or widths[[0, 3]].any() or widths.min() < 0:
            continue
        (top, bottom), (left, right) = widths[1:3].tolist()
        removed.add(pad.name)
        for reader in readers:
            inputs = (pad.inputs[0], *reader.inputs[1:])
            options = {**reader.options, PADDED: (top, left, bottom, right)}
            padded[reader.name] = replace(reader, inputs=inputs, options=options)
    if not removed:
        return graph
    return graph.pruned(padded.get(op.name, op) for op in graph.ops if op.name not in removed)


def _with_hard_sigmoids(graph: Graph) -> Graph:
    """``relu6(x) / 6`` as HardSigmoid of slope 1/6 and offset 0, and of offset 1/2 after ``x + 3``.

    Source: Howard et al. 2019, arXiv:1905.02244, section 5.2, and ONNX's HardSigmoid. The
    converter moves the 3 into the bias of a convolution in front of it; here it is taken out.
    """
    ops: dict[str, Op] = {op.name: op for op in graph.ops}
    values: dict[str, np.ndarray] = {}
    for last in graph.ops:
        if (
            last.kind != OpKind.MUL
            or last.fused is not Fused.NONE
            or not _has_scalar(graph, last, _SIXTH)
        ):
            continue
        source = next(name for name in last.inputs if not graph.is_constant(name))
        clip = graph.producers.get(source)
        if clip is None or graph.sole_reader(source) is not last or len(clip.outputs) != 1:
            continue
        offset = 0.0
        if clip.kind == OpKind.RELU6 or (
            clip.kind == OpKind.ADD and clip.fused is Fused.RELU6 and _has_scalar(graph, clip, 3.0)
        ):
            offset = 0.5 if clip.kind == OpKind.ADD else 0.0
            source = next(name for name in clip.inputs if not graph.is_constant(name))
            del ops[clip.name]
        elif clip.fused is Fused.RELU6:
            options = {**clip.options, "fusedActivationFunction": 0}
            ops[clip.name] = replace(clip, options=options)
            if _holds_three(graph, clip):
                values[clip.inputs[2]] = graph.value(clip.inputs[2]) - np.float32(3)
                offset = 0.5
        else:
            continue
        options = {"slope": _SIXTH, "offset": offset}
        ops[last.name] = Op(HARD_SIGMOID, (source,), last.outputs, options)
    return graph.with_values(values).pruned(ops.values())


def _holds_three(graph: Graph, op: Op) -> bool:
    """Whether the 3 seems to be in a bias, where float16 would leave few bits for the rest."""
    if not op.is_weighted or len(op.inputs) < 3 or not graph.is_constant(op.inputs[2]):
        return False
    bias = graph.value(op.inputs[2])
    return bool(np.abs(bias - 3).mean() < np.abs(bias).mean())


def _has_scalar(graph: Graph, op: Op, value: float) -> bool:
    """Whether one of two operands is an activation and the other is this number."""
    stored = [graph.value(name) for name in op.inputs if graph.is_constant(name)]
    return (
        len(op.inputs) == 2
        and len(stored) == 1
        and stored[0].size == 1
        and abs(float(stored[0].reshape(-1)[0]) - value) < 1e-6
    )
