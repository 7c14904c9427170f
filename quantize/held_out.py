"""Two plans of one network compared on calibration images that neither was made on.

More work on few images can fit these images instead of the network: narrower ranges that they like,
weights that follow their noise. Images that no step has seen tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from network.graph import Graph
from network.run_litert import Network, network_of, rounded_network
from quantize.objective import Decisive, mean_deviation, weights
from quantize.parallel import in_parallel
from quantize.plans.plan import QuantizationPlan
from quantize.ranges.float_pass import CalibrationImages, checked, in_small_batches, spread

ONE_IN = 8
"""One in so many calibration images is held out."""

MOST_HELD = 32
"""Largest number of images that are held out."""

FEWEST = 4
"""Sets of fewer images are not divided."""


def divided(images: CalibrationImages) -> tuple[CalibrationImages, CalibrationImages | None]:
    """Images to make plans on, and evenly spread others to compare these on; None of few images."""
    count = images.count
    if count < FEWEST:
        return images, None
    held = spread(count, min(max(count // ONE_IN, 1) + 2, MOST_HELD + 2))[1:-1]
    return _part(images, np.setdiff1d(np.arange(count), held)), _part(images, held)


def _part(images: CalibrationImages, numbers: np.ndarray) -> CalibrationImages:
    """Some of the images, as a set of their own."""

    def chosen(wanted: np.ndarray) -> Iterator[np.ndarray]:
        yield from images.of(numbers[wanted])

    parts = None if images.parts is None else images.parts.of(numbers)
    return CalibrationImages(len(numbers), lambda: images.of(numbers), chosen, parts)


@dataclass(frozen=True)
class HeldOut:
    """Held-out images with the outputs of the float network.

    Attributes:
        batches: float32 ``[batch, *shape]``.
        count: number of images, without those that are others' mirror images.
        decisive: takes from outputs what is compared (``quantize.objective``).
        exact: that of the float network, float64 ``[images, ...]`` of each output.
    """

    batches: list[np.ndarray] = field(repr=False)
    count: int
    decisive: Decisive = field(repr=False)
    exact: list[np.ndarray] = field(repr=False)

    @classmethod
    def of(
        cls,
        graph: Graph,
        images: CalibrationImages,
        classifies: Sequence[bool],
        *,
        mirrored: bool = False,
    ) -> HeldOut:
        """Run the float network on the images.

        Args:
            graph: canonical.
            images: images that the plans were not made on.
            classifies: for each output whether it chooses a class.
            mirrored: whether mirror images are compared as well. The rounding errors of an image
                and its mirror image are as good as independent: of 25 images of MobileNetV2 with
                one scale per weight, 3 in 100 choices were wrong without, 4 in 1,000 with them.

        Raises:
            InvalidInputError: images of another shape, or with NaN.
        """
        shape = graph.tensors[graph.input].shape[1:]
        read = checked(images.batches(), shape)
        batches = [part for batch in read for part in in_small_batches(batch)]
        count = sum(map(len, batches))
        if mirrored:
            batches += [np.ascontiguousarray(batch[:, :, ::-1]) for batch in batches]
        exact = _outputs(network_of(graph, graph.ops, results=graph.outputs), batches)
        decisive = Decisive.of(exact, classifies)
        return cls(batches, count, decisive, decisive(exact))

    def noise(self, graph: Graph, plan: QuantizationPlan) -> float:
        """Mean error of an image's outputs, which ``quantize.objective`` weighs."""
        values = {name: constant.to_float() for name, constant in plan.constants.items()}
        planned = rounded_network(plan.network(graph).with_values(values), plan.activations)
        found = self.decisive(_outputs(planned, self.batches))
        return mean_deviation(self.exact, found, weights(self.exact))

    def comparison(self, rival: float, noise: float) -> Mapping[str, Any]:
        """What the reader is told: number of images, and decibels by which the rival is noisier."""
        told: dict[str, Any] = {"held_out_images": self.count}
        if rival > 0 and noise > 0:
            told["held_out_gain_db"] = round(20 * math.log10(rival / noise), 2)
        return told


def _outputs(network: Network, batches: list[np.ndarray]) -> list[np.ndarray]:
    """Outputs of a network for all batches of its only input, float64."""
    (source,) = network.sources
    runs = in_parallel(lambda batch: network.run({source: batch}), batches)
    return [np.concatenate(parts).astype(np.float64) for parts in zip(*runs, strict=True)]
