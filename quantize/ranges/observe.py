"""A float pass that observes activations in histograms, for ranges other than the extremes.

Ranges are measured after equalization, on the graph that is quantized. Shards of the images can be
observed separately: ``RangeState.merged`` of their states is what one pass over all images gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from network.graph import Graph
from network.integer_forms import measured
from network.run_tensorflow import run
from quantize.ranges.activations import Range
from quantize.ranges.observers import RangeObserver, RangeState, known_range
from quantize.settings import RangeMethod

SAMPLE = 2**18
"""Largest number of values that one batch of an activation adds to its histogram."""


def observed_names(graph: Graph) -> tuple[str, ...]:
    """Names of the activations whose range depends on calibration images.

    The range of the image is that of its contract; the range behind ReLU6 is known.
    """
    return tuple(
        name
        for name in measured(graph)
        if name != graph.input and known_range(graph.producers[name].fused) is None
    )


def observe(
    graph: Graph, batches: Iterable[np.ndarray], sample: int | None = SAMPLE
) -> dict[str, RangeState]:
    """Run the float graph over images and observe its activations.

    Args:
        graph: canonical, equalized.
        batches: float32 ``[batch, height, width, 3]``, of one shard or of all images.
        sample: largest number of values that a batch adds to a histogram; None for all, which makes
            states independent of how images are batched.

    Returns:
        States by name, for the activations of ``observed_names``.

    Raises:
        InvalidInputError: no image, or an activation with NaN or infinity; names it.
    """
    observers = {name: RangeObserver(name, sample=sample) for name in observed_names(graph)}

    def observed(name: str, value: Any) -> Any:
        if name in observers:
            observers[name].update(np.asarray(value))
        return value

    for images in batches:
        run(graph, images, observed)
    return {name: observer.state for name, observer in observers.items()}


def merged(states: Iterable[Mapping[str, RangeState]]) -> dict[str, RangeState]:
    """States of all images, from those of the batches in their order."""
    whole: dict[str, RangeState] = {}
    for batch in states:
        whole = {n: whole[n].merged(state) if n in whole else state for n, state in batch.items()}
    return whole


def chosen_ranges(states: Mapping[str, RangeState], method: RangeMethod) -> dict[str, Range]:
    """Ranges of the observed activations, chosen by a method."""
    return {name: Range(*state.range(method)) for name, state in states.items()}
