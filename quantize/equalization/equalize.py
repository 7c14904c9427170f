"""Cross-layer equalization: factors between channels that the float network does not feel.

A linear activation between convolutions may have each channel divided by a factor, if the
producers' weights and biases are divided and the readers' weights multiplied by it (Nagel et al.
2019, arXiv:1906.04721, section 4.1). Where additions join activations, the whole residual stream
shares the factors. ReLU lets positive factors through; ReLU6 does not, since its bound would need a
value for each channel. With a scale for each channel of a weight nothing is to be gained there, and
activations behind it are left alone. With one scale a weight, only channels that stay well below 6
are scaled, within that room: scaled to reach 6 exactly on the calibration images, the float network
itself broke (17 dB) on images of the same kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from network.graph import Graph, Op
from network.operators import Fused, OpKind
from quantize.equalization.groups import Groups
from quantize.ranges.extremes import Extremes
from quantize.recipes import Granularity

SMALLEST_FACTOR = 2.0**-14
"""Channels that span less than this share of the widest are not blown up further."""


HELD_SHARE = 0.9
"""Channels that reach this share of 6 behind ReLU6 may rely on its bound."""

HEADROOM = 0.5
"""Share of 6 that a channel scaled up behind ReLU6 may reach on calibration images."""

ROUNDS = 20
"""Of balancing weights; factors hardly change after ten."""


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
    groups = Groups(graph.activations)
    for op in graph.ops:
        if _joins(op):
            for name in op.inputs:
                if not graph.is_constant(name):
                    groups.join(op.name, name)
    found = (_stream(graph, tuple(names)) for names in groups.sets().values())
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


@dataclass
class _Work:
    """Weights, biases and spans while factors and offsets move through them.

    Attributes:
        graph: as given.
        spans: as they stand.
        typical: likewise, those to go by.
        values: constants that have changed, float64.
    """

    graph: Graph
    spans: dict[str, Extremes]
    typical: dict[str, Extremes]
    values: dict[str, np.ndarray]

    def value(self, name: str) -> np.ndarray:
        """A constant as it stands, float64."""
        found = self.values.get(name)
        return self.graph.value(name).astype(np.float64) if found is None else found

    def rows(self, op: Op) -> np.ndarray:
        """Largest weight of each output channel."""
        weight = np.abs(self.value(op.inputs[1]))
        others = tuple(i for i in range(weight.ndim) if i != op.channel_axis)
        return np.asarray(weight.max(axis=others))

    def columns(self, op: Op) -> np.ndarray:
        """Largest weight of each input channel."""
        weight = np.abs(self.value(op.inputs[1]))
        return np.asarray(weight.max(axis=tuple(range(weight.ndim - 1))))

    def divide(self, stream: Stream, factors: np.ndarray) -> None:
        """Divide each channel of a stream by a factor."""
        for op in stream.producers:
            weight = self.value(op.inputs[1])
            shape = [1] * weight.ndim
            shape[op.channel_axis] = -1
            self.values[op.inputs[1]] = weight / factors.reshape(shape)
            self.values[op.inputs[2]] = self.value(op.inputs[2]) / factors
        for op in stream.readers:
            self.values[op.inputs[1]] = self.value(op.inputs[1]) * factors
        for name in stream.names:
            for spans in (self.spans, self.typical):
                spans[name] = spans[name].scaled((1 / factors).astype(np.float32))

    def centre(self, stream: Stream) -> None:
        """Take the middle of its span off every channel, and give it to the readers' biases.

        Additions add up what was taken off their operands. Readers that pad with zeros would pad
        with the middle instead, so they stand against it.
        """
        if not all(_reads_points(self.graph, op) for op in stream.readers):
            return
        offsets: dict[str, np.ndarray] = {}
        for name in stream.names:
            op = self.graph.producers[name]
            if op.is_weighted:
                span = self.typical[name]
                offsets[name] = (span.low.astype(np.float64) + span.high) / 2
                self.values[op.inputs[2]] = self.value(op.inputs[2]) - offsets[name]
            else:
                sign = -1 if op.kind == OpKind.SUB else 1
                offsets[name] = offsets[op.inputs[0]] + sign * offsets[op.inputs[1]]
        for name, offset in offsets.items():
            for spans in (self.spans, self.typical):
                spans[name] = spans[name].moved(-offset.astype(np.float32))
            for op in self.graph.readers[name]:
                if op.is_weighted:
                    given = self.value(op.inputs[1]).reshape(-1, len(offset)) @ offset
                    self.values[op.inputs[2]] = self.value(op.inputs[2]) + given


def _reads_points(graph: Graph, op: Op) -> bool:
    """Whether an operator reads one position for each of its results, and no padding."""
    shape = graph.weight(op).shape
    return op.kind == OpKind.DENSE or (op.kind == OpKind.CONV and shape[1:3] == (1, 1))


def equalized(
    graph: Graph,
    spans: Mapping[str, Extremes],
    granularity: Granularity,
    typical: Mapping[str, Extremes] | None = None,
) -> tuple[Graph, dict[str, Extremes]]:
    """Scale and centre the channels of every stream.

    With a scale for each channel of a weight, the factors let all channels of an activation reach
    equally far, and it is stored as if it had a scale for each channel as well. With one scale a
    weight, they let the channels of the weights on both sides reach equally far (Nagel et al.,
    equation 11), over several rounds.

    Args:
        graph: canonical.
        spans: of its activations in calibration.
        granularity: scales that weights will have.
        typical: spans to go by where rare values will be cut off; ``spans`` when None.

    Returns:
        A graph of the same function, and the spans that its activations have.
    """
    work = _Work(graph, dict(spans), dict(typical or spans), {})
    found = streams(graph)
    for stream in found:
        if all(op.fused is Fused.NONE for op in stream.producers):
            work.centre(stream)
    if granularity is Granularity.PER_CHANNEL:
        for stream in found:
            work.divide(stream, _by_reach(work, stream))
    else:
        _balance(work, found)
    values = {name: np.asarray(value, np.float32) for name, value in work.values.items()}
    return graph.with_values(values), work.spans


def _by_reach(work: _Work, stream: Stream) -> np.ndarray:
    """Factors that let all channels reach equally far, as a rule.

    A channel's rare values may reach twice as far, and have to be cut off.
    """
    reaches = [np.maximum(work.typical[n].reach, work.spans[n].reach / 2) for n in stream.names]
    reach = np.max(reaches, axis=0).astype(np.float64)
    widest = float(reach.max(initial=0.0))
    if widest == 0:
        return np.ones_like(reach)
    return np.where(reach > 0, np.maximum(reach / widest, SMALLEST_FACTOR), 1.0)


def _balance(work: _Work, found: tuple[Stream, ...]) -> None:
    bounded = tuple(_behind_relu6(work))
    limits = {stream: _room(work, stream) for stream in bounded}
    total = {stream: np.ones_like(limits[stream]) for stream in bounded}
    for _ in range(ROUNDS):
        for stream in (*found, *bounded):
            before = np.max([work.rows(op) for op in stream.producers], axis=0)
            after = np.max([work.columns(op) for op in stream.readers], axis=0)
            alive = (before > 0) & (after > 0)
            factors = np.where(alive, np.sqrt(before / np.where(alive, after, 1.0)), 1.0)
            factors = np.clip(factors, SMALLEST_FACTOR, 1 / SMALLEST_FACTOR)
            if stream in limits:
                least = limits[stream]
                wanted = np.where(np.isinf(least), 1.0, np.maximum(total[stream] * factors, least))
                factors = wanted / total[stream]
                total[stream] = wanted
            work.divide(stream, factors)


def _behind_relu6(work: _Work) -> Iterator[Stream]:
    """Single activations behind ReLU6 whose channels weighted operators alone read."""
    graph = work.graph
    for op in graph.weighted:
        readers = graph.readers[op.name]
        if (
            op.fused is Fused.RELU6
            and op.name != graph.output
            and readers
            and all(r.is_weighted and _takes_channels(graph, r) for r in readers)
        ):
            yield Stream((op.name,), (op,), readers)


def _room(work: _Work, stream: Stream) -> np.ndarray:
    """Smallest factor that each channel may be divided by; infinity where it must stay as it is.

    A channel that reaches 6 has its bound there. Another one may be scaled as long as twice what
    calibration images made of it stays below 6; scaled down, it would be cut later than at 6,
    which it has not reached either.
    """
    high = work.spans[stream.names[0]].high.astype(np.float64)
    return np.where(high >= HELD_SHARE * 6, np.inf, np.maximum(high / (HEADROOM * 6), 1e-3))
