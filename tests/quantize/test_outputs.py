"""Networks with several outputs in the engine: what is followed, and what stays at the ends."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from network.graph import Graph
from network.operators import Fused, OpKind
from network.run_tensorflow import run_outputs, schedule
from quantize.engine import make_plan, settled
from quantize.equalization.equalize import streams
from quantize.objective import mean_noise, squared_error, weights
from quantize.plans.plan import PlannedNetwork, digest
from quantize.plans.simulate import simulated_outputs
from quantize.plans.widening import wide_activations
from quantize.qat.training import QatSettings, trained_plan
from quantize.sensitivity.mixed_precision import Noise, growing
from quantize.sensitivity.ranking import LabelledImages, sensitivity
from quantize.settings import Optimization, PlanSettings
from tests.network.graphs import Builder, calibration, images, sqnr_db

JUDGED = images(12, seed=7)


def two_ends(large: float = 1.0) -> Graph:
    """Boxes whose values are ``large``, and scores; the boxes are read on."""
    b = Builder(np.random.default_rng(4))
    stem = b.conv("stem", b.conv("first", "image", 8, kernel=3, fused=Fused.RELU6), 6)
    b.conv("other", stem, 5)
    boxes = b.conv("boxes", stem, 4)
    b.dense("scores", b.mean("pool", b.conv("last", boxes, 8, fused=Fused.RELU)), 4)
    graph = b.graph("boxes", "scores")
    names = graph.producers["boxes"].inputs[1:3]
    return graph.with_values({name: graph.value(name) * np.float32(large) for name in names})


def outputs_db(planned: PlannedNetwork) -> list[float]:
    exact = run_outputs(planned.graph, JUDGED)
    found = simulated_outputs(planned, JUDGED)
    return [sqnr_db(a, b) for a, b in zip(exact, found, strict=True)]


@pytest.mark.parametrize("effort", [Optimization.FAST, Optimization.BEST])
def test_every_output_of_a_plan_is_near_that_of_the_float_network(effort: Optimization) -> None:
    graph = two_ends()
    plan = make_plan(graph, calibration(), None, PlanSettings(optimization=effort))
    assert min(outputs_db(PlannedNetwork(plan.network(graph), plan))) > 25


def test_outputs_are_kept_until_the_end_and_never_rescaled() -> None:
    graph = two_ends()
    assert not {"boxes", "scores"} & {name for _, spent in schedule(graph) for name in spent}
    assert not {"boxes", "scores"} & {name for s in streams(graph) for name in s.names}
    params = settled(graph, calibration(), None, PlanSettings()).params
    wide = wide_activations(graph, params, tuple(op.name for op in graph.ops))
    assert {wide[name].dtype.value for name in graph.outputs} == {"int8"}


def test_each_output_counts_relative_to_its_own_energy() -> None:
    small, large = np.array([1.0, -1.0]), np.array([100.0, 0.0])
    assert weights([large]) == (1.0,)
    factors = weights([small, large])
    assert squared_error([small, large], [small * 1.1, large], factors) == pytest.approx(0.01)
    assert squared_error([small, large], [small, large * 1.1], factors) == pytest.approx(0.01)
    assert mean_noise([2.0, 1e4], [0.02, 0.0]) == pytest.approx(0.005)


def test_a_plan_knows_the_outputs_that_it_was_made_for() -> None:
    graph = two_ends()
    orders = [("boxes", "scores"), ("scores", "boxes"), ("scores",), ("scores", "other")]
    digests = {digest(replace(graph, outputs=outputs)) for outputs in orders}
    assert len(digests) == len(orders)


def test_a_graph_has_outputs_and_each_once() -> None:
    for outputs in ((), ("scores", "scores")):
        with pytest.raises(ValueError, match="outputs"):
            replace(two_ends(), outputs=outputs)


def test_sensitivity_shows_the_noise_of_each_output() -> None:
    graph = two_ends(large=1000.0)
    settings = PlanSettings(optimization=Optimization.FAST)
    decided = settled(graph, calibration(), None, settings)
    judged = LabelledImages(len(JUDGED), lambda: [(JUDGED, None)])
    found = sensitivity(decided, settings, judged)
    for row in found.layers:
        for effect in (row.weights, row.activations):
            if effect is not None:
                assert effect.noise == pytest.approx(np.mean(list(effect.outputs.values())))
                stated = json.loads(json.dumps(effect.to_dict()))["outputs_sqnr_db"]
                assert list(stated) == ["boxes", "scores"]
    rows = {row.name: row for row in found.layers}
    assert rows["last"].weights is not None
    assert rows["last"].weights.outputs["boxes"] == 0  # computed before it
    assert rows["last"].weights.noise > 0
    sets = list(growing(graph, Noise.of(found), frozenset()))
    assert sets
    single = replace(decided, graph=replace(decided.graph, outputs=("scores",)))
    (first, *_) = sensitivity(single, settings, judged).layers
    assert first.activations is None or "outputs_sqnr_db" not in first.activations.to_dict()


@pytest.mark.slow
def test_training_follows_every_output() -> None:
    graph = two_ends(large=50.0)
    plan = make_plan(graph, calibration(), None, PlanSettings())
    settings = QatSettings(epochs=2, learning_rate=1e-3, batch=8)
    trained = trained_plan(graph, plan, calibration(), settings)
    noises = trained.story["qat"]["held_out_sqnr_db"]
    assert len(noises) == 3
    assert noises[0] == pytest.approx(np.mean(outputs_db(PlannedNetwork(graph, plan))), abs=6)
    assert trained.activations == plan.activations
    assert graph.producers["scores"].kind == OpKind.DENSE
