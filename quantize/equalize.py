"""Cross-layer equalization: factors between channels that the float network does not feel.

A linear activation between convolutions may have each channel divided by a factor, if the
producers' weights and biases are divided and the readers' weights multiplied by it (Nagel et al.
2019, arXiv:1906.04721, section 4.1). Where additions join activations, the whole residual stream
shares the factors. ReLU lets positive factors through; ReLU6 does not, since its bound would need a
value for each channel, so activations behind it are left alone: scaling them by what calibration
images happened to reach broke the float network (17 dB) on images of the same kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from quantize.calibrate import Extremes
from quantize.graph import Fused, Graph, Op, OpKind

SMALLEST_FACTOR = 2.0**-14
"""Channels that span less than this share of the widest are not blown up further."""


@dataclass(frozen=True)
class Stream:
    """Activations that share the factors of their channels.

    Attributes:
        names: of the activations.
        producers: weighted operators that give them.
        readers: weighted operators that read them.
    """

    names: tuple[str, ...]
    producers: tuple[Op, ...]
    readers: tuple[Op, ...]


def streams(graph: Graph) -> tuple[Stream, ...]:
    """Every group of activations whose channels may be scaled without a change of the function."""
    parent = {name: name for name in graph.activations}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for op in graph.ops:
        if _joins(op):
            for name in op.inputs:
                if not graph.is_constant(name):
                    parent[root(name)] = root(op.name)
    members: dict[str, list[str]] = {}
    for name in graph.activations:
        members.setdefault(root(name), []).append(name)
    found = (_stream(graph, tuple(names)) for names in members.values())
    return tuple(stream for stream in found if stream is not None)


def _joins(op: Op) -> bool:
    return op.kind in (OpKind.ADD, OpKind.SUB) and op.fused is Fused.NONE


def _stream(graph: Graph, names: tuple[str, ...]) -> Stream | None:
    """The stream of these activations; None when something stands against it."""
    producers: list[Op] = []
    readers: list[Op] = []
    for name in names:
        producer = graph.producers.get(name)
        if producer is None or name == graph.output or not graph.readers[name]:
            return None
        if producer.is_weighted and producer.fused in (Fused.NONE, Fused.RELU):
            producers.append(producer)
        elif not _joins(producer) or any(graph.is_constant(n) for n in producer.inputs):
            return None
        for reader in graph.readers[name]:
            if reader.is_weighted and _takes_channels(graph, reader):
                readers.append(reader)
            elif not _joins(reader):
                return None
    if any(p.fused is Fused.RELU for p in producers) and len(names) > 1:
        return None  # an addition has both signs; kept simple: ReLU alone, or linear alone
    return Stream(names, tuple(producers), tuple(dict.fromkeys(readers))) if readers else None


def _takes_channels(graph: Graph, op: Op) -> bool:
    """Whether the last axis of the weight counts the channels of the input."""
    channels = graph.tensors[op.inputs[0]].shape[-1]
    return bool(graph.weight(op).shape[-1] == channels)


def equalized(graph: Graph, spans: Mapping[str, Extremes]) -> tuple[Graph, dict[str, Extremes]]:
    """Scale every stream so that its channels reach equally far.

    Args:
        graph: canonical.
        spans: of its activations in calibration.

    Returns:
        A graph of the same function, and the spans that its activations have.
    """
    values: dict[str, np.ndarray] = {}
    after = dict(spans)

    def value(name: str) -> np.ndarray:
        return values.get(name, graph.value(name))

    for stream in streams(graph):
        reach = np.max([spans[name].reach for name in stream.names], axis=0).astype(np.float64)
        widest = float(reach.max(initial=0.0))
        if widest == 0:
            continue
        factors = np.where(reach > 0, np.maximum(reach / widest, SMALLEST_FACTOR), 1.0)
        for op in stream.producers:
            shape = [1] * value(op.inputs[1]).ndim
            shape[op.channel_axis] = -1
            values[op.inputs[1]] = _float32(value(op.inputs[1]) / factors.reshape(shape))
            values[op.inputs[2]] = _float32(value(op.inputs[2]) / factors)
        for op in stream.readers:
            values[op.inputs[1]] = _float32(value(op.inputs[1]) * factors)
        for name in stream.names:
            after[name] = spans[name].scaled(_float32(1 / factors))
    return graph.with_values(values), after


def _float32(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32)
