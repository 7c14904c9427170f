"""Networks of the study: shipped checkpoints, and changes of their graphs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration_data.preprocessing import Crop, Preprocessing
from foundation.errors import InvalidInputError
from network.graph import Graph
from network.operators import Fused
from network.run_tensorflow import run
from quantize.plans.plan import PlannedNetwork
from quantize.plans.simulate import simulated
from quantize.settings import Granularity
from studies.relu6 import checkpoints
from studies.relu6.breaking import Scope, capped, free_streams, with_outliers, with_spread
from studies.relu6.files import plain_plan, planned_scores
from studies.relu6.layers import Ranges, Role, best_percentile, grids, ranges_of, roles
from studies.relu6.networks import ACTIVATIONS, KINDS, SEEDS, TUNED, variants
from studies.relu6.simulated import Simulator, observed, rounding, scores, with_rounded_weights
from tests.network import graphs

CONTRACT = Preprocessing(size=(graphs.SIDE, graphs.SIDE), crop=Crop.PAD)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return graphs.bottlenecks(0, fused=Fused.RELU)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.clip(graphs.images(48), -1, 1)


def test_every_network_has_a_checkpoint_and_a_card() -> None:
    for variant in variants():
        card = checkpoints.card(checkpoints.shipped(), variant.name)
        path = checkpoints.path_of(checkpoints.shipped(), variant.name)
        assert path.stat().st_size < 2**20
        assert card["activation"] == variant.kind.activation.value
        assert card["recipe"]["seed"] == variant.seed
        assert card["development_top1_percent"] > 80


def test_names_of_networks_are_unique() -> None:
    names = [variant.name for variant in variants()]
    assert len(set(names)) == len(names) == len(KINDS) * len(SEEDS)
    assert {kind.activation.value for kind in ACTIVATIONS} == {kind.name for kind in ACTIVATIONS}


def test_a_tuned_network_begins_as_one_that_is_trained_before_it() -> None:
    order = variants()
    tuned = [variant for variant in order if variant.kind in TUNED]
    assert tuned
    for variant in tuned:
        origin = variant.origin
        assert origin is not None
        assert order.index(origin) < order.index(variant)
        assert checkpoints.card(checkpoints.shipped(), variant.name)["began_as"] == origin.name


@pytest.mark.parametrize("scope", list(Scope))
def test_rescaled_channels_leave_the_float_network_as_it_is(
    graph: Graph, pictures: np.ndarray, scope: Scope
) -> None:
    assert free_streams(graph, scope)
    exact = run(graph, pictures)
    for broken in (with_outliers(graph, scope, 64.0, 1), with_spread(graph, scope, 2.0, 1)):
        assert run(broken, pictures) == pytest.approx(exact, abs=1e-5)
        assert any((broken.weight(op) != graph.weight(op)).any() for op in graph.weighted)


def test_behind_relu6_no_channel_is_free() -> None:
    bounded = graphs.bottlenecks(0, fused=Fused.RELU6)
    role = roles(bounded)
    for stream in free_streams(bounded, Scope.ALL):
        assert all(role[name] is Role.LINEAR for name in stream.names)


def test_outliers_cost_int8_what_they_do_not_cost_float(graph: Graph, pictures: np.ndarray) -> None:
    exact = run(graph, pictures)

    def loss(network: Graph) -> float:
        found = ranges_of(network, observed(network, pictures))
        chosen = grids(network, found, 8, CONTRACT)
        rounded = with_rounded_weights(network, Granularity.PER_CHANNEL)
        return float(np.square(scores(rounded, pictures, rounding(chosen)) - exact).sum())

    assert loss(with_outliers(graph, Scope.ALL, 256.0, 1)) > 4 * loss(graph)


@pytest.mark.parametrize("granularity", list(Granularity))
def test_the_simulation_is_that_of_the_engine_and_of_the_file(
    graph: Graph, pictures: np.ndarray, granularity: Granularity
) -> None:
    chosen = grids(graph, ranges_of(graph, observed(graph, pictures)), 8, CONTRACT)
    plan = plain_plan(graph, chosen, granularity)
    rounded = with_rounded_weights(graph, granularity)
    ours = Simulator(graph).scores(rounded, pictures, chosen)
    step = chosen[graph.output].scale
    assert ours == pytest.approx(scores(rounded, pictures, rounding(chosen)), abs=1e-6)
    theirs = simulated(PlannedNetwork(graph, plan), pictures)
    assert np.abs(ours - theirs).max() <= 2.01 * step  # biases are integers there
    real, info = planned_scores(graph, plan, pictures)
    assert info.runtime.startswith("litert")
    assert np.abs(ours - real).max() <= 4.01 * step


def test_a_simulator_runs_any_weights_of_its_network(graph: Graph, pictures: np.ndarray) -> None:
    simulator = Simulator(graph)
    for scope in Scope:
        other = with_outliers(graph, scope, 256.0, 1)
        chosen = grids(other, ranges_of(other, observed(other, pictures)), 8, CONTRACT)
        exact = scores(other, pictures, rounding(chosen))
        assert np.array_equal(simulator.scores(other, pictures, chosen), exact)
    assert (simulator.scores(graph, pictures, chosen) != exact).any()


def test_ranges_follow_their_method(pictures: np.ndarray) -> None:
    bounded = graphs.bottlenecks(0, fused=Fused.RELU6)
    states = observed(bounded, pictures)
    name = next(op.name for op in bounded.ops if op.fused is Fused.RELU6)
    assert ranges_of(bounded, states, Ranges.FIXED)[name] == (0.0, 6.0)
    low, high = ranges_of(bounded, states)[name]
    assert low == 0
    assert high == pytest.approx(float(states[name].high.max()))
    cut = ranges_of(bounded, states, Ranges.PERCENTILE, 98.0)[name]
    assert cut[1] < high
    assert best_percentile(bounded, states, 8, CONTRACT) >= best_percentile(
        bounded, states, 4, CONTRACT
    )
    wide = {**ranges_of(bounded, states), name: (0.0, 90.0)}
    assert capped(bounded, wide)[name] == (0.0, 6.0)


def test_a_checkpoint_is_read_back_or_refused(tmp_path: Path) -> None:
    variant = variants()[0]
    spec = replace(variant.spec(), alpha=0.05)
    model = spec.build(spec)
    path = checkpoints.save(model, {"seed": 1}, tmp_path, "small")
    again = checkpoints.load(spec, tmp_path, "small")
    for before, after in zip(model.get_weights(), again.get_weights(), strict=True):
        assert after == pytest.approx(before, rel=1e-3, abs=1e-6)
    assert checkpoints.card(tmp_path, "small") == {"seed": 1}
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InvalidInputError, match="has a checkpoint; received"):
        checkpoints.load(spec, tmp_path, "small")
    with pytest.raises(InvalidInputError, match="RETRAIN=1"):
        checkpoints.load(spec, tmp_path, "none")
