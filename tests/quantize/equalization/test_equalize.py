"""Equalization: the function stays, and channels reach alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from network.operators import Fused
from network.run_tensorflow import run
from quantize.engine import settled
from quantize.equalization.equalize import equalized, evened
from quantize.equalization.relu6 import BOUND, HELD_SHARE
from quantize.ranges.extremes import extremes
from quantize.ranges.float_pass import CalibrationImages, float_pass
from quantize.settings import Granularity, Optimization, PlanSettings
from tests.network.graphs import (
    Builder,
    batched,
    bottlenecks,
    calibration,
    images,
    unbalanced,
)

FAST = PlanSettings(optimization=Optimization.FAST)


@pytest.mark.parametrize("fused", [Fused.RELU6, Fused.RELU])
@pytest.mark.parametrize("seed", [0, 1])
def test_equalization_leaves_the_function_as_it_is(seed: int, fused: Fused) -> None:
    graph = unbalanced(bottlenecks(seed, fused=fused), seed)
    scaled = settled(graph, calibration(), None, FAST).graph
    fresh = images(64, seed=5)  # not those that the factors come from
    before, after = run(graph, fresh), run(scaled, fresh)
    assert any(not np.array_equal(graph.weight(op), scaled.weight(op)) for op in graph.weighted)
    assert np.abs(before - after).max() <= 2e-5 * np.abs(before).max()


def test_equalization_evens_out_a_residual_stream() -> None:
    graph = unbalanced(bottlenecks(3), 3)
    spread = {}
    for name, network in (
        ("before", graph),
        ("after", settled(graph, calibration(), None, FAST).graph),
    ):
        spans = next(extremes(network, [images(32)]))
        reach = np.max([spans[n].reach for n in spans if n.startswith(("add", "project"))], axis=0)
        spread[name] = reach.max() / reach.min()
    assert spread["before"] > 8
    assert spread["after"] < 2


def test_equalization_evens_out_what_channels_usually_reach() -> None:
    graph, pictures = unbalanced(bottlenecks(3), 3), images(32)
    pictures[0] *= 1.5
    given = CalibrationImages(32, batched(pictures))
    seen = float_pass(graph, given, 4, 10**9)
    scaled, spans = equalized(graph, seen.spans, Granularity.PER_CHANNEL, seen.typical)
    fresh = images(64, seed=5)
    before, after = run(graph, fresh), run(scaled, fresh)
    assert np.abs(before - after).max() <= 2e-5 * np.abs(before).max()
    again = float_pass(scaled, given, 4, 10**9)
    for name in ("project_0", "project_1", "add_1"):
        np.testing.assert_allclose(spans[name].reach, again.spans[name].reach, rtol=1e-3, atol=1e-4)
    usual = [s.reach for n, s in again.typical.items() if n.startswith(("project", "add"))]
    rare = [s.reach for n, s in again.spans.items() if n.startswith(("project", "add"))]
    evenness = [np.max(reaches, axis=0) for reaches in (usual, rare)]
    assert evenness[0].max() / evenness[0].min() < 1.01
    assert evenness[1].max() / evenness[1].min() > 1.03


def test_channels_behind_relu6_come_near_their_bound_and_no_further() -> None:
    graph = unbalanced(bottlenecks(2, fused=Fused.RELU6), 2)
    op = next(op for op in graph.weighted if op.fused is Fused.RELU6)
    reader = graph.readers[op.name][0].inputs[1]  # weights that ask for larger activations
    graph = graph.with_values({reader: graph.value(reader) * 1000})
    before = next(extremes(graph, [images(32)]))
    scaled, spans = equalized(graph, before, Granularity.PER_TENSOR)
    bounded = [op.name for op in graph.weighted if op.fused is Fused.RELU6]
    high = np.concatenate([before[name].high for name in bounded])
    after = np.concatenate([spans[name].high for name in bounded])
    near = HELD_SHARE * BOUND
    grown = after > 1.001 * high
    assert grown.any()
    assert after[grown].max() <= near * 1.001
    assert after[grown].max() > 0.9 * near
    np.testing.assert_array_equal(after[high >= near], high[high >= near])
    fresh = images(64, seed=5)
    exact, found = run(graph, fresh), run(scaled, fresh)
    assert np.abs(exact - found).max() <= 0.02 * np.abs(exact).max()


def test_uneven_streams_alone_are_evened() -> None:
    even, fresh = bottlenecks(3), images(64, seed=5)
    seen = float_pass(even, calibration(), 4, 10**9)
    same = evened(even, seen.spans, seen.typical)
    assert all(np.array_equal(even.weight(op), same.weight(op)) for op in even.weighted)
    graph = unbalanced(even, 3, most=1000.0)
    seen = float_pass(graph, calibration(), 4, 10**9)
    scaled = evened(graph, seen.spans, seen.typical)
    before, after = run(graph, fresh), run(scaled, fresh)
    assert np.abs(before - after).max() <= 2e-5 * np.abs(before).max()
    spans = next(extremes(scaled, [images(32)]))
    reach = np.max([spans[n].reach for n in spans if n.startswith(("add", "project"))], axis=0)
    assert reach.max() / reach.min() < 2
    kept = evened(graph, seen.spans, seen.typical, {op.name for op in graph.weighted})
    assert all(np.array_equal(graph.weight(op), kept.weight(op)) for op in graph.weighted)


def test_a_dense_unit_that_hardly_answers_leaves_the_others_their_integers() -> None:
    b = Builder(np.random.default_rng(3))
    hidden = b.dense("hidden", b.mean("mean", b.conv("conv", "image", 8)), 16)
    relu = {**b.ops[-1].options, "fusedActivationFunction": list(Fused).index(Fused.RELU)}
    b.ops[-1] = replace(b.ops[-1], options=relu)
    b.dense("scores", hidden, 4)
    graph = b.graph()
    spans = next(extremes(graph, [images(32)]))
    high = spans["hidden"].high.copy()
    high[0] *= 1e-4
    spans = {**spans, "hidden": replace(spans["hidden"], high=high)}
    scaled, _ = equalized(graph, spans, Granularity.PER_CHANNEL)
    largest = np.abs(scaled.weight(scaled.producers["hidden"])).max(axis=1)  # [units]
    assert largest[0] < 2 * np.median(largest)
    fresh = images(8, seed=5)
    np.testing.assert_allclose(run(scaled, fresh), run(graph, fresh), rtol=1e-4, atol=1e-5)
