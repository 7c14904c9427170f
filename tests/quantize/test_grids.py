"""Weights that are multiples of a step already: the step is found, and the integers are kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from network.graph import Graph
from network.operators import OpKind
from network.run_tensorflow import run
from quantize.engine import make_plan, settled
from quantize.grids import LEVELS, common_step, on_grid, row_steps
from quantize.plans.plan import PlannedNetwork
from quantize.plans.simulate import simulated
from quantize.rounding.layer_settings import LayerSettings
from quantize.rounding.rows import Rows
from quantize.rounding.scales import OnGrid, best_rounding
from quantize.rounding.second_order import Layer, neighbours
from quantize.settings import Granularity, Optimization, PlanSettings, WeightRange
from tests.network.graphs import bottlenecks, calibration, images, sqnr_db, unbalanced


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(9, 400), st.floats(-6, 3), st.integers(0, 120))
def test_the_step_of_float32_multiples_is_found(
    seed: int, inputs: int, power: float, offset: int
) -> None:
    rng = np.random.default_rng(seed)
    multiples = rng.integers(-LEVELS + offset, offset, size=(3, inputs))
    steps = np.float32(10**power) * rng.uniform(0.5, 2, 3).astype(np.float32)
    rows = steps[:, None] * multiples.astype(np.float32)
    found = row_steps(rows)
    assert found is not None
    whole = rows / found[:, None]
    assert np.abs(whole - np.rint(whole)).max() < 1e-3
    # Multiples of a multiple have the larger step.
    divisors = np.gcd.reduce(multiples, axis=1)
    assert found == pytest.approx(steps * divisors, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(9, 400))
def test_weights_of_training_have_none(seed: int, inputs: int) -> None:
    weight = np.random.default_rng(seed).normal(size=(40, inputs)).astype(np.float32)
    assert row_steps(weight) is None
    assert common_step(weight) is None


def test_rows_of_zeros_have_none_of_their_own() -> None:
    rows = np.array([[0.0, 0.0, 0.0], [0.5, -1.5, 1.0]])
    found = row_steps(rows)
    assert found is not None
    assert found.tolist() == [0.0, 0.5]
    assert row_steps(np.zeros((2, 3))) is None
    assert common_step(np.zeros((2, 3))) is None


def test_weights_of_one_magnitude_have_none() -> None:
    assert row_steps(np.full((4, 9), 0.25) * [[1], [2], [-3], [0]]) is None
    assert common_step(np.full((4, 9), -0.25)) is None


def test_rows_with_steps_of_their_own_have_no_common_one() -> None:
    multiples = np.random.default_rng(0).integers(-127, 128, size=(2, 50))
    rows = multiples * np.array([[0.01], [0.0173]])
    assert row_steps(rows) is not None
    assert common_step(rows) is None


def in_integers(graph: Graph, limit: int) -> Graph:
    """The graph with weights as a file with one scale per weight holds them."""
    values = {}
    for op in graph.weighted:
        weight = graph.weight(op)
        step = np.float32(np.abs(weight).max() / limit)
        values[op.inputs[1]] = (np.rint(weight / step) * step).astype(np.float32)
    return graph.with_values(values)


@pytest.mark.parametrize("granularity", list(Granularity))
@pytest.mark.parametrize("weight_range", list(WeightRange))
def test_a_weight_on_its_steps_is_rounded_without_loss(
    granularity: Granularity, weight_range: WeightRange
) -> None:
    graph = bottlenecks(0)
    op = next(op for op in graph.weighted if op.kind == OpKind.CONV)
    rows = Rows.of(op, graph)
    rng = np.random.default_rng(0)
    shape = rows.to_rows(graph.weight(op)).shape
    weight = rng.integers(-60, 61, shape) * 0.0123  # no pair of them saturates
    mixing = rng.normal(size=(shape[1], shape[1]))
    pairs = neighbours(rows.shape) if weight_range is WeightRange.SATURATION_SAFE else None
    asked = LayerSettings(granularity, weight_range)
    layers = [(slice(None), Layer(weight, mixing @ mixing.T, pairs))]
    grid = OnGrid.of(op, weight, pairs, asked)
    scale, integers = best_rounding(op, weight, layers, asked, grid)
    assert integers * scale[:, None] == pytest.approx(weight, rel=1e-6)
    assert np.abs(integers).max() > (50 if pairs is not None else 100)


def test_steps_are_kept_where_they_cost_less_than_a_second_rounding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And channels that reach unequally far are equalized, which costs the steps."""
    asked = PlanSettings(granularity=Granularity.PER_TENSOR, optimization=Optimization.FAST)
    fresh = images(32, seed=9)

    def quality(graph: Graph, *, knows_steps: bool) -> float:
        monkeypatch.setattr("quantize.engine.on_grid", on_grid if knows_steps else lambda *_: ())
        plan = make_plan(graph, calibration(32), None, asked)
        planned = PlannedNetwork(plan.network(graph), plan)
        return sqnr_db(run(graph, fresh), simulated(planned, fresh))

    coarse = in_integers(unbalanced(bottlenecks(2), 2), 7)
    assert quality(coarse, knows_steps=True) > quality(coarse, knows_steps=False) + 2
    fine = in_integers(unbalanced(bottlenecks(1), 1), 127)
    assert quality(fine, knows_steps=True) == quality(fine, knows_steps=False)


def test_channels_of_such_weights_are_not_scaled() -> None:
    graph = in_integers(bottlenecks(0), 127)
    asked = PlanSettings(granularity=Granularity.PER_TENSOR, optimization=Optimization.FAST)
    scaled = settled(graph, calibration(32), None, asked, keeps_steps=True).graph
    assert on_grid(scaled) == {op.name for op in graph.weighted}
    scaled = settled(graph, calibration(32), None, asked, keeps_steps=False).graph
    assert on_grid(scaled) != {op.name for op in graph.weighted}
