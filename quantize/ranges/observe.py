"""A float pass that observes activations in histograms, for ranges other than every value's.

Ranges are read after equalization, from the graph that is quantized. Shards of the images can be
observed apart: ``joined`` of their states is what one pass over all images gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from network.graph import Graph
from network.run_tensorflow import run
from quantize.ranges.activations import Range
from quantize.ranges.observers import RangeObserver, RangeState, known_range
from quantize.recipes import RangeMethod

SAMPLE = 2**18
"""Values of an activation that one batch adds to its histogram, at most."""


def observed_names(graph: Graph) -> tuple[str, ...]:
    """Activations whose range images must tell.

    The image's is the contract's, and that of ReLU6 and the like is known.
    """
    return tuple(
        name
        for name in graph.activations
        if name != graph.input and known_range(graph.producers[name].fused) is None
    )


def observe(
    graph: Graph, batches: Iterable[np.ndarray], sample: int | None = SAMPLE
) -> dict[str, RangeState]:
    """Run the float graph over images and observe its activations.

    Args:
        graph: canonical, equalized.
        batches: float32 ``[batch, height, width, 3]``; of one shard, or all.
        sample: see ``RangeObserver``; None makes states independent of how images are batched.

    Returns:
        States by activation, of ``observed_names``.

    Raises:
        InvalidInputError: no image, or an activation with NaN or infinity; names it.
    """
    observers = {name: RangeObserver(name, sample=sample) for name in observed_names(graph)}

    def seen(name: str, value: Any) -> Any:
        if name in observers:
            observers[name].update(np.asarray(value))
        return value

    for images in batches:
        run(graph, images, seen)
    return {name: observer.state for name, observer in observers.items()}


def joined(
    first: Mapping[str, RangeState], second: Mapping[str, RangeState]
) -> dict[str, RangeState]:
    """The states of two shards of a set of images as those of the whole.

    Raises:
        InvalidInputError: shards of different networks.
    """
    return {name: state.merged(second[name]) for name, state in first.items()}


def observed_ranges(
    graph: Graph, batches: Iterable[np.ndarray], method: RangeMethod
) -> dict[str, Range]:
    """Ranges of the observed activations, read by a method; see ``observe``."""
    states = observe(graph, batches)
    return {name: Range(*state.range(method)) for name, state in states.items()}
