"""Channels rescaled, centred and reordered, as the extremes of the activations ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from network.graph import Graph
from quantize.equalization.equalize import equalized
from quantize.equalization.pairing import paired
from quantize.grids import on_grid
from quantize.ranges.extremes import Extremes
from quantize.settings import Granularity, WeightRange


@dataclass(frozen=True)
class Rescaling:
    """All that the rescaled graph depends on, beside the graph.

    Attributes:
        spans: extremes over all images, by activation.
        typical: mean of the extremes of some images at a time; None where it is not asked for.
        beyond: extremes that hardly any other image exceeds.
        granularity: number of scales of a weight.
        weight_range: integers that the weights use.
        keeps_steps: whether weights that are whole multiples of a step stay so, unscaled.
    """

    spans: Mapping[str, Extremes] = field(repr=False)
    typical: Mapping[str, Extremes] | None = field(repr=False)
    beyond: Mapping[str, Extremes] = field(repr=False)
    granularity: Granularity
    weight_range: WeightRange
    keeps_steps: bool = False

    def of(self, graph: Graph) -> tuple[Graph, dict[str, Extremes]]:
        """Rescaled graph, and the extremes of its activations.

        Args:
            graph: canonical.
        """
        kept = on_grid(graph) if self.keeps_steps else frozenset()
        scaled, spans = equalized(
            graph, self.spans, self.granularity, self.typical, self.beyond, kept
        )
        if self.weight_range is WeightRange.SATURATION_SAFE:
            scaled, spans = paired(scaled, spans)
        return scaled, spans
