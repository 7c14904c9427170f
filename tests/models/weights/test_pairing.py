"""Layers of one shape: told apart by their neighbours, their place, or not at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from calibration_data.preprocessing import Crop, Preprocessing
from edgequant.loading import stored_layers
from models.blocks import Stage
from models.spec import ModelSpec, model_spec
from models.weights.by_shape import assign_by_shape
from models.weights.pairing import Place, partners
from network.from_keras import from_keras
from tests.models.networks import randomize


def test_heads_are_known_by_the_layers_that_read_them() -> None:
    ours = [Place("stem"), Place("deep", (0,)), Place("deep", (0,)), Place("boxes", (1,)),
            Place("scores", (2,))]  # fmt: skip
    theirs = [Place("scores", (3,)), Place("boxes", (4,)), Place("stem"), Place("deep", (2,)),
              Place("deep", (2,))]  # fmt: skip
    assert partners(ours, theirs) == [2, 4, 3, 1, 0]


def test_layers_are_known_by_what_is_read_two_layers_before() -> None:
    def chain(first: str, second: str, at: int) -> list[Place]:
        return [Place(first), Place("a", (at,)), Place("b", (at + 1,)), Place(second),
                Place("a", (at + 3,)), Place("b", (at + 4,))]  # fmt: skip

    assert partners(chain("x", "y", 0), chain("y", "x", 0)) == [3, 4, 5, 0, 1, 2]


def test_branches_of_equal_structure_are_known_by_the_order_of_their_sites() -> None:
    ours = [Place("stem"), Place("branch", (0,), (1, 1)), Place("branch", (0,), (1089, 1)),
            Place("atrous", (0,), (1089, 12)), Place("atrous", (0,), (1089, 6))]  # fmt: skip
    theirs = [Place("branch", (4,), (289, 1)), Place("branch", (4,), (1, 1)),
              Place("atrous", (4,), (289, 2)), Place("atrous", (4,), (289, 4)),
              Place("stem")]  # fmt: skip
    assert partners(ours, theirs) == [4, 1, 0, 3, 2]


def test_equal_branches_of_one_site_have_no_partners() -> None:
    places = [Place("stem"), Place("branch", (0,)), Place("branch", (0,))]
    assert partners(places, places) == [0, None, None]


def _rebuilt(spec: ModelSpec) -> float:
    """Largest relative difference of outputs after a trip through the canonical graph."""
    source, model = spec.build(spec), spec.build(spec)
    randomize(source, 3)
    assign_by_shape(model, stored_layers(from_keras(source, spec.preprocessing)))
    shape = (1, *spec.input_shape)
    image = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    theirs, ours = np.asarray(source(image)), np.asarray(model(image))
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def _small_deeplab(name: str) -> ModelSpec:
    spec = model_spec(name)
    contract = Preprocessing(size=(65, 65), crop=Crop.STRETCH)
    stages = (Stage(1, 8, 1, 1), Stage(2, 8, 2, 2), Stage(2, 8, 1, 2), Stage(2, 8, 1, 2),
              Stage(2, 16, 2, 2))  # fmt: skip
    return replace(spec, stages=stages, preprocessing=contract, classes=3,
                   details=replace(spec.details, filters=8))  # fmt: skip


def test_a_deeplab_is_found_in_its_graph_with_its_image_level_and_pyramid() -> None:
    assert _rebuilt(_small_deeplab("deeplab_v3_mobilenet_v2")) < 1e-4
    assert _rebuilt(_small_deeplab("deeplab_v3_mobilenet_v2_aspp")) < 1e-4
