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
from export.tflite.render import render
from foundation.errors import UnsupportedError
from network.run_tensorflow import run
from network.tflite.reader import read_flat_model
from quantize.plans.plan import PlannedNetwork
from quantize.plans.simulate import simulated
from quantize.plans.widening import widened
from quantize.recipes import IoType, Layout, PlanSettings, recipe
from tests.network.graphs import bottlenecks, images, planned, sqnr_db

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


def test_onnx_files_take_none() -> None:
    network = widened(planned(), REGIONS["one"])
    with pytest.raises(UnsupportedError, match="depthwise_1"):
        render_onnx(network.graph, network.plan, Layout.NHWC)
    with pytest.raises(UnsupportedError, match="onnx-int8"):
        replace(recipe("onnx-int8"), settings=PlanSettings(wide_ops=("depthwise_1",)))
