"""Files whose activations stay float numbers, with weights that the engine rounds."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from calibration_data.preprocessing import Crop, Preprocessing
from evaluation.session import runtimes
from export.onnx.check import check_graph
from export.onnx.graph import to_model
from export.onnx.target import _planned_graph
from export.target import ArtifactCard
from export.tflite.check import check_file
from export.tflite.floating import FloatingWriting
from export.tflite.metadata import finish
from network.graph import Graph
from network.operators import Fused, OpKind
from network.run_tensorflow import run
from network.tflite.canonical import graph_of, object_form
from quantize.engine import make_plan
from quantize.floating import floating_settings
from quantize.plans.check import check_fits
from quantize.plans.plan import PlannedNetwork, QuantizationPlan
from quantize.recipes import RECIPES, Recipe, recipe
from quantize.settings import FLOATING, Optimization, Precision
from tests.network.graphs import SIDE, Builder, calibration, images, rescaled, sqnr_db

RECIPES_HERE = tuple(known for known in RECIPES if known.precision in FLOATING)
LEAST_DB = {Precision.FLOAT16: 60.0, Precision.DYNAMIC: 28.0, Precision.WEIGHT_INT8: 33.0}
CONTRACT = Preprocessing((SIDE, SIDE), Crop.PAD)


@cache
def network() -> Graph:
    """Every kind of convolution, with a weight above the limit for int8 and one below."""
    b = Builder(np.random.default_rng(5))
    x = b.conv("stem", "image", 48, kernel=3, stride=2, fused=Fused.RELU6)
    x = b.depthwise("depthwise", x, fused=Fused.RELU6)
    x = b.conv("project", x, 32)
    _, rows, columns, depth = b.tensors[x].shape
    grouped = b.weights("grouped", (64, 3, 3, depth // 2), 64)
    b.op(OpKind.CONV, "grouped", (x, *grouped), (1, rows, columns, 64), "Conv2DOptions",
         padding=0, strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1,
         fusedActivationFunction=0)  # fmt: skip
    b.dense("scores", b.mean("pool", "grouped"), 40)
    return b.graph()


@cache
def planned(precision: Precision, effort: Optimization = Optimization.DEFAULT) -> PlannedNetwork:
    of = next(known for known in RECIPES_HERE if known.precision is precision)
    graph = network()
    plan = make_plan(graph, calibration(32), None, floating_settings(of.with_effort(effort)))
    return PlannedNetwork(plan.network(graph), plan)


def written(of: Recipe, folder: Path, made: PlannedNetwork | None = None) -> Path:
    made, path = made or planned(of.precision), folder / f"file.{of.target}"
    card = replace(of, settings=made.plan.settings)
    if of.target == "tflite":
        content = FloatingWriting(made.graph, made.plan).content(of.io)
        path.write_bytes(finish(content, ArtifactCard(CONTRACT, card), made.graph.outputs))
        check_file(path, card)
    else:
        graph = _planned_graph(made, of)
        check_graph(graph, of)
        path.write_bytes(to_model(graph).SerializeToString())
    return path


@pytest.mark.parametrize("of", RECIPES_HERE, ids=lambda of: of.name)
def test_every_runtime_is_near_the_float_network(of: Recipe, tmp_path: Path) -> None:
    path, fresh = written(of, tmp_path), images(16, seed=9)
    names = ("onnxruntime",) if of.target == "onnx" else ("litert-reference", "litert-xnnpack")
    for name in names:
        found = runtimes()[name].open(path, 1).predict(fresh)
        assert sqnr_db(run(network(), fresh), found) > LEAST_DB[of.precision], name


@pytest.mark.parametrize("precision", FLOATING)
def test_more_is_kept_than_by_the_nearest_numbers(precision: Precision) -> None:
    made, graph, fresh = planned(precision), network(), images(16, seed=9)
    values = {name: constant.to_float() for name, constant in made.plan.constants.items()}
    nearest = {}
    for op in graph.weighted:
        weight = graph.weight(op)
        constant = made.plan.constants.get(op.inputs[1])
        if precision is Precision.FLOAT16:
            nearest |= {n: graph.value(n).astype(np.float16).astype(np.float32)
                        for n in op.inputs[1:3]}  # fmt: skip
        elif constant is not None:
            nearest[op.inputs[1]] = constant.params.round_trip(weight)
    exact = run(graph, fresh)
    by_engine = sqnr_db(exact, run(made.graph.with_values(values), fresh))
    assert by_engine > sqnr_db(exact, run(graph.with_values(nearest), fresh)) + 2


def test_float16_files_of_both_formats_hold_the_same_numbers(tmp_path: Path) -> None:
    from onnx import load_model, numpy_helper

    made = planned(Precision.FLOAT16)
    numbers = {}
    for op in made.graph.weighted:
        for name in op.inputs[1:3]:
            value = made.graph.value(name)
            assert np.array_equal(value, value.astype(np.float16))
            numbers[name] = np.sort(value, axis=None)
    tflite = graph_of(object_form(written(recipe("tflite-float16"), tmp_path).read_bytes()))
    stored = [np.sort(t.value, axis=None) for t in tflite.tensors.values() if t.value is not None]
    model = load_model(written(recipe("onnx-float16"), tmp_path))
    halves = [np.sort(numpy_helper.to_array(t), axis=None) for t in model.graph.initializer]
    for name, wanted in numbers.items():
        assert any(np.array_equal(wanted, found) for found in stored), name
        assert any(np.array_equal(wanted, found) for found in halves), name


def linear_bottleneck() -> Graph:
    b = Builder(np.random.default_rng(7))
    x = b.conv("stem", "image", 48, kernel=3, stride=2, fused=Fused.RELU6)
    x = b.conv("project", x, 32)
    x = b.conv("expand", x, 64, fused=Fused.RELU6)
    b.dense("scores", b.mean("pool", x), 40)
    return b.graph()


@pytest.mark.parametrize(
    "of", [r for r in RECIPES_HERE if r.precision is not Precision.FLOAT16], ids=lambda r: r.name
)
def test_channels_that_reach_unequally_far_cost_next_to_nothing(of: Recipe, tmp_path: Path) -> None:
    even, fresh = linear_bottleneck(), images(16, seed=9)
    scaled = ([even.producers["project"]], even.readers["project"])
    uneven = rescaled(even, *scaled, np.geomspace(1 / 300, 1, 32))
    name = "onnxruntime" if of.target == "onnx" else "litert-xnnpack"
    kept = []
    for graph in (even, uneven):
        plan = make_plan(graph, calibration(32), None, floating_settings(of))
        path = written(of, tmp_path, PlannedNetwork(plan.network(graph), plan))
        kept.append(sqnr_db(run(even, fresh), runtimes()[name].open(path, 1).predict(fresh)))
    assert kept[1] > kept[0] - 3


def test_small_weights_stay_in_float_where_others_are_int8() -> None:
    for precision in (Precision.DYNAMIC, Precision.WEIGHT_INT8):
        plan = planned(precision).plan
        weights = {op.inputs[1] for op in network().weighted}
        assert weights - set(plan.constants) == {"depthwise.weight"}
        assert plan.activations == {}
        check_fits(plan, network())


def test_a_plan_comes_back_from_its_file(tmp_path: Path) -> None:
    plan = planned(Precision.WEIGHT_INT8).plan
    plan.save(tmp_path / "a.plan")
    again = QuantizationPlan.load(tmp_path / "a.plan")
    assert (again.settings, again.graph, again.story) == (plan.settings, plan.graph, plan.story)
    assert all(np.array_equal(again.floats[n], v) for n, v in plan.floats.items())


def test_the_converter_has_no_effort_of_its_own_for_int8_weights_alone() -> None:
    asked = recipe("tflite-weight-int8").with_effort(Optimization.CONVERTER)
    assert asked.planned
    assert floating_settings(asked).optimization is Optimization.FAST
    dynamic = recipe("tflite-dynamic").with_effort(Optimization.CONVERTER)
    assert not dynamic.planned
    assert not dynamic.takes_calibration
