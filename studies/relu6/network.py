"""A trained network of the study, in every form that the measurements need."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from network.from_keras import from_keras
from network.graph import Graph
from quantize.ranges.observers import RangeState
from studies.relu6 import checkpoints
from studies.relu6.data import Images
from studies.relu6.networks import Variant
from studies.relu6.simulated import Simulator, observed, scores

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Network:
    """A network, its float answers and its calibration.

    Attributes:
        variant: kind and seed of the network.
        model: Keras model.
        graph: canonical graph.
        images: images that it is measured on.
        scores: scores of the float network on the test images, ``[n, classes]``.
        states: histogram and range of every activation on the calibration images.
    """

    variant: Variant
    model: keras.Model = field(repr=False)
    graph: Graph = field(repr=False)
    images: Images = field(repr=False)
    scores: np.ndarray = field(repr=False)
    states: dict[str, RangeState] = field(repr=False)

    @cached_property
    def simulator(self) -> Simulator:
        """What runs the network's operators with any weights and grids."""
        return Simulator(self.graph)


def open_network(variant: Variant, folder: Path, images: Images) -> Network:
    """Load a checkpoint and run it once on calibration and test images.

    Raises:
        InvalidInputError: no checkpoint of that network in the folder.
    """
    model = checkpoints.load(variant.spec(), folder, variant.name)
    graph = from_keras(model, images.contract)
    return Network(
        variant,
        model,
        graph,
        images,
        scores(graph, images.test, None),
        observed(graph, images.calibration),
    )
