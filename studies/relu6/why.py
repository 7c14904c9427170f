"""Part 2: the sources of the losses, activation by activation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from network.graph import Graph
from network.run_tensorflow import run
from quantize.ranges.observers import RangeState
from quantize.settings import Granularity
from studies.relu6.grid import Grid, Noise, decibels, noise_of
from studies.relu6.layers import Ranges, Role, best_percentile, grids, methods, ranges_of, roles
from studies.relu6.measured import MOST_DB
from studies.relu6.network import Network
from studies.relu6.simulated import batches, rounding, with_rounded_weights

IMAGES = 250
"""Test images on which the losses are measured."""

WIDTHS = (8, 4)
"""Activation bits at which the losses are measured."""

QUANTILES = (0.5, 0.9, 0.99, 0.999, 0.9999)
"""Quantiles of an activation's magnitudes."""

NARROW = 0.25
"""A channel that uses less than this share of its tensor's range loses two bits or more."""


@dataclass(frozen=True)
class LayerRow:
    """One activation of one network under one setting.

    Attributes:
        kind: kind of the network (``networks.Kind.name``).
        seed: seed of its training.
        order: number of the activation, the image being 0.
        layer: name of the activation.
        role: role of the activation (``layers.Role``).
        ranges: method of its range (``layers.Ranges``).
        bits: bits of the activations.
        low: lower end of the range.
        high: upper end of the range.
        step: distance of two neighbouring numbers.
        rms: root mean square of the values.
        clipping_db: signal-to-noise ratio of clipping in dB; 150 without noise.
        rounding_db: signal-to-noise ratio of rounding in dB.
        own_db: signal-to-noise ratio of both, where only this tensor is quantized.
        through_db: signal-to-noise ratio in the network with all tensors quantized.
        clipped: share of the values beyond the range.
        narrow: share of the channels that use less than a quarter of the range.
        lost_bits: bits that the median channel leaves unused: log2 of the tensor's range over the
            channel's.
    """

    kind: str
    seed: int
    order: int
    layer: str
    role: str
    ranges: str
    bits: int
    low: float
    high: float
    step: float
    rms: float
    clipping_db: float
    rounding_db: float
    own_db: float
    through_db: float
    clipped: float
    narrow: float
    lost_bits: float


def measure(network: Network) -> list[LayerRow]:
    """Losses of every activation of a network, with every method of ranges."""
    rows: list[LayerRow] = []
    images = network.images.some(IMAGES).test
    rounded = with_rounded_weights(network.graph, Granularity.PER_CHANNEL)
    for bits in WIDTHS:
        contract = network.images.contract
        percentile = best_percentile(network.graph, network.states, bits, contract)
        for method in methods(network.variant.kind.activation):
            ranges = ranges_of(network.graph, network.states, method, percentile)
            by_name = grids(network.graph, ranges, bits, contract)
            losses = losses_of(network.graph, rounded, by_name, images)
            rows += _rows(network, method, bits, by_name, losses)
    return rows


@dataclass(frozen=True)
class Loss:
    """Loss of an activation.

    Attributes:
        own: loss by its own grid, on the values of the float network.
        through: sum of the squared differences between float and quantized network.
    """

    own: Noise = field(default_factory=Noise)
    through: float = 0.0


def losses_of(
    graph: Graph, rounded: Graph, chosen: Mapping[str, Grid], images: np.ndarray
) -> dict[str, Loss]:
    """Losses by activation, from runs of the float and the quantized network.

    Args:
        graph: float network.
        rounded: same network with rounded weights.
        chosen: grids by activation.
        images: float32 ``[n, h, w, 3]``.
    """
    losses = dict.fromkeys(chosen, Loss())
    for batch in batches(images):
        floats: dict[str, np.ndarray] = {}
        integers: dict[str, np.ndarray] = {}
        run(graph, batch, _recording(floats))
        round_value = rounding(chosen)

        def record(name: str, value: Any, into: dict[str, np.ndarray] = integers) -> Any:
            result = round_value(name, value)  # noqa: B023
            into[name] = np.asarray(result)
            return result

        run(rounded, batch, record)
        for name, grid in chosen.items():
            through = np.square(floats[name].astype(np.float64) - integers[name]).sum()
            before = losses[name]
            losses[name] = Loss(
                before.own + noise_of(floats[name], grid), before.through + float(through)
            )
    return losses


def _recording(into: dict[str, np.ndarray]) -> Any:
    def record(name: str, value: Any) -> Any:
        into[name] = np.asarray(value)
        return value

    return record


def _rows(
    network: Network,
    method: Ranges,
    bits: int,
    chosen: Mapping[str, Grid],
    losses: Mapping[str, Loss],
) -> list[LayerRow]:
    role = roles(network.graph)
    rows = []
    for order, name in enumerate(network.graph.activations):
        if name not in chosen:
            continue
        grid, loss = chosen[name], losses[name]
        own = loss.own
        narrow, lost = channels_of(network.states[name], grid)
        rows.append(
            LayerRow(
                network.variant.kind.name,
                network.variant.seed,
                order,
                name,
                role[name].value,
                method.value,
                bits,
                grid.low,
                grid.high,
                grid.scale,
                (own.signal / own.count) ** 0.5,
                _shown(own.signal, own.clipping),
                _shown(own.signal, own.rounding),
                _shown(own.signal, own.total),
                _shown(own.signal, loss.through),
                own.clipped / own.count,
                narrow,
                lost,
            )
        )
    return rows


def channels_of(state: RangeState, grid: Grid) -> tuple[float, float]:
    """Share of narrow channels, and bits that the median channel leaves unused.

    Channels that never change are not counted.

    Args:
        state: calibration state of the activation.
        grid: grid of the whole tensor.
    """
    spans = state.high.astype(np.float64) - state.low  # [channels]
    live = spans[spans > 0]
    if live.size == 0:
        return 0.0, 0.0
    share = live / (grid.high - grid.low)
    return float(np.mean(share < NARROW)), float(np.log2(1 / np.median(share)))


def _shown(signal: float, noise: float) -> float:
    return max(min(decibels(signal, noise), MOST_DB), -MOST_DB)


@dataclass(frozen=True)
class SpreadRow:
    """Distribution of the values of one activation.

    Attributes:
        kind: kind of the network (``networks.Kind.name``).
        seed: seed of its training.
        order: number of the activation, the image being 0.
        layer: name of the activation.
        role: role of the activation (``layers.Role``).
        low: smallest value in calibration.
        p50: magnitude below which 50 % of the values lie.
        p90: magnitude below which 90 % of the values lie.
        p99: magnitude below which 99 % of the values lie.
        p999: magnitude below which 99.9 % of the values lie.
        p9999: magnitude below which 99.99 % of the values lie.
        high: largest value in calibration.
        widest: largest magnitude of the widest channel over that of the median channel.
    """

    kind: str
    seed: int
    order: int
    layer: str
    role: str
    low: float
    p50: float
    p90: float
    p99: float
    p999: float
    p9999: float
    high: float
    widest: float


def spread(network: Network) -> list[SpreadRow]:
    """Distribution of every activation in calibration."""
    role = roles(network.graph)
    rows = []
    for order, name in enumerate(network.graph.activations):
        state = network.states[name]
        reach = np.maximum(np.abs(state.low), np.abs(state.high)).astype(np.float64)
        live = reach[reach > 0]
        rows.append(
            SpreadRow(
                network.variant.kind.name,
                network.variant.seed,
                order,
                name,
                role[name].value,
                float(state.low.min()),
                *quantiles(state),
                float(state.high.max()),
                float(live.max() / np.median(live)) if live.size else 1.0,
            )
        )
    return rows


def quantiles(state: RangeState) -> tuple[float, float, float, float, float]:
    """QUANTILES of the magnitudes, as precise as a bin of the histogram."""
    histogram = state.histogram
    magnitudes = np.abs(histogram.centres)
    order = np.argsort(magnitudes)
    share = np.cumsum(histogram.counts[order]) / histogram.counts.sum()
    a, b, c, d, e = (
        float(magnitudes[order][min(int(np.searchsorted(share, q)), len(order) - 1)])
        for q in QUANTILES
    )
    return a, b, c, d, e


@dataclass(frozen=True)
class HistogramRow:
    """A bin of one activation's histogram.

    Attributes:
        kind: kind of the network (``networks.Kind.name``).
        layer: name of the activation.
        left: lower edge of the bin.
        width: width of the bin.
        density: share of the values in the bin over its width.
    """

    kind: str
    layer: str
    left: float
    width: float
    density: float


HISTOGRAM_BINS = 64


def histograms(network: Network, layers: tuple[str, ...]) -> list[HistogramRow]:
    """Histograms of some activations in at most HISTOGRAM_BINS bins, without empty ones."""
    rows = []
    for name in layers:
        histogram = network.states[name].histogram
        exponent = histogram.exponent
        while len(histogram.coarsened(exponent).counts) > HISTOGRAM_BINS:
            exponent += 1
        coarse = histogram.coarsened(exponent)
        shares = coarse.counts / coarse.counts.sum() / coarse.width
        rows += [
            HistogramRow(
                network.variant.kind.name,
                name,
                (coarse.first + index) * coarse.width,
                coarse.width,
                float(share),
            )
            for index, share in enumerate(shares)
            if share > 0
        ]
    return rows


def shown_layers(graph: Graph) -> tuple[str, ...]:
    """Activations whose histograms are stored: the first, a middle and the last non-linear one."""
    names = [name for name, role in roles(graph).items() if role is Role.ACTIVATED]
    return names[0], names[len(names) // 2], names[-1]
