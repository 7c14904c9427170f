"""Operators in int16x8 in a .tflite: equal bits in oracle and LiteRT, and checks of the file."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.session import runtimes
from export.onnx.render import render as render_onnx
from export.tflite.check import check_file
from export.tflite.islands import left_in_float, needs_plan
from export.tflite.render import render
from foundation.errors import UnsupportedError
from network.graph import Graph, Op
from network.operators import Fused, OpKind
from network.run_tensorflow import run
from network.tflite.reader import read_flat_model
from quantize.engine import make_plan
from quantize.islands import NO_INT16
from quantize.plans.blank import blank_plan
from quantize.plans.check import check_fits
from quantize.plans.plan import PlannedNetwork, QuantizationPlan
from quantize.plans.simulate import simulated
from quantize.plans.widening import UNIT_STEP, whole_settings, widened
from quantize.recipes import recipe
from quantize.settings import IoType, Layout, Optimization, PlanSettings
from tests.network.graphs import Builder, bottlenecks, calibration, images, planned, sqnr_db

ALL = tuple(op.name for op in bottlenecks(0).ops)
REGIONS = {
    "one": ("depthwise_1",),
    "block": ("expand_1", "depthwise_1", "project_1"),
    "stream": ("project_0", "project_1", "add_1", "expand_2"),
    "end": ("last", "pool", "scores"),
    "all": ALL,
}


def written(network: PlannedNetwork, path: Path, io: IoType = IoType.INT8) -> Path:
    path.write_bytes(render(network.graph, network.plan, io))
    return path


@pytest.mark.parametrize("region", REGIONS)
def test_oracle_and_litert_reference_give_the_same_bits(region: str, tmp_path: Path) -> None:
    network = widened(planned(), REGIONS[region])
    path = written(network, tmp_path / "wide.tflite")
    fresh = images(16, seed=9)
    found = {
        name: runtimes()[name].open(path, 1).predict(fresh)
        for name in ("oracle", "litert-reference", "litert-plain", "litert-xnnpack")
    }
    assert np.array_equal(found["oracle"], found["litert-reference"])
    exact = run(network.graph, fresh)
    expected = sqnr_db(exact, simulated(network, fresh))
    for name, scores in found.items():  # kernels round sums each in their way
        assert sqnr_db(exact, scores) > expected - 2, name


def test_types_versions_and_options_of_the_written_operators(tmp_path: Path) -> None:
    from ai_edge_litert.tools import flatbuffer_utils

    path = written(widened(planned(), REGIONS["stream"]), tmp_path / "wide.tflite")
    graph = read_flat_model(path).subgraphs[0]
    computed = Counter((graph.compute(op), op.name) for op in graph.operators)
    assert computed["int16", "CONV_2D"] == 3
    assert computed["int16", "ADD"] == 1
    assert computed["int16", "QUANTIZE"] == 2  # stem and depthwise_1, read by wide operators
    assert computed["int8", "QUANTIZE"] == 3  # project_0, add_1 and expand_2, read by others
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(path.read_bytes()))
    codes = [model.operatorCodes[op.opcodeIndex] for op in model.subgraphs[0].operators]
    versions = {
        (op.name, graph.compute(op)): code.version
        for op, code in zip(graph.operators, codes, strict=True)
    }
    assert versions["CONV_2D", "int16"] == 4
    assert versions["ADD", "int16"] == 3
    assert versions["CONV_2D", "int8"] == 3
    for op, plain in zip(model.subgraphs[0].operators, graph.operators, strict=True):
        if (plain.name, graph.compute(plain)) == ("ADD", "int16"):
            assert not op.builtinOptions.potScaleInt16
        if plain.name == "CONV_2D":
            bias = graph.tensors[plain.inputs[2]]
            assert bias.dtype == ("int64" if graph.compute(plain) == "int16" else "int32")


@pytest.mark.parametrize("io", list(IoType))
def test_ends_keep_their_type(io: IoType, tmp_path: Path) -> None:
    path = written(widened(planned(), ALL), tmp_path / "wide.tflite", io)
    graph = read_flat_model(path).subgraphs[0]
    assert [graph.tensors[i].dtype for i in (*graph.inputs, *graph.outputs)] == [io.value] * 2
    scores = runtimes()["litert-plain"].open(path, 1).predict(images(4, seed=9))
    assert sqnr_db(run(bottlenecks(0), images(4, seed=9)), scores) > 30


def test_float_and_int16_in_one_file(tmp_path: Path) -> None:
    network = widened(planned(("project_1",)), ("expand_1", "last", "pool"))
    path = written(network, tmp_path / "mixed.tflite")
    graph = read_flat_model(path).subgraphs[0]
    kinds = Counter(graph.compute(op) for op in graph.operators)
    assert {"float32", "int16", "int8"} <= kinds.keys()
    fresh = images(16, seed=9)
    reference = runtimes()["litert-reference"].open(path, 1).predict(fresh)
    assert sqnr_db(run(bottlenecks(0), fresh), reference) > 30


def test_the_written_file_is_checked_for_what_the_plan_says(tmp_path: Path) -> None:
    path = written(widened(planned(), REGIONS["end"]), tmp_path / "wide.tflite")
    kinds = {("int16", name): 1 for name in ("CONV_2D", "MEAN", "FULLY_CONNECTED")}
    chosen = recipe("tflite-int8")
    check_file(path, chosen, kinds)
    with pytest.raises(UnsupportedError, match="int16"):
        check_file(path, chosen)
    with pytest.raises(UnsupportedError, match="where the plan has 1 CONV_2D in int16"):
        check_file(path, chosen, {("int16", "CONV_2D"): 1})


def whole_graph() -> Graph:
    """A network with a stored factor."""
    b = Builder(np.random.default_rng(3))
    stem = b.conv("stem", "image", 8, kernel=3, stride=2, fused=Fused.RELU6)
    factor = b.constant("factor", np.linspace(0.2, 3, 8, dtype=np.float32))
    deep = b.depthwise("depthwise", stem)
    b.op(OpKind.MUL, "scaled", (deep, factor), b.tensors[deep].shape, "MulOptions")
    b.dense("scores", b.mean("pool", "scaled"), 4)
    return b.graph()


def whole() -> PlannedNetwork:
    """That network, all of it in int16x8."""
    graph = whole_graph()
    settings = whole_settings(graph, PlanSettings(optimization=Optimization.FAST))
    plan = make_plan(graph, calibration(), None, settings)
    return PlannedNetwork(plan.network(graph), plan)


def test_a_whole_file_in_int16_has_no_int8_activation(tmp_path: Path) -> None:
    network = whole()
    assert network.plan.settings.float_ops == ()
    assert {p.dtype.value for p in network.plan.activations.values()} == {"int16"}
    assert network.plan.constants["factor"].integers.dtype == np.int16
    check_fits(network.plan, network.graph)
    path = written(network, tmp_path / "whole.tflite", IoType.FLOAT32)
    check_file(path, recipe("tflite-int16x8"))
    assert {t.dtype for t in read_flat_model(path).subgraphs[0].tensors} == {
        "float32", "int16", "int8", "int32", "int64",
    }  # fmt: skip
    fresh = images(16, seed=9)
    found = {
        name: runtimes()[name].open(path, 1).predict(fresh)
        for name in ("oracle", "litert-reference", "litert-xnnpack")
    }
    assert np.array_equal(found["oracle"], found["litert-reference"])
    exact = run(network.graph, fresh)
    assert min(sqnr_db(exact, scores) for scores in found.values()) > 40
    network.plan.save(tmp_path / "whole.plan")
    assert QuantizationPlan.load(tmp_path / "whole.plan").settings == network.plan.settings
    blank = render(network.graph, blank_plan(network.graph, network.plan.settings), IoType.FLOAT32)
    assert len(blank) == pytest.approx(path.stat().st_size, rel=0.02)


def test_what_has_no_int16_form_stays_in_float() -> None:
    b = Builder(np.random.default_rng(3))
    stem = b.conv("stem", "image", 8, kernel=3, stride=2)
    b.op(OpKind.EXP, "power", (stem,), b.tensors[stem].shape, "ExpOptions")
    b.dense("scores", b.mean("pool", "power"), 4)
    graph = b.graph()
    settings = whole_settings(graph, PlanSettings(optimization=Optimization.QAT))
    assert settings.float_ops == ("power",)
    assert settings.optimization is Optimization.BEST  # training ends in int8
    asked = recipe("tflite-int16x8")
    assert left_in_float(graph, replace(asked, settings=settings)) == {"power": NO_INT16}
    assert left_in_float(graph, asked) == {}  # the converter has an int16 EXP
    assert not needs_plan(graph, graph, asked)
    odd = replace(graph, ops=(*graph.ops, Op("SQUARED_DIFFERENCE", ("power", "power"), ("zero",))))
    assert needs_plan(graph, odd, asked)
    assert needs_plan(graph, replace(graph, ops=(*graph.ops, Op("NEG", ("power",), ("n",)))), asked)
    assert not needs_plan(graph, odd, asked.with_effort(Optimization.CONVERTER))
    assert not needs_plan(graph, odd, recipe("tflite-int8"))
    assert needs_plan(whole_graph(), whole_graph(), asked)  # all of it has an int16 form


def test_functions_of_fixed_scales_are_int16_in_a_whole_file(tmp_path: Path) -> None:
    """The runtimes' own kernels are asked; the oracle does not know these."""
    b = Builder(np.random.default_rng(3))
    stem = b.conv("stem", "image", 8, kernel=3, stride=2)
    shape = b.tensors[stem].shape
    b.op(OpKind.LOGISTIC, "gate", (stem,), shape)
    b.op(OpKind.MUL, "swish", (stem, "gate"), shape, "MulOptions")
    b.op(OpKind.GELU, "gelu", ("swish",), shape, "GeluOptions", approximate=False)
    b.op(OpKind.TANH, "tanh", ("gelu",), shape)
    b.op(OpKind.RELU, "relu", ("tanh",), shape)
    b.op(OpKind.RELU6, "relu6", ("relu",), shape)
    b.dense("scores", b.mean("pool", "relu6"), 4)
    b.op(OpKind.SOFTMAX, "classes", ("scores",), b.tensors["scores"].shape, "SoftmaxOptions",
         beta=1.0)  # fmt: skip
    graph = b.graph()
    settings = whole_settings(graph, PlanSettings(optimization=Optimization.FAST))
    assert settings.float_ops == ()
    assert needs_plan(graph, graph, recipe("tflite-int16x8"))
    plan = make_plan(graph, calibration(), None, settings)
    for name in ("gate", "tanh", "classes"):
        assert (plan.activations[name].scale, plan.activations[name].zero_point) == (
            (UNIT_STEP,), (0,),
        )  # fmt: skip
    network = PlannedNetwork(plan.network(graph), plan)
    path = written(network, tmp_path / "whole.tflite", IoType.FLOAT32)
    check_file(path, recipe("tflite-int16x8"))
    fresh = images(16, seed=9)
    for name in ("litert-reference", "litert-xnnpack"):
        assert sqnr_db(run(graph, fresh), runtimes()[name].open(path, 1).predict(fresh)) > 40


def test_onnx_files_take_none() -> None:
    network = widened(planned(), REGIONS["one"])
    with pytest.raises(UnsupportedError, match="depthwise_1"):
        render_onnx(network.graph, network.plan, Layout.NHWC)
    with pytest.raises(UnsupportedError, match="onnx-int8"):
        replace(recipe("onnx-int8"), settings=PlanSettings(wide_ops=("depthwise_1",)))
