"""Part 2, calibration: losses of a network whose ranges come from few images, or from none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from foundation.errors import InvalidInputError
from network.graph import Graph
from network.operators import Fused, OpKind
from network.run_tensorflow import run
from quantize.settings import Granularity
from studies.relu6.grid import INT8_BITS
from studies.relu6.layers import Ranges, Role, grids, roles
from studies.relu6.measured import Measured, Subject, measured
from studies.relu6.network import Network
from studies.relu6.simulated import batches, scores, with_rounded_weights

if TYPE_CHECKING:
    import keras

COUNTS = (1, 3, 10, 30, 100, 300, 1000)
DRAWS = 3
"""Number of sets of each size; one set of all images."""
IMAGES = 1500
"""Number of test images in this part."""
SIGMAS = 6.0
"""Standard deviations that a range without images reaches on either side (Nagel et al. 2019,
arXiv:1906.04721, section 5: n = 6)."""
SWISH_LOWEST = -0.2785
"""Smallest value of swish."""
HARD_SWISH_LOWEST = -0.375
"""Smallest value of hard swish, -3/8."""


@dataclass(frozen=True)
class Ends:
    """Smallest and largest value of every activation on every calibration image.

    Attributes:
        low: smallest values ``[m]`` by activation.
        high: largest values ``[m]`` by activation.
    """

    low: dict[str, np.ndarray] = field(repr=False)
    high: dict[str, np.ndarray] = field(repr=False)

    def ranges(self, numbers: np.ndarray) -> dict[str, tuple[float, float]]:
        """Ranges over the images with these numbers."""
        return {
            name: (float(low[numbers].min()), float(self.high[name][numbers].max()))
            for name, low in self.low.items()
        }


def ends_of(graph: Graph, images: np.ndarray) -> Ends:
    """Smallest and largest values in the float network on images ``[m, h, w, 3]``."""
    low: dict[str, list[np.ndarray]] = {name: [] for name in graph.activations}
    high: dict[str, list[np.ndarray]] = {name: [] for name in graph.activations}

    def record(name: str, value: Any) -> Any:
        rows = np.asarray(value).reshape(len(value), -1)
        low[name].append(rows.min(axis=1))
        high[name].append(rows.max(axis=1))
        return value

    for batch in batches(images):
        run(graph, batch, record)
    return Ends(
        {name: np.concatenate(values) for name, values in low.items()},
        {name: np.concatenate(values) for name, values in high.items()},
    )


def measure(network: Network) -> list[Measured]:
    """int8 with ranges from 0 to 1,000 images, three draws each, weights per channel."""
    images = network.images.some(IMAGES)
    reference = scores(network.graph, images.test, None)
    rounded = with_rounded_weights(network.graph, Granularity.PER_CHANNEL)
    ends = ends_of(network.graph, images.calibration)
    fixed = known(network.graph)
    rows = []

    def row(count: int, method: Ranges, ranges: dict[str, tuple[float, float]]) -> None:
        by_name = grids(network.graph, ranges, INT8_BITS, images.contract)
        answers = network.simulator.scores(rounded, images.test, by_name)
        subject = Subject(
            network.variant.kind.name,
            "calibration",
            Granularity.PER_CHANNEL.value,
            method.value,
            INT8_BITS,
            strength=float(count),
        )
        rows.append(measured(subject, network.variant.seed, answers, reference, images.labels))

    methods = (Ranges.MIN_MAX, *((Ranges.FIXED,) if fixed else ()))
    available = len(images.calibration)
    for method in methods:
        extra = fixed if method is Ranges.FIXED else {}
        row(0, method, without_images(network.model, network.graph) | extra)
        for count in COUNTS:
            for draw in range(DRAWS if count < available else 1):
                order = np.random.default_rng((count, draw)).permutation(available)
                row(count, method, ends.ranges(order[:count]) | extra)
    return rows


def known(graph: Graph) -> dict[str, tuple[float, float]]:
    """Ranges that are known without images: [0, 6] behind ReLU6."""
    return {op.name: (0.0, 6.0) for op in graph.ops if op.fused is Fused.RELU6}


@dataclass(frozen=True)
class _Moments:
    """Mean and standard deviation of each channel, ``[channels]``, from batch norms."""

    mean: np.ndarray
    deviation: np.ndarray

    def reach(self) -> tuple[float, float]:
        return (
            float((self.mean - SIGMAS * self.deviation).min()),
            float((self.mean + SIGMAS * self.deviation).max()),
        )


def without_images(model: keras.Model, graph: Graph) -> dict[str, tuple[float, float]]:
    """Ranges from the batch norms alone: a result of one has mean beta and deviation gamma.

    A sum has the sum of the means and the sum of the variances. Ranges of the results of
    non-linearities and pooling follow from those of their inputs. The scores have no batch norm:
    they stay in float32.

    Args:
        model: Keras model whose batch norms are in the order of the graph's convolutions.
        graph: its canonical graph.

    Raises:
        InvalidInputError: another number of batch norms than of convolutions, or other channels.
    """
    moments = _norms(model, graph)
    role = roles(graph)
    ranges: dict[str, tuple[float, float]] = {}
    for op in graph.ops:
        if role[op.name] is Role.SCORES:
            continue
        if op.kind == OpKind.ADD:
            one, two = (_operand(graph, name, moments, ranges) for name in op.inputs)
            both = np.sqrt(np.square(one.deviation) + np.square(two.deviation))
            moments[op.name] = _Moments(one.mean + two.mean, both)
        if op.name in moments:
            low, high = moments[op.name].reach()
            ranges[op.name] = (max(low, op.fused.limits[0]), min(high, op.fused.limits[1]))
        elif op.kind == OpKind.MUL:
            ranges[op.name] = (SWISH_LOWEST, _reached(ranges, op.inputs))
        elif op.kind == OpKind.HARD_SWISH:
            ranges[op.name] = (HARD_SWISH_LOWEST, _reached(ranges, op.inputs))
        elif role[op.name] is Role.POOLED:
            ranges[op.name] = ranges[op.inputs[0]]
    return ranges


def _operand(
    graph: Graph,
    name: str,
    moments: Mapping[str, _Moments],
    ranges: Mapping[str, tuple[float, float]],
) -> _Moments:
    """Moments of an addition's operand; behind a non-linearity, moments with the same range."""
    if name in moments and graph.producers[name].fused is Fused.NONE:
        return moments[name]
    low, high = ranges[name]
    return _Moments(np.asarray((low + high) / 2), np.asarray((high - low) / (2 * SIGMAS)))


def _reached(ranges: Mapping[str, tuple[float, float]], names: tuple[str, ...]) -> float:
    return max(ranges[name][1] for name in names if name in ranges)


def _norms(model: keras.Model, graph: Graph) -> dict[str, _Moments]:
    norms = [layer for layer in model.layers if type(layer).__name__ == "BatchNormalization"]
    convs = [op for op in graph.ops if op.kind in (OpKind.CONV, OpKind.DEPTHWISE_CONV)]
    moments: dict[str, _Moments] = {}
    for norm, op in zip(norms, convs, strict=False):
        gamma, beta = (np.asarray(v, np.float64) for v in (norm.gamma, norm.beta))
        # An addition fused behind a batch norm does not change which channels there are.
        if len(gamma) == graph.weight(op).shape[op.channel_axis]:
            moments[op.name] = _Moments(beta, np.abs(gamma))
    if len(norms) != len(convs) or len(moments) != len(convs):
        raise InvalidInputError(
            "every convolution has a batch norm",
            received=f"{len(convs)} convolutions and {len(norms)} batch norms",
            remedy="give a network of the study",
        )
    return moments
