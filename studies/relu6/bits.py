"""Part 1: the cost of int8 with fewer and fewer activation bits, and of float16."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.blocks import Activation
from quantize.settings import Granularity
from studies.relu6 import files
from studies.relu6.grid import INT8_BITS
from studies.relu6.layers import BITS, Ranges, Where, best_percentile, grids, methods, ranges_of
from studies.relu6.measured import Measured, Subject, measured
from studies.relu6.network import Network
from studies.relu6.networks import ACTIVATIONS
from studies.relu6.simulated import (
    in_half_precision,
    scores,
    with_half_weights,
    with_rounded_weights,
)

FILE = "file in LiteRT"
ENGINE = "engine"

ENGINE_IMAGES = 200
"""Number of calibration images for the engine of this project."""

ENGINE_SEED = 1
"""Seed of the networks that the engine is measured on: it takes as long as everything else here."""


def measure(network: Network) -> list[Measured]:
    """Answers of a network on its test images in every precision."""
    rows = list(_simulated(network))
    rows += _files(network)
    return [*rows, *_half(network)]


def _wheres(network: Network, granularity: Granularity) -> tuple[Where, ...]:
    """Tensors to round: the choice exists only with swish and hard swish."""
    has_separate_input = network.variant.kind.activation in (
        Activation.SWISH,
        Activation.HARD_SWISH,
    )
    both = has_separate_input and granularity is Granularity.PER_CHANNEL
    return tuple(Where) if both else (Where.EVERY,)


def _simulated(network: Network) -> Iterator[Measured]:
    graph, contract = network.graph, network.images.contract
    widths, granularities = _widths_and_granularities(network)
    for granularity in granularities:
        rounded = with_rounded_weights(graph, granularity)
        for bits in widths:
            percentile = best_percentile(graph, network.states, bits, contract)
            for method in methods(network.variant.kind.activation):
                ranges = ranges_of(graph, network.states, method, percentile)
                for where in _wheres(network, granularity):
                    subject = Subject(
                        network.variant.kind.name,
                        weights=granularity.value,
                        ranges=method.value,
                        bits=bits,
                        where=where.value,
                    )
                    by_name = grids(graph, ranges, bits, contract, where)
                    answers = network.simulator.scores(rounded, network.images.test, by_name)
                    yield _row(network, subject, answers)


def _widths_and_granularities(
    network: Network,
) -> tuple[tuple[int, ...], tuple[Granularity, ...]]:
    """Bits and granularities; for the ablations only the largest and the smallest width."""
    if network.variant.kind in ACTIVATIONS:
        return BITS, tuple(Granularity)
    return (BITS[0], BITS[-1]), (Granularity.PER_CHANNEL,)


def _files(network: Network) -> Iterator[Measured]:
    """Answers of the same integers in real files, and of those that the engine chooses."""
    graph, images = network.graph, network.images
    kind = network.variant.kind.name
    by_name = grids(graph, ranges_of(graph, network.states), INT8_BITS, images.contract)
    for granularity in Granularity:
        plain = files.plain_plan(graph, by_name, granularity)
        answers, _ = files.planned_scores(graph, plain, images.test)
        subject = Subject(
            kind,
            weights=granularity.value,
            ranges=Ranges.MIN_MAX.value,
            bits=INT8_BITS,
            runtime=FILE,
        )
        yield _row(network, subject, answers)
    if network.variant.kind in ACTIVATIONS and network.variant.seed == ENGINE_SEED:
        yield _engine(network)


def _engine(network: Network) -> Measured:
    graph, images = network.graph, network.images
    few = images.calibration[:ENGINE_IMAGES]
    planned = files.engine_plan(graph, few, images.contract, Granularity.PER_CHANNEL)
    answers, _ = files.planned_scores(planned.graph, planned.plan, images.test)
    subject = Subject(
        network.variant.kind.name,
        ENGINE,
        Granularity.PER_CHANNEL.value,
        Ranges.FIXED.value,
        INT8_BITS,
        runtime=FILE,
    )
    return _row(network, subject, answers)


def _half(network: Network) -> Iterator[Measured]:
    kind, images = network.variant.kind.name, network.images
    halved = with_half_weights(network.graph)
    answers = scores(halved, images.test, in_half_precision)
    yield _row(network, Subject(kind, "float16", "float16", "float16", 16), answers)
    answers, _ = files.half_scores(network.model, images.contract, images.test)
    subject = Subject(kind, "float16", "float16", "float", 16, runtime=FILE)
    yield _row(network, subject, answers)


def _row(network: Network, subject: Subject, answers: np.ndarray) -> Measured:
    return measured(subject, network.variant.seed, answers, network.scores, network.images.labels)
