"""Operators without an integer form stay in float32: in plans and in both formats."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import network.operators
from calibration_data.preprocessing import Crop, Preprocessing
from evaluation.parity.compare import compare_files
from evaluation.parity.integer_steps import tflite_steps
from export.bundles.target import BundleRequest, ship_targets
from export.onnx.check import FloatNames, check_graph
from export.onnx.graph import to_model
from export.onnx.operators import WRITERS
from export.onnx.render import computed_in_float
from export.onnx.render import render as render_onnx
from export.onnx.runtime import run_model
from export.target import ArtifactCard, export_targets
from export.tflite.check import check_file
from export.tflite.metadata import finish
from export.tflite.render import render as render_tflite
from foundation.errors import UnsupportedError
from network.graph import Graph, Tensor
from network.integer_forms import measured, obstacle, without_integer_form
from network.multiply_adds import operations, shares
from network.operators import Fused, OpKind
from network.run_tensorflow import run
from quantize.engine import make_plan
from quantize.islands import (
    check_examples,
    check_runs,
    check_share,
    check_trainable,
    islands,
    note,
    with_islands,
)
from quantize.plans.check import check_fits
from quantize.plans.plan import PlannedNetwork
from quantize.plans.simulate import simulated
from quantize.recipes import recipe
from quantize.settings import IoType, Layout, Optimization, PlanSettings
from tests.export.tflite.tflite_cases import predict
from tests.network.graphs import Builder, bottlenecks, calibration, images, sqnr_db


def waves() -> Graph:
    """A sine between convolutions."""
    b = Builder(np.random.default_rng(1))
    image = b.conv("stem", "image", 8, kernel=3)
    wave = b.op("SIN", "wave", (image,), (1, 8, 8, 8))
    b.dense("scores", b.mean("pool", b.conv("next", wave, 6)), 4)
    return b.graph()


def chosen() -> Graph:
    """Comparisons and choices: an activation of another type, which an island holds."""
    b = Builder(np.random.default_rng(2))
    image = b.conv("stem", "image", 8, kernel=3)
    bound = b.constant("bound", np.array(0.1, np.float32))
    b.op("GREATER", "is_large", (image, bound), (1, 8, 8, 8), "GreaterOptions")
    b.tensors["is_large"] = Tensor("is_large", (1, 8, 8, 8), dtype="bool")
    half = b.op("SIN", "half", (image,), (1, 8, 8, 8))
    picked = b.op("SELECT", "picked", ("is_large", image, half), (1, 8, 8, 8), "SelectOptions")
    b.dense("scores", b.mean("pool", b.conv("next", picked, 6)), 4)
    return b.graph()


def sorted_scores() -> Graph:
    """The largest four of sixteen numbers; nothing reads their places."""
    b = Builder(np.random.default_rng(3))
    pool = b.mean("pool", b.conv("stem", "image", 16, kernel=3, fused=Fused.RELU))
    count = b.constant("count", np.array(4, np.int32))
    b.op("TOPK_V2", "top", (pool, count), (1, 4), "TopKV2Options")
    places = b.ops.pop()
    b.tensors["places"] = Tensor("places", (1, 4), dtype="int32")
    b.ops.append(type(places)(places.kind, places.inputs, ("top", "places"), {}, "TopKV2Options"))
    b.dense("scores", "top", 4)
    return b.graph()


def without_a_batch_axis() -> Graph:
    """A vector whose batch is gone for two operators."""
    b = Builder(np.random.default_rng(4))
    pool = b.mean("pool", b.conv("stem", "image", 16, kernel=3))
    flat = b.constant("flat.shape", np.array([16], np.int32))
    whole = b.constant("whole.shape", np.array([1, 16], np.int32))
    vector = b.op(OpKind.RESHAPE, "flat", (pool, flat), (16,), "ReshapeOptions")
    wave = b.op("SIN", "wave", (vector,), (16,))
    row = b.op(OpKind.RESHAPE, "row", (wave, whole), (1, 16), "ReshapeOptions")
    b.dense("scores", row, 4)
    return b.graph()


GRAPHS = {
    "a sine": waves,
    "a choice": chosen,
    "the largest": sorted_scores,
    "no batch axis": without_a_batch_axis,
}


def planned(graph: Graph, **settings: object) -> PlannedNetwork:
    floats = tuple(without_integer_form(graph))
    asked = PlanSettings(optimization=Optimization.FAST, float_ops=floats, **settings)  # type: ignore[arg-type]
    plan = make_plan(graph, calibration(), None, asked)
    check_fits(plan, graph)
    return PlannedNetwork(plan.network(graph), plan)


def written(network: PlannedNetwork, folder: Path) -> tuple[Path, Path]:
    """Both files of a plan, with cards."""
    contract = Preprocessing(size=(8, 8), crop=Crop.PAD)
    paths = folder / "a.tflite", folder / "a.onnx"
    for path, name in zip(paths, ("tflite-int8", "onnx-int8"), strict=True):
        asked = with_islands(recipe(name), network.graph)
        card = ArtifactCard(contract, asked)
        if name == "tflite-int8":
            content = render_tflite(network.graph, network.plan, IoType.INT8)
            path.write_bytes(finish(content, card))
            continue
        model = to_model(render_onnx(network.graph, network.plan, Layout.NHWC))
        model.metadata_props.add(key="edgequant", value=json.dumps(card.to_dict()))
        path.write_bytes(model.SerializeToString(deterministic=True))
    return paths


@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
def test_both_files_compute_what_the_plan_says(make: type, tmp_path: Path) -> None:
    graph = make()
    network, pictures = planned(graph), images(6, seed=8)
    expected = simulated(network, pictures)
    assert sqnr_db(run(graph, pictures), expected) > 14
    tflite, onnx = written(network, tmp_path)
    floats = network.plan.settings.float_ops
    kinds = Counter(
        ("bool" if op.kind == "SELECT" else "float32", str(op.kind))
        for op in graph.ops
        if op.name in floats
    )
    check_file(tflite, recipe("tflite-int8"), kinds)
    assert sqnr_db(expected, predict(tflite, pictures)) > 25
    written_in_onnx = render_onnx(network.graph, network.plan, Layout.NHWC)
    names = FloatNames(frozenset(floats))
    assert check_graph(written_in_onnx, recipe("onnx-int8"), names) is None
    assert sqnr_db(expected, run_model(to_model(written_in_onnx), pictures, Layout.NHWC)) > 25
    parity = compare_files(tflite, onnx)
    assert parity.same, parity.differences
    assert {step.name for step in tflite_steps(tflite)}.isdisjoint(floats)


@pytest.mark.parametrize("kind", [OpKind.ADD, OpKind.DEPTHWISE_CONV, OpKind.MEAN])
def test_a_kind_that_loses_its_row_is_an_island_of_equal_integers_around_it(
    kind: OpKind, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delitem(network.operators.TRAITS, kind)
    graph = bottlenecks(0)
    names = [op.name for op in graph.ops if op.kind == kind]
    assert list(without_integer_form(graph)) == names
    planned_network, pictures = planned(graph), images(6, seed=8)
    expected = simulated(planned_network, pictures)
    assert sqnr_db(run(graph, pictures), expected) > 14
    tflite, onnx = written(planned_network, tmp_path)
    assert sqnr_db(expected, predict(tflite, pictures)) > 25
    assert compare_files(tflite, onnx).same
    assert not set(names).intersection(n.split(".")[0] for n in planned_network.plan.constants)


@pytest.mark.parametrize("level", [Optimization.DEFAULT, Optimization.BEST])
def test_every_effort_plans_around_islands(level: Optimization) -> None:
    graph = chosen()
    floats = tuple(without_integer_form(graph))
    asked = PlanSettings(optimization=level, float_ops=floats)
    plan = make_plan(graph, calibration(), None, asked)
    network = PlannedNetwork(plan.network(graph), plan)
    pictures = images(6, seed=8)
    assert sqnr_db(run(graph, pictures), simulated(network, pictures)) > 14
    assert "is_large" not in plan.activations
    assert "half" not in plan.activations  # between two float operators


def test_a_plan_without_the_islands_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="SIN, which gives wave"):
        make_plan(waves(), calibration(), None, PlanSettings(optimization=Optimization.FAST))


def test_the_plan_names_its_islands() -> None:
    (sentence,) = note(islands(waves()))
    assert sentence in planned(waves()).plan.notes
    assert "SIN wave" in sentence
    assert "no int8 kernel" in sentence
    assert note(()) == ()


def test_reasons() -> None:
    graph = chosen()
    reasons = {op.name: obstacle(graph, op) for op in graph.ops}
    assert reasons["is_large"] == reasons["half"] == "no int8 kernel"
    assert reasons["stem"] == reasons["pool"] == reasons["scores"] == ""
    b = Builder(np.random.default_rng(0))
    zeros = b.constant("zeros", np.zeros((1, 8, 8, 3), np.float32))
    axis = {"axis": 3}
    b.op(
        OpKind.CONCATENATION, "both", ("image", zeros), (1, 8, 8, 6), "ConcatenationOptions", **axis
    )
    b.op(OpKind.RELU, "zero", (zeros,), (1, 8, 8, 3))
    b.op(OpKind.PAD, "padded", ("both", "image"), (1, 9, 9, 6))
    b.op(OpKind.DENSE, "scores", ("padded", "both", ""), (1, 4))
    odd = b.graph()
    assert [obstacle(odd, op) for op in odd.ops] == [
        "", "a stored operand", "computed sizes or places", "a computed weight",
    ]  # fmt: skip


def test_only_what_integers_touch_is_measured() -> None:
    graph = chosen()
    assert "half" not in measured(graph)
    assert {"stem", "picked"} <= set(measured(graph))
    plain = bottlenecks(0)
    assert measured(plain) == plain.activations


def test_an_infinite_value_inside_an_island_is_no_fault() -> None:
    """1 / 0 is infinite, and 1 / (1 / 0) = 0."""
    b = Builder(np.random.default_rng(5))
    image = b.conv("stem", "image", 8, kernel=3, fused=Fused.RELU)
    one = b.constant("one", np.array(1, np.float32))
    inverse = b.op("DIV", "inverse", (one, image), (1, 8, 8, 8), "DivOptions")
    back = b.op("DIV", "back", (one, inverse), (1, 8, 8, 8), "DivOptions")
    b.dense("scores", b.mean("pool", b.conv("next", back, 6)), 4)
    network, pictures = planned(b.graph()), images(4, seed=8)
    assert sqnr_db(run(b.graph(), pictures), simulated(network, pictures)) > 20


def test_shares_count_products_and_numbers() -> None:
    graph = waves()
    counts = {op.name: operations(graph, op) for op in graph.ops}
    assert counts["stem"] == 64 * 8 * 27
    assert counts["wave"] == 64 * 8
    assert counts["next"] == 64 * 6 * 8
    assert counts["pool"] == 64 * 6
    assert counts["scores"] == 6 * 4
    assert shares(graph, ["wave"]) == {"wave": 512 / sum(counts.values())}


def test_a_transposed_convolution_multiplies_each_number_it_reads() -> None:
    b = Builder(np.random.default_rng(0))
    weight = b.constant("up.weight", np.zeros((5, 3, 3, 3), np.float32))
    bias = b.constant("up.bias", np.zeros(5, np.float32))
    sizes = b.constant("up.sizes", np.array([1, 16, 16, 5], np.int32))
    b.op(OpKind.TRANSPOSE_CONV, "scores", ("image", weight, bias, sizes), (1, 16, 16, 5))
    graph = b.graph()
    assert operations(graph, graph.ops[0]) == 64 * 3 * 9 * 5


def test_random_numbers_are_refused() -> None:
    b = Builder(np.random.default_rng(1))
    sizes = b.constant("sizes", np.array([3], np.int32))
    noise = b.op("RANDOM_UNIFORM", "noise", (sizes,), (3,), "RandomOptions")
    b.op(OpKind.ADD, "scores", ("image", noise), (1, 8, 8, 3), "AddOptions")
    with pytest.raises(UnsupportedError, match="by chance"):
        check_runs(b.graph())
    assert check_runs(chosen()) is None


def test_a_number_of_the_whole_batch_is_refused() -> None:
    b = Builder(np.random.default_rng(1))
    axes = b.constant("axes", np.arange(4, dtype=np.int32))
    whole = b.op(OpKind.MEAN, "whole", ("image", axes), (), "ReducerOptions", keepDims=False)
    b.op(OpKind.MUL, "scores", ("image", whole), (1, 8, 8, 3), "MulOptions")
    with pytest.raises(UnsupportedError, match="MEAN, which gives whole, one number for the whole"):
        check_examples(b.graph())
    assert check_examples(waves()) is None


def test_the_guide_of_ethos_u_names_what_is_in_float(tmp_path: Path) -> None:
    tflite, _ = written(planned(waves()), tmp_path)
    contract = Preprocessing(size=(8, 8), crop=Crop.PAD)
    request = BundleRequest(
        name="waves", contract=contract, contracts={}, files={"int8": tflite}, vectors={},
        pixels=np.zeros((0, 8, 8, 3), np.uint8),
    )  # fmt: skip
    guide = ship_targets()["ethos-u"].guide(request, tmp_path, {})
    assert "In float32, so on the CPU whatever the configuration: 1 SIN." in guide


def test_too_large_a_share_is_refused_with_the_list() -> None:
    found = islands(waves())
    assert check_share(found, 0.05, (), "tflite-int8") is None
    with pytest.raises(UnsupportedError, match=r"SIN wave .*give --max-float-share 0\.03"):
        check_share(found, 0.01, (), "tflite-int8")
    assert check_share(found, 0.0, ("wave",), "tflite-int8") is None  # the user named it


def test_training_through_an_island_is_refused() -> None:
    asked = recipe("tflite-int8")
    assert check_trainable(waves(), asked) is None
    with pytest.raises(UnsupportedError, match="gradient"):
        check_trainable(waves(), asked.with_effort(Optimization.QAT))
    assert check_trainable(bottlenecks(0), asked.with_effort(Optimization.QAT)) is None


def test_an_onnx_file_holds_what_the_plan_has_in_integers_in_float(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A kind without an integer writer there; one plan serves both files."""
    monkeypatch.delitem(WRITERS, OpKind.MEAN)  # type: ignore[arg-type]
    b = Builder(np.random.default_rng(2))
    image = b.conv("stem", "image", 8, kernel=3)
    axes = b.constant("mean.axes", np.array([3], np.int32))
    mean = b.op(OpKind.MEAN, "mean", (image, axes), (1, 8, 8, 1), "ReducerOptions", keepDims=True)
    b.dense("scores", b.mean("pool", b.conv("next", mean, 6)), 4)
    graph = b.graph()
    assert without_integer_form(graph) == {}
    assert computed_in_float(graph, Layout.NHWC) == ("mean", "pool")
    network, pictures = planned(graph), images(6, seed=8)
    model = to_model(render_onnx(network.graph, network.plan, Layout.NHWC))
    expected = simulated(network, pictures)
    assert sqnr_db(expected, run_model(model, pictures, Layout.NHWC)) > 25


def test_targets_say_what_they_compute_in_float() -> None:
    for target in export_targets().values():
        if target.in_float is not None:
            assert target.in_float(bottlenecks(0), recipe(f"{target.name}-int8")) == {}
