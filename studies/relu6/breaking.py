"""Part 3: collapses made on purpose, and their repairs.

A channel of an activation can be multiplied by a factor and the weights that read it divided by it:
the float network stays the same function, and the int8 network does not. That is possible where a
linear operator or ReLU computes the activation, which is called free here. Behind ReLU6 it is not:
its bound does not scale with the channel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from models.blocks import Activation
from network.graph import Graph
from network.operators import Fused
from quantize.equalization.equalize import Stream, equalized, streams
from quantize.ranges.extremes import Extremes
from quantize.ranges.observers import RangeState
from quantize.settings import Granularity
from studies.relu6.grid import INT8_BITS
from studies.relu6.layers import Ranges, Role, grids, ranges_of, roles
from studies.relu6.measured import Measured, Subject, measured
from studies.relu6.network import Network
from studies.relu6.simulated import (
    in_half_precision,
    observed,
    scores,
    with_half_weights,
    with_rounded_weights,
)

IMAGES = 1000
"""Number of test images in this part."""

OBSERVED = 200
"""Number of calibration images of the broken networks."""

OUTLIERS = (4.0, 32.0, 256.0)
"""Factors on one channel of every free activation."""

SPREADS = (1.0, 2.0, 3.0)
"""Standard deviations, in powers of two, of the factors on all channels."""

HALF_OUTLIERS = (2.0**8, 2.0**12, 2.0**16)
"""Factors for float16."""

UNSCALED = 255.0
"""Largest pixel value of an image that was not normalized."""


class Scope(StrEnum):
    """Activations that are rescaled."""

    ALL = "all free"
    """Results of linear operators and ReLU."""
    LINEAR = "linear"
    """Results of linear operators: all that is free with ReLU6."""


def rescaled(graph: Graph, stream: Stream, factors: np.ndarray) -> Graph:
    """Graph of the same function with the channels of some activations multiplied.

    Args:
        graph: canonical.
        stream: activations that share their channels' factors.
        factors: ``[channels]``, above 0; powers of two change only exponents.
    """
    values: dict[str, np.ndarray] = {}

    def current(name: str) -> np.ndarray:
        return values.get(name, graph.value(name))

    wide = factors.astype(np.float32)
    for op in stream.producers:
        shape = [1] * graph.weight(op).ndim
        shape[op.channel_axis] = -1
        values[op.inputs[1]] = current(op.inputs[1]) * wide.reshape(shape)
        values[op.inputs[2]] = current(op.inputs[2]) * wide
    for op in stream.readers:
        values[op.inputs[1]] = current(op.inputs[1]) / wide
    return graph.with_values(values)


def free_streams(graph: Graph, scope: Scope) -> tuple[Stream, ...]:
    """Activations whose channels may be rescaled."""
    return tuple(
        stream
        for stream in streams(graph)
        if scope is Scope.ALL or all(op.fused is Fused.NONE for op in stream.producers)
    )


def with_outliers(graph: Graph, scope: Scope, factor: float, seed: int) -> Graph:
    """Graph with one channel of every free activation multiplied by a factor."""
    rng = np.random.default_rng(seed)
    for stream in free_streams(graph, scope):
        channels = graph.tensors[stream.names[0]].shape[-1]
        factors = np.ones(channels)
        factors[rng.integers(channels)] = factor
        graph = rescaled(graph, stream, factors)
    return graph


def with_spread(graph: Graph, scope: Scope, deviation: float, seed: int) -> Graph:
    """Graph with every channel of every free activation multiplied by a random power of two."""
    rng = np.random.default_rng(seed)
    for stream in free_streams(graph, scope):
        channels = graph.tensors[stream.names[0]].shape[-1]
        graph = rescaled(graph, stream, 2.0 ** np.rint(deviation * rng.standard_normal(channels)))
    return graph


def capped(
    graph: Graph, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    """Ranges cut at 6 where a non-linearity computes or reads the activation."""
    role = roles(graph)
    cut = dict(ranges)
    for name, (low, high) in ranges.items():
        if role[name] is Role.ACTIVATED:
            cut[name] = (low, min(high, 6.0))
        elif role[name] is Role.BEFORE:
            cut[name] = (max(low, -6.0), min(high, 6.0))
    return cut


@dataclass(frozen=True)
class _Bench:
    """A network and the test images of this part.

    Attributes:
        network: network to break.
        test: images, float32 ``[n, h, w, 3]``.
        labels: labels of the images, int64 ``[n]``.
        reference: scores of the float network, ``[n, classes]``.
    """

    network: Network
    test: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    reference: np.ndarray = field(repr=False)

    def row(self, subject: Subject, answers: np.ndarray) -> Measured:
        return measured(subject, self.network.variant.seed, answers, self.reference, self.labels)

    def int8(
        self,
        rounded: Graph,
        ranges: Mapping[str, tuple[float, float]],
        bits: int = INT8_BITS,
    ) -> np.ndarray:
        """Scores of a graph whose weights are rounded, with rounded activations."""
        by_name = grids(rounded, ranges, bits, self.network.images.contract)
        return self.network.simulator.scores(rounded, self.test, by_name)


def measure(network: Network) -> list[Measured]:
    """Every collapse that a network can be made to have, and its repairs."""
    images = network.images.some(IMAGES)
    reference = scores(network.graph, images.test, None)
    bench = _Bench(network, images.test, images.labels, reference)
    rows = list(_bad_image(bench))
    activation = network.variant.kind.activation
    if activation in (Activation.RELU, Activation.RELU6):
        scope = Scope.ALL if activation is Activation.RELU else Scope.LINEAR
        rows += _rescaled(bench, scope)
        rows += _half(bench, scope)
    if activation is not Activation.RELU6:
        rows += _capped(bench)
    return rows


def _rescaled(bench: _Bench, scope: Scope) -> Iterator[Measured]:
    graph, seed = bench.network.graph, bench.network.variant.seed
    cases: list[tuple[str, float, Graph]] = [("outlier", 1.0, graph), ("spread", 0.0, graph)]
    cases += [("outlier", f, with_outliers(graph, scope, f, seed)) for f in OUTLIERS]
    cases += [("spread", s, with_spread(graph, scope, s, seed)) for s in SPREADS]
    for what, strength, broken in cases:
        states = observed(broken, bench.network.images.calibration[:OBSERVED])
        for granularity in Granularity:
            rounded = with_rounded_weights(broken, granularity)
            subject = Subject(
                bench.network.variant.kind.name,
                f"{what}, {scope.value}",
                granularity.value,
                Ranges.MIN_MAX.value,
                INT8_BITS,
                strength=strength,
            )
            ranges = ranges_of(broken, states)
            yield bench.row(subject, bench.int8(rounded, ranges))
            if broken is graph:
                continue
            mended, spans = equalized(broken, _spans(states), granularity)
            ranges = {name: (span.range.low, span.range.high) for name, span in spans.items()}
            repaired = replace(subject, repair="equalization")
            answers = bench.int8(with_rounded_weights(mended, granularity), ranges)
            yield bench.row(repaired, answers)
            if granularity is Granularity.PER_CHANNEL:
                ranges = ranges_of(broken, states, Ranges.PERCENTILE)
                clipped = replace(subject, ranges=Ranges.PERCENTILE.value, repair="percentile")
                yield bench.row(clipped, bench.int8(rounded, ranges))


def _half(bench: _Bench, scope: Scope) -> Iterator[Measured]:
    graph, seed = bench.network.graph, bench.network.variant.seed
    for factor in HALF_OUTLIERS:
        broken = with_half_weights(with_outliers(graph, scope, factor, seed))
        subject = Subject(
            bench.network.variant.kind.name,
            f"outlier, {scope.value}",
            "float16",
            "float16",
            16,
            strength=factor,
        )
        yield bench.row(subject, scores(broken, bench.test, in_half_precision))


def _bad_image(bench: _Bench) -> Iterator[Measured]:
    """Calibration with one image whose pixels were not normalized: a heavy tail."""
    network = bench.network
    one = (network.images.calibration[:1] + 1) * (UNSCALED / 2)  # [-1, 1] -> [0, 255]
    bad = observed(network.graph, one.astype(np.float32))
    joined = {name: state.merged(bad[name]) for name, state in network.states.items()}
    fixed = network.variant.kind.activation is Activation.RELU6
    rounded = with_rounded_weights(network.graph, Granularity.PER_CHANNEL)
    for states, strength in ((network.states, 0.0), (joined, 1.0)):
        subject = Subject(
            network.variant.kind.name,
            "bad image",
            Granularity.PER_CHANNEL.value,
            Ranges.MIN_MAX.value,
            INT8_BITS,
            strength=strength,
        )
        ranges = ranges_of(network.graph, states)
        yield bench.row(subject, bench.int8(rounded, ranges))
        cut = replace(subject, repair="cap at 6")
        answers = bench.int8(rounded, capped(network.graph, ranges))
        yield bench.row(cut, answers)
        for method in (Ranges.PERCENTILE, *((Ranges.FIXED,) if fixed else ())):
            ranges = ranges_of(network.graph, states, method)
            answers = bench.int8(rounded, ranges)
            other = replace(subject, ranges=method.value, repair=method.value)
            yield bench.row(other, answers)


def _capped(bench: _Bench) -> Iterator[Measured]:
    """Few bits, with calibrated ranges and with ranges cut at 6."""
    network = bench.network
    calibrated = ranges_of(network.graph, network.states)
    cut = capped(network.graph, calibrated)
    rounded = with_rounded_weights(network.graph, Granularity.PER_CHANNEL)
    for bits in (6, 5, 4):
        subject = Subject(
            network.variant.kind.name,
            "few bits",
            Granularity.PER_CHANNEL.value,
            Ranges.MIN_MAX.value,
            bits,
            strength=float(bits),
        )
        for repair, ranges in (("none", calibrated), ("cap at 6", cut)):
            answers = bench.int8(rounded, ranges, bits)
            yield bench.row(replace(subject, repair=repair), answers)


def _spans(states: Mapping[str, RangeState]) -> dict[str, Extremes]:
    return {name: Extremes(state.low, state.high) for name, state in states.items()}
