"""Part 2, calibration: what a network loses when its ranges come from few images, or from none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from foundation.errors import InvalidInputError
from network.graph import Graph
from network.operators import Fused, OpKind
from network.run_tensorflow import run
from quantize.recipes import Granularity
from studies.relu6.grid import INT8_BITS
from studies.relu6.layers import Ranges, Role, grids, roles
from studies.relu6.measured import Measured, Subject, measured
from studies.relu6.network import Network
from studies.relu6.simulated import Simulator, batches, scores, with_rounded_weights

if TYPE_CHECKING:
    import keras

COUNTS = (1, 3, 10, 30, 100, 300, 1000)
DRAWS = 3
"""Sets of each size; one of all the images."""
IMAGES = 1500
"""Test images of this part."""
SIGMAS = 6.0
"""Standard deviations that a range without images reaches on either side (Nagel et al. 2019,
arXiv:1906.04721, section 5: n = 6)."""
SWISH_LOWEST = -0.2785
"""Smallest value of swish; that of hard swish is -3/8."""
HARD_SWISH_LOWEST = -0.375


@dataclass(frozen=True)
class Ends:
    """Smallest and largest value of every activation on every calibration image.

    Attributes:
        low: ``[m]`` by activation.
        high: likewise.
    """

    low: dict[str, np.ndarray] = field(repr=False)
    high: dict[str, np.ndarray] = field(repr=False)

    def ranges(self, chosen: np.ndarray) -> dict[str, tuple[float, float]]:
        """Of some of the images."""
        return {
            name: (float(low[chosen].min()), float(self.high[name][chosen].max()))
            for name, low in self.low.items()
        }


def ends_of(graph: Graph, images: np.ndarray) -> Ends:
    """Run the float network over calibration images ``[m, h, w, 3]``."""
    low: dict[str, list[np.ndarray]] = {name: [] for name in graph.activations}
    high: dict[str, list[np.ndarray]] = {name: [] for name in graph.activations}

    def seen(name: str, value: Any) -> Any:
        rows = np.asarray(value).reshape(len(value), -1)
        low[name].append(rows.min(axis=1))
        high[name].append(rows.max(axis=1))
        return value

    for part in batches(images):
        run(graph, part, seen)
    return Ends(
        {name: np.concatenate(parts) for name, parts in low.items()},
        {name: np.concatenate(parts) for name, parts in high.items()},
    )


def measure(network: Network) -> list[Measured]:
    """int8 with ranges from 0 to 1,000 images, three draws each, weights per channel."""
    images = network.images.some(IMAGES)
    reference = scores(network.graph, images.test, None)
    simulator = Simulator(with_rounded_weights(network.graph, Granularity.PER_CHANNEL))
    ends = ends_of(network.graph, images.calibration)
    behind = known(network.graph)
    rows = []

    def row(count: int, method: Ranges, found: dict[str, tuple[float, float]]) -> None:
        chosen = grids(network.graph, found, INT8_BITS, images.contract)
        given = simulator.scores(images.test, chosen)
        subject = Subject(
            network.variant.kind.name,
            "calibration",
            Granularity.PER_CHANNEL.value,
            method.value,
            INT8_BITS,
            strength=float(count),
        )
        rows.append(measured(subject, network.variant.seed, given, reference, images.labels))

    methods = (Ranges.MIN_MAX, *((Ranges.FIXED,) if behind else ()))
    available = len(images.calibration)
    for method in methods:
        extra = behind if method is Ranges.FIXED else {}
        row(0, method, without_images(network.model, network.graph) | extra)
        for count in COUNTS:
            for draw in range(DRAWS if count < available else 1):
                order = np.random.default_rng((count, draw)).permutation(available)
                row(count, method, ends.ranges(order[:count]) | extra)
    return rows


def known(graph: Graph) -> dict[str, tuple[float, float]]:
    """Ranges that no image needs to tell: [0, 6] behind ReLU6."""
    return {op.name: (0.0, 6.0) for op in graph.ops if op.fused is Fused.RELU6}


@dataclass(frozen=True)
class _Moments:
    """Mean and standard deviation of each channel, as batch norms have them: ``[channels]``."""

    mean: np.ndarray
    deviation: np.ndarray

    def reach(self) -> tuple[float, float]:
        return (
            float((self.mean - SIGMAS * self.deviation).min()),
            float((self.mean + SIGMAS * self.deviation).max()),
        )


def without_images(model: keras.Model, graph: Graph) -> dict[str, tuple[float, float]]:
    """Ranges from the batch norms alone: what leaves one has mean beta and deviation gamma.

    Sums have the sum of the means and of the variances. What the non-linearities and the pooling
    give follows from what they get. The scores have no batch norm: they keep float32.

    Args:
        model: in Keras, whose batch norms stand in the order of the graph's convolutions.
        graph: its canonical form.

    Raises:
        InvalidInputError: another number of batch norms than of convolutions, or other channels.
    """
    moments = _norms(model, graph)
    role = roles(graph)
    found: dict[str, tuple[float, float]] = {}
    for op in graph.ops:
        if role[op.name] is Role.SCORES:
            continue
        if op.kind == OpKind.ADD:
            one, two = (_operand(graph, name, moments, found) for name in op.inputs)
            both = np.sqrt(np.square(one.deviation) + np.square(two.deviation))
            moments[op.name] = _Moments(one.mean + two.mean, both)
        if op.name in moments:
            low, high = moments[op.name].reach()
            found[op.name] = (max(low, op.fused.limits[0]), min(high, op.fused.limits[1]))
        elif op.kind == OpKind.MUL:
            found[op.name] = (SWISH_LOWEST, _reached(found, op.inputs))
        elif op.kind == OpKind.HARD_SWISH:
            found[op.name] = (HARD_SWISH_LOWEST, _reached(found, op.inputs))
        elif role[op.name] is Role.POOLED:
            found[op.name] = found[op.inputs[0]]
    return found


def _operand(
    graph: Graph,
    name: str,
    moments: Mapping[str, _Moments],
    found: Mapping[str, tuple[float, float]],
) -> _Moments:
    """Moments of an addition's operand; behind a non-linearity those that have its range."""
    if name in moments and graph.producers[name].fused is Fused.NONE:
        return moments[name]
    low, high = found[name]
    return _Moments(np.asarray((low + high) / 2), np.asarray((high - low) / (2 * SIGMAS)))


def _reached(found: Mapping[str, tuple[float, float]], names: tuple[str, ...]) -> float:
    return max(found[name][1] for name in names if name in found)


def _norms(model: keras.Model, graph: Graph) -> dict[str, _Moments]:
    norms = [layer for layer in model.layers if type(layer).__name__ == "BatchNormalization"]
    convs = [op for op in graph.ops if op.kind in (OpKind.CONV, OpKind.DEPTHWISE_CONV)]
    found: dict[str, _Moments] = {}
    for norm, op in zip(norms, convs, strict=False):
        gamma, beta = (np.asarray(v, np.float64) for v in (norm.gamma, norm.beta))
        # An addition fused behind a batch norm does not change which channels there are.
        if len(gamma) == graph.weight(op).shape[op.channel_axis]:
            found[op.name] = _Moments(beta, np.abs(gamma))
    if len(norms) != len(convs) or len(found) != len(convs):
        raise InvalidInputError(
            "every convolution has a batch norm",
            received=f"{len(convs)} convolutions and {len(norms)} batch norms",
            remedy="give a network of the study",
        )
    return found
