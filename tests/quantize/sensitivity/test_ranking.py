"""Sensitivity of single layers, against a run of the whole changed network."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from foundation.errors import InvalidInputError
from network.operators import Fused, OpKind
from network.run_tensorflow import dequantized, quantized, run
from quantize.engine import make_plan, settled
from quantize.plans.plan import PlannedNetwork
from quantize.plans.simulate import float_share, simulated
from quantize.ranges.float_pass import CalibrationImages
from quantize.sensitivity.changes import WEIGHTS, solved_alone
from quantize.sensitivity.mixed_precision import Noise, growing
from quantize.sensitivity.ranking import INPUT_KIND, LabelledImages, sensitivity
from quantize.settings import Optimization, PlanSettings
from tests.network.graphs import Builder, batched, bottlenecks, calibration, images, sliced, sqnr_db

REQUEST = PlanSettings(optimization=Optimization.FAST)
JUDGED = images(20, seed=7)


def labelled(labels: np.ndarray | None) -> LabelledImages:
    def batches():
        for start in (0, 12):
            part = slice(start, start + 12)
            yield JUDGED[part], None if labels is None else labels[part]

    return LabelledImages(20, batches)


def test_every_effect_is_that_of_the_whole_network_run_anew() -> None:
    graph = bottlenecks(5)
    decided = settled(graph, calibration(), None, REQUEST)
    found = sensitivity(decided, REQUEST, labelled(None))
    exact = run(decided.graph, JUDGED)
    solved = solved_alone(decided, REQUEST)
    assert {row.name for row in found.layers} == set(graph.activations)
    for row in found.layers:

        def seen(name: str, value: Any, chosen: str = row.name) -> Any:
            params = decided.params[name]
            return dequantized(quantized(value, params), params) if name == chosen else value

        assert row.activations is not None
        assert row.activations.sqnr_db == pytest.approx(
            sqnr_db(exact, run(decided.graph, JUDGED, seen)), abs=0.01
        )
        op = graph.producers.get(row.name)
        assert (row.weights is not None) == (op is not None and op.is_weighted)
        if row.weights is not None and op is not None:
            layer = solved[row.name]
            changed = decided.graph.with_values(
                {op.inputs[1]: layer.weight.to_float(), op.inputs[2]: layer.bias.to_float()}
            )
            scores = run(changed, JUDGED)
            assert row.weights.sqnr_db == pytest.approx(sqnr_db(exact, scores), abs=0.01)
            same = (scores.argmax(axis=1) == exact.argmax(axis=1)).mean()
            assert row.weights.agreement == pytest.approx(100 * same)
            assert row.weights.drop == pytest.approx(100 - 100 * same)
    noises = [row.noise for row in found.layers]
    assert noises == sorted(noises, reverse=True)


def test_clipping_is_told_from_rounding() -> None:
    """Ranges from dim images cut what bright ones reach; those of the images themselves do not."""
    graph = bottlenecks(5, fused=Fused.NONE)
    dim = CalibrationImages(16, batched(0.3 * images(16)))
    wide = CalibrationImages(20, batched(JUDGED))
    cut, held = (
        sensitivity(settled(graph, given, None, REQUEST), REQUEST, labelled(None))
        for given in (dim, wide)
    )
    assert max(row.clipped for row in held.layers) < 0.1
    assert min(row.clipped for row in cut.layers if row.activations) > 0.9
    stem = next(row for row in cut.layers if row.name == graph.ops[0].name)
    assert stem.clipping is not None
    low, high = settled(graph, dim, None, REQUEST).params[stem.name].real_range
    decided = settled(graph, dim, None, REQUEST).graph

    def seen(name: str, value: Any) -> Any:
        return np.clip(value, low, high) if name == stem.name else value

    exact = run(decided, JUDGED)
    assert stem.clipping.sqnr_db == pytest.approx(
        sqnr_db(exact, run(decided, JUDGED, seen)), abs=0.01
    )


def test_parts_that_are_not_asked_for_are_not_measured() -> None:
    decided = settled(bottlenecks(5), calibration(), None, REQUEST)
    found = sensitivity(decided, REQUEST, labelled(None), parts=frozenset({WEIGHTS}))
    assert all(row.activations is None and row.clipping is None for row in found.layers)
    assert any(row.weights is not None for row in found.layers)


def test_drop_is_counted_against_the_labels() -> None:
    graph = bottlenecks(5)
    decided = settled(graph, calibration(), None, REQUEST)
    right = run(decided.graph, JUDGED).argmax(axis=1)
    wrong = (right + 1) % 4
    assert sensitivity(decided, REQUEST, labelled(right)).top1 == 100
    found = sensitivity(decided, REQUEST, labelled(wrong))
    assert found.top1 == 0
    assert all(row.activations is None or row.activations.drop <= 0 for row in found.layers)


def test_a_bad_layer_comes_first_and_goes_to_float_first() -> None:
    """One large weight, whose input is always 0, makes the scale of its layer too coarse."""
    graph = bottlenecks(6)
    weight = graph.value("project_2.weight").copy()
    weight[:, :, :, 0] = 300.0
    silent = graph.value("depthwise_2.bias").copy()
    silent[0] = -50.0
    bad = graph.with_values({"project_2.weight": weight, "depthwise_2.bias": silent})
    decided = settled(bad, calibration(), None, REQUEST)
    found = sensitivity(decided, REQUEST, labelled(None))
    assert found.layers[0].name == "project_2"
    order = list(growing(decided.graph, Noise.of(found), frozenset()))
    assert order[0] == {"project_2"}
    plan = make_plan(bad, calibration(), None, REQUEST)
    before = PlannedNetwork(plan.network(bad), plan)
    mixed = make_plan(bad, calibration(), None, replace(REQUEST, float_ops=tuple(order[0])))
    after = PlannedNetwork(mixed.network(bad), mixed)
    exact = run(bad, JUDGED)
    gain = sqnr_db(exact, simulated(after, JUDGED)) - sqnr_db(exact, simulated(before, JUDGED))
    assert gain > 6


def test_image_and_moving_operators() -> None:
    b = Builder(np.random.default_rng(0))
    conv = b.conv("conv", "image", 4)
    pool = b.op(
        OpKind.MAX_POOL, "pool", (conv,), (1, 4, 4, 4), "Pool2DOptions",
        padding=0, strideH=2, strideW=2, filterHeight=2, filterWidth=2,
    )  # fmt: skip
    b.dense("scores", b.mean("mean", pool), 4)
    decided = settled(b.graph(), calibration(), None, REQUEST)
    rows = {r.name: r for r in sensitivity(decided, REQUEST, labelled(None)).layers}
    assert "pool" not in rows  # its integers are those of its input
    assert rows["image"].kind == INPUT_KIND
    assert rows["conv"].multiply_adds == 8 * 8 * 3 * 4
    assert rows["scores"].multiply_adds == 16
    assert float_share(b.graph(), ["scores"]) == pytest.approx(16 / (16 + 768))


def test_operators_that_move_numbers_are_charged_nothing_and_share_one_scale() -> None:
    b = Builder(np.random.default_rng(0))
    first, second = b.conv("first", "image", 4), b.conv("second", "image", 2)
    joined = b.op(
        OpKind.CONCATENATION, "joined", (first, second), (1, 8, 8, 6), "ConcatenationOptions",
        axis=3, fusedActivationFunction=0,
    )  # fmt: skip
    widths = b.constant("widths", np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
    padded = b.op(OpKind.PAD, "padded", (joined, widths), (1, 10, 10, 6), "PadOptions")
    cut = sliced(b, "cut", padded, (0, 1, 2, 0), (1, 9, 9, 6))
    b.dense("scores", b.mean("mean", cut), 4)
    decided = settled(b.graph(), calibration(), None, REQUEST)
    moving = [op for op in b.graph().ops if op.traits.moves]
    assert [op.name for op in moving] == ["joined", "padded", "cut"]
    rows = {row.name for row in sensitivity(decided, REQUEST, labelled(None)).layers}
    assert rows == {"image", "first", "second", "mean", "scores"}
    for op in moving:  # otherwise there would be noise to charge
        given = [decided.params[n] for n in op.inputs if not b.graph().is_constant(n)]
        assert given == [decided.params[op.name]] * len(given)


def test_no_image_to_judge_on_is_refused() -> None:
    decided = settled(bottlenecks(0), calibration(), None, REQUEST)
    with pytest.raises(InvalidInputError, match="an empty set"):
        sensitivity(decided, REQUEST, LabelledImages(0, lambda: iter(())))


def test_sets_grow_by_the_most_noise_an_operator_until_nothing_is_gained() -> None:
    graph = bottlenecks(0, blocks=1)
    weights = {op.name: 1e-6 for op in graph.weighted} | {"expand_1": 1e-3}
    activations = dict.fromkeys(graph.activations, 0.0) | {"depthwise_1": 1e-2, "scores": 9.0}
    sets = list(growing(graph, Noise(weights, activations), frozenset({"last"})))
    # depthwise_1 is rounded unless both it and project_1, its reader, are in float.
    assert sets[0] == {"last", "depthwise_1", "project_1"}
    assert sets[1] == {"last", "depthwise_1", "project_1", "expand_1"}
    assert all(small < large for small, large in pairwise(sets))
    assert sets[-1] == {op.name for op in graph.weighted}
