"""Cross-layer equalization: factors on channels that leave the float network's function as it is.

For a linear activation x between convolutions, ``x = W x_before + b`` and ``y = V x``, and factors
f > 0, one per channel,

    x / f = (W / f) x_before + b / f        y = (V f) (x / f)

(Nagel et al. 2019, arXiv:1906.04721, section 4.1). Where additions join activations, the whole
residual stream shares the factors. ReLU commutes with positive factors; ReLU6 does not, since its
bound would need a value per channel. With one scale per channel of a weight next to nothing is to
be gained there, and activations behind ReLU6 are left alone. With one scale per weight, channels
that stay below 6 are scaled, within that room (``relu6``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from network.graph import Graph, Op
from network.integer_forms import obstacle
from network.operators import Fused, OpKind
from quantize.equalization.groups import Groups
from quantize.equalization.relu6 import Room, behind_relu6
from quantize.ranges.extremes import Extremes
from quantize.settings import Granularity

SMALLEST_FACTOR = 2.0**-14
"""Smallest factor: channels that span less than this share of the widest are scaled up no more."""

ROUNDS = 20
"""Rounds of balancing weights; factors hardly change after ten."""

UNEVEN = 4.0
"""A stream is uneven where a quarter of its channels reach less than one in so many of the widest.
Trained networks have 1.3 to 2.4; some whose channels were scaled by hand have 8 to 46."""


@dataclass(frozen=True)
class Stream:
    """Activations that share the factors of their channels.

    Attributes:
        names: names of the activations.
        producers: weighted operators that compute them.
        readers: weighted operators that read them.
    """

    names: tuple[str, ...]
    producers: tuple[Op, ...]
    readers: tuple[Op, ...]


def streams(graph: Graph) -> tuple[Stream, ...]:
    """Every group of activations whose channels may be scaled without a change of the function."""
    groups = Groups(graph.activations)
    for op in graph.ops:
        if _joins(graph, op):
            for name in op.inputs:
                if not graph.is_constant(name):
                    groups.join(op.name, name)
    candidates = (_stream(graph, tuple(names)) for names in groups.sets().values())
    return tuple(stream for stream in candidates if stream is not None)


def _joins(graph: Graph, op: Op) -> bool:
    """Whether an operator's operands and result have to share their factors."""
    sums = op.kind in (OpKind.ADD, OpKind.SUB) and op.fused is Fused.NONE
    return sums and not obstacle(graph, op)


def _stream(graph: Graph, names: tuple[str, ...]) -> Stream | None:
    """Stream of these activations; None where an operator around them does not permit factors."""
    producers: list[Op] = []
    readers: list[Op] = []
    if len({graph.tensors[name].shape[-1] for name in names}) > 1:
        return None  # an operand of one channel is added to each
    for name in names:
        producer = graph.producers.get(name)
        if producer is None or name in graph.outputs or not graph.readers[name]:
            return None
        if producer.is_weighted and producer.fused in (Fused.NONE, Fused.RELU):
            producers.append(producer)
        elif not _joins(graph, producer) or any(graph.is_constant(n) for n in producer.inputs):
            return None
        for reader in graph.readers[name]:
            if reader.is_weighted and _takes_channels(graph, reader):
                readers.append(reader)
            elif not _joins(graph, reader):
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
        graph: canonical, unchanged.
        spans: current extremes of each activation.
        typical: current extremes that factors and offsets are derived from.
        values: constants that have changed, float64.
    """

    graph: Graph
    spans: dict[str, Extremes]
    typical: dict[str, Extremes]
    values: dict[str, np.ndarray]

    def value(self, name: str) -> np.ndarray:
        """Current value of a constant, float64."""
        changed = self.values.get(name)
        return self.graph.value(name).astype(np.float64) if changed is None else changed

    def largest_by_output(self, op: Op) -> np.ndarray:
        """Largest magnitude of a weight in each output channel, ``[out]``."""
        weight = np.abs(self.value(op.inputs[1]))
        others = tuple(i for i in range(weight.ndim) if i != op.channel_axis)
        return np.asarray(weight.max(axis=others))

    def largest_by_input(self, op: Op) -> np.ndarray:
        """Largest magnitude of a weight in each input channel, ``[in]``."""
        weight = np.abs(self.value(op.inputs[1]))
        return np.asarray(weight.max(axis=tuple(range(weight.ndim - 1))))

    def reaches(self, stream: Stream) -> tuple[np.ndarray, np.ndarray]:
        """Largest magnitudes of the weights that compute and that read each channel."""
        written = np.max([self.largest_by_output(op) for op in stream.producers], axis=0)
        return written, np.max([self.largest_by_input(op) for op in stream.readers], axis=0)

    def divide(self, stream: Stream, factors: np.ndarray) -> None:
        """Divide each channel of a stream by a factor, ``[channels]``."""
        for op in stream.producers:
            weight = self.value(op.inputs[1])
            shape = [1] * weight.ndim
            shape[op.channel_axis] = -1  # the factors along the output channels
            self.values[op.inputs[1]] = weight / factors.reshape(shape)
            self.values[op.inputs[2]] = self.value(op.inputs[2]) / factors
        for op in stream.readers:
            self.values[op.inputs[1]] = self.value(op.inputs[1]) * factors
        for name in stream.names:
            for spans in (self.spans, self.typical):
                spans[name] = spans[name].scaled((1 / factors).astype(np.float32))

    def changed(self) -> Graph:
        """Graph with the constants as they are now, float32."""
        values = {name: np.asarray(value, np.float32) for name, value in self.values.items()}
        return self.graph.with_values(values)

    def centre(self, stream: Stream) -> None:
        """Subtract the middle of its span from every channel, and add it in the readers' biases.

            x - m = W x_before + (b - m)        y = V (x - m) + (c + V m)

        The middle of a sum is the sum of its operands' middles. Readers that pad with zeros would
        have to pad with ``-m`` instead, so a stream with such a reader stays as it is.
        """
        if not all(_reads_single_positions(self.graph, op) for op in stream.readers):
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
                    weight = self.value(op.inputs[1]).reshape(-1, len(offset))  # [out, in]
                    self.values[op.inputs[2]] = self.value(op.inputs[2]) + weight @ offset


def _reads_single_positions(graph: Graph, op: Op) -> bool:
    """Whether each result of an operator reads a single position, and no padding."""
    shape = graph.weight(op).shape
    return op.kind == OpKind.DENSE or (op.kind == OpKind.CONV and shape[1:3] == (1, 1))


def equalized(
    graph: Graph,
    spans: Mapping[str, Extremes],
    granularity: Granularity,
    typical: Mapping[str, Extremes] | None = None,
    beyond: Mapping[str, Extremes] | None = None,
    kept: Collection[str] = (),
) -> tuple[Graph, dict[str, Extremes]]:
    """Scale and centre the channels of every stream.

    With one scale per channel of a weight, the factors let all channels of an activation reach
    equally far, and it is stored as if it had one scale per channel as well. With one scale per
    weight, which dense layers always have, they let the channels of the weights on both sides reach
    equally far (Nagel et al., equation 11), over several rounds.

    Args:
        graph: canonical.
        spans: extremes of its activations in calibration.
        granularity: whether weights will have one scale or one per channel.
        typical: extremes to derive factors from where rare values will be cut off; ``spans`` when
            None.
        beyond: extremes that hardly any other image exceeds; ``spans`` when None.
        kept: operators whose weights must not be scaled.

    Returns:
        A graph of the same function, and the extremes of its activations.
    """
    work = _Work(graph, dict(spans), dict(typical or spans), {})
    scalable = streams(graph)
    _centre(work, scalable)
    scalable = _without(kept, scalable)
    if granularity is Granularity.PER_CHANNEL:
        _scale_to_reach(work, scalable)
    else:
        _balance_weights(work, scalable, _rooms(graph, kept, spans, beyond or spans))
    return work.changed(), work.spans


def evened(
    graph: Graph,
    spans: Mapping[str, Extremes],
    typical: Mapping[str, Extremes],
    kept: Collection[str] = (),
) -> Graph:
    """Graph of the same function, with the channels of uneven streams scaled and centred.

    For activations that stay float numbers, or whose range each image sets: a range is then as wide
    as one image asks for, and streams that are nearly even have nothing to gain.

    Args:
        graph: canonical.
        spans: extremes of its activations in calibration.
        typical: extremes to derive factors from, without rare values.
        kept: operators whose weights must not be scaled.
    """
    work = _Work(graph, dict(spans), dict(typical), {})
    uneven = tuple(s for s in _without(kept, streams(graph)) if _is_uneven(work, s))
    _centre(work, uneven)
    _scale_to_reach(work, uneven)
    return work.changed()


def _centre(work: _Work, candidates: tuple[Stream, ...]) -> None:
    """Centre the channels of linear streams."""
    for stream in candidates:
        if all(op.fused is Fused.NONE for op in stream.producers):
            work.centre(stream)


def _is_uneven(work: _Work, stream: Stream) -> bool:
    """Whether a quarter of the channels reach less than one in UNEVEN of the widest."""
    factors = _factors_by_reach(work, stream)
    return float(np.quantile(factors, 0.25)) * UNEVEN < 1


def _scale_to_reach(work: _Work, scalable: tuple[Stream, ...]) -> None:
    """Let the channels of each stream reach equally far, or its weights where one has one scale."""
    for stream in scalable:
        if not _has_one_scale(stream):
            work.divide(stream, _factors_by_reach(work, stream))
    _balance_weights(work, tuple(filter(_has_one_scale, scalable)), {})


def _without(kept: Collection[str], candidates: tuple[Stream, ...]) -> tuple[Stream, ...]:
    """Streams that none of the operators computes or reads."""
    return tuple(
        stream
        for stream in candidates
        if not any(op.name in kept for op in (*stream.producers, *stream.readers))
    )


def _factors_by_reach(work: _Work, stream: Stream) -> np.ndarray:
    """Factors ``[channels]`` that let all channels typically reach equally far.

        f = max(reach / max over channels of reach, SMALLEST_FACTOR)

    A channel's rare values may reach twice as far, and have to be cut off.
    """
    reaches = [np.maximum(work.typical[n].reach, work.spans[n].reach / 2) for n in stream.names]
    reach = np.max(reaches, axis=0).astype(np.float64)
    widest = float(reach.max(initial=0.0))
    if widest == 0:
        return np.ones_like(reach)
    return np.where(reach > 0, np.maximum(reach / widest, SMALLEST_FACTOR), 1.0)


def _has_one_scale(stream: Stream) -> bool:
    """Whether a dense layer computes an activation of the stream: its weight has one scale.

    A unit that hardly answers on the calibration images would be scaled up by thousands, and the
    weights of all other units would round to zero.
    """
    return any(op.kind == OpKind.DENSE for op in stream.producers)


def _balance_weights(
    work: _Work, scalable: tuple[Stream, ...], bounded: Mapping[Stream, Room]
) -> None:
    """Divide the channels of streams until the weights on both sides reach equally far.

    With the largest magnitudes w of the producers' weights in an output channel and v of the
    readers' weights in the input channel that reads it (Nagel et al., equation 11), each round
    divides each stream by

        f = sqrt(w / v)        so that  w / f = v f

    Args:
        work: weights and spans, which are changed.
        scalable: streams whose factors have no bound.
        bounded: streams behind ReLU6, with the room that the product of a channel's factors over
            all rounds has.
    """
    products = {stream: np.ones_like(room.smallest) for stream, room in bounded.items()}
    for _ in range(ROUNDS):
        for stream in (*scalable, *bounded):
            written, read = work.reaches(stream)
            factors = _balancing_factors(written, read)
            if stream in bounded:
                before = products[stream]
                wanted = before * factors
                product = bounded[stream].factors(wanted, read / before)
                factors = product / before
                products[stream] = product
            work.divide(stream, factors)


def _balancing_factors(written: np.ndarray, read: np.ndarray) -> np.ndarray:
    """One round's factors of a stream, ``[channels]``; 1 where a side has only zeros."""
    live = (written > 0) & (read > 0)
    factors = np.where(live, np.sqrt(written / np.where(live, read, 1.0)), 1.0)
    return np.clip(factors, SMALLEST_FACTOR, 1 / SMALLEST_FACTOR)


def _rooms(
    graph: Graph,
    kept: Collection[str],
    spans: Mapping[str, Extremes],
    beyond: Mapping[str, Extremes],
) -> dict[Stream, Room]:
    """Streams of one activation behind ReLU6, and the room that they have."""
    found = behind_relu6(graph)
    streams_of = (Stream((op.name,), (op,), graph.readers[op.name]) for op in found)
    takers = tuple(s for s in streams_of if all(_takes_channels(graph, op) for op in s.readers))
    names = {stream: stream.names[0] for stream in _without(kept, takers)}
    return {stream: Room.of(spans[name], beyond[name]) for stream, name in names.items()}
