"""Float passes over calibration images that others make, part by part.

A part is a run of images in the order of the set. What is merged here are the results of single
batches, in their order: the sums are those of a pass in one process, bit by bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from network.graph import Graph
from quantize.equalization.rescaling import Rescaling
from quantize.ranges.extremes import BATCH, Extremes
from quantize.ranges.observers import RangeState


class PartRunner(Protocol):
    """Runs the float network over images of one calibration set, on many workers."""

    def extremes(
        self, graph: Graph, numbers: np.ndarray, advance: Callable[[int], None]
    ) -> Iterator[Mapping[str, Extremes]]:
        """Extremes of the activations in each batch of BATCH images, in the order of the batches.

        Args:
            graph: canonical.
            numbers: numbers of the images in the calibration set, in order.
            advance: called with each number of images done.

        Raises:
            InvalidInputError: a part that failed; NaN in images or activations.
        """
        ...

    def states(
        self, graph: Graph, rescaling: Rescaling, numbers: np.ndarray, batch: int
    ) -> Iterator[Mapping[str, RangeState]]:
        """States of the observed activations after each batch alone, in the order of the batches.

        Args:
            graph: canonical, before it is rescaled.
            rescaling: how it is rescaled; the activations are those of the rescaled graph.
            numbers: numbers of the images in the calibration set, in order.
            batch: images per batch.

        Raises:
            InvalidInputError: a part that failed; NaN in images or activations.
        """
        ...


@dataclass(frozen=True)
class Parts:
    """Images that a runner runs the float network on.

    Attributes:
        runner: what runs them.
        numbers: their numbers in the runner's calibration set, in order.
        batch: images per batch where all of them are observed.
    """

    runner: PartRunner
    numbers: np.ndarray
    batch: int

    def of(self, numbers: np.ndarray) -> Parts:
        """Some of the images; batches are those of ``CalibrationImages.of``."""
        if len(numbers) == len(self.numbers):
            return self
        return replace(self, numbers=self.numbers[numbers], batch=BATCH)

    def extremes(
        self, graph: Graph, advance: Callable[[int], None]
    ) -> Iterator[Mapping[str, Extremes]]:
        """As ``PartRunner.extremes``."""
        return self.runner.extremes(graph, self.numbers, advance)

    def states(self, graph: Graph, rescaling: Rescaling) -> Iterator[Mapping[str, RangeState]]:
        """As ``PartRunner.states``."""
        return self.runner.states(graph, rescaling, self.numbers, self.batch)
