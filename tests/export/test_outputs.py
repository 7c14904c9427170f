"""Networks with several outputs, or outputs of other shapes, in every recipe."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.parity.compare import compare_files
from evaluation.parity.runs import compare_outputs, on_the_grid, walk_litert, walk_onnx
from evaluation.session import runtime_for, runtimes
from export.target import ExportRequest, export_targets
from export.tflite.metadata import with_metadata
from foundation.ends import output_names
from models.loading.saved_model import load_saved_model
from network.from_keras import from_keras
from network.run_tensorflow import run_outputs
from quantize.engine import make_plan
from quantize.plans.plan import PlannedNetwork
from quantize.ranges.float_pass import CalibrationImages
from quantize.recipes import RECIPES, Recipe, recipe
from quantize.settings import IoType, Layout, PlanSettings, Precision
from tests.export.output_networks import CONTRACT, NETWORKS, answers, calibration, pictures
from tests.network.graphs import sqnr_db

LEAST_DB = {
    Precision.INT8: 18.0, Precision.INT4: 6.0, Precision.INT16X8: 30.0, Precision.DYNAMIC: 25.0,
}  # fmt: skip


@cache
def model_of(name: str) -> Any:
    return NETWORKS[name][0]()


@cache
def planned(name: str, settings: PlanSettings) -> PlannedNetwork:
    graph = from_keras(model_of(name), CONTRACT)
    images = CalibrationImages(len(pictures()), calibration)
    plan = make_plan(graph, images, CONTRACT, settings)
    return PlannedNetwork(plan.network(graph), plan)


def written(name: str, of: Recipe, folder: Path) -> Path:
    """File of a network in a recipe."""
    target = export_targets()[of.target]
    path = folder / f"{name}{target.suffix}"
    plan = planned(name, of.settings) if of.planned else None
    target.write(ExportRequest(model_of(name), of, CONTRACT, calibration, planned=plan), path)
    return path


networks = pytest.mark.parametrize("name", NETWORKS)


@networks
def test_the_canonical_graph_has_the_outputs_in_order(name: str) -> None:
    graph = planned(name, recipe("tflite-int8").settings).graph
    expected = answers(model_of(name), pictures())
    assert graph.outputs == NETWORKS[name][1]
    for found, wanted in zip(run_outputs(graph, pictures()), expected, strict=True):
        assert found.shape == wanted.shape
        assert sqnr_db(wanted, found) > 90


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in ("embedding", "mask")])
@pytest.mark.parametrize("of", RECIPES, ids=lambda of: of.name)
def test_every_recipe_writes_every_output(name: str, of: Recipe, tmp_path: Path) -> None:
    path = written(name, of, tmp_path)
    session = runtime_for(path).open(path, 1)
    outputs = session.run(pictures())
    assert session.outputs == NETWORKS[name][1]
    least = LEAST_DB.get(of.precision, 40.0)
    for found, wanted in zip(outputs, answers(model_of(name), pictures()), strict=True):
        assert found.shape == wanted.shape
        assert sqnr_db(wanted, found) > least


@networks
def test_both_int8_files_have_equal_integers_in_every_output(name: str, tmp_path: Path) -> None:
    tflite = written(name, recipe("tflite-int8"), tmp_path)
    onnx = written(name, recipe("onnx-int8"), tmp_path)
    integers = compare_files(tflite, onnx)
    assert integers.same
    images = on_the_grid(tflite, pictures(3))
    rows = compare_outputs(tflite, onnx, images)
    names = NETWORKS[name][1]
    assert [row.output for row in rows] == list(names if len(names) > 1 else ("",)) * 4
    for row in rows:
        assert row.distance.largest <= (0 if row.info.runtime == "oracle" else 2), row
    assert walk_litert(tflite, images).first is None
    assert walk_onnx(tflite, onnx, integers.pairs, images).rows


@networks
@pytest.mark.parametrize("io", [IoType.FLOAT32, IoType.INT8, IoType.UINT8])
def test_the_signature_gives_the_numbers_of_the_interpreter(
    name: str, io: IoType, tmp_path: Path
) -> None:
    _check_signature(written(name, recipe("tflite-int8").with_io(io), tmp_path), NETWORKS[name][1])


@pytest.mark.parametrize("of", ["tflite-float32", "tflite-float16", "tflite-int16x8"])
def test_the_converters_files_have_the_signature(of: str, tmp_path: Path) -> None:
    for name in ("detector", "sigmoid"):
        _check_signature(written(name, recipe(of), tmp_path), NETWORKS[name][1])


def _check_signature(path: Path, names: tuple[str, ...]) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    assert interpreter.get_signature_list() == {
        "serving_default": {"inputs": ["image"], "outputs": sorted(names)}
    }
    source, sinks = interpreter.get_input_details()[0], interpreter.get_output_details()
    image = pictures(1)
    if source["dtype"] != np.float32:
        image = (image * 100).astype(source["dtype"])
    interpreter.set_tensor(source["index"], image)
    interpreter.invoke()
    by_index = [interpreter.get_tensor(sink["index"]) for sink in sinks]
    by_name = interpreter.get_signature_runner("serving_default")(image=image)
    assert [sink["name"] for sink in sinks] == list(names)
    for name, wanted in zip(names, by_index, strict=True):
        assert np.array_equal(by_name[name], wanted)


@pytest.mark.parametrize("name", ["mask", "maps", "two_heads"])
@pytest.mark.parametrize("of", ["onnx-float32", "onnx-float16", "onnx-dynamic", "onnx-int8"])
def test_maps_are_channels_last_whatever_the_layout_of_the_input(
    name: str, of: str, tmp_path: Path
) -> None:
    path = written(name, replace(recipe(of), layout=Layout.NCHW), tmp_path)
    session = runtimes()["onnxruntime"].open(path, 1)
    for found, wanted in zip(
        session.run(pictures()), answers(model_of(name), pictures()), strict=True
    ):
        assert found.shape == wanted.shape
        assert sqnr_db(wanted, found) > 18


def test_each_output_has_a_scale_of_its_own() -> None:
    network = planned("two_heads", recipe("tflite-int8").settings)
    params = network.plan.activations
    assert params["classes"].scale == (1 / 256,)
    assert len({params[name].scale for name in network.graph.outputs}) == 3


def test_names_of_outputs_are_unique() -> None:
    assert output_names(["a b"]) == ("scores",)
    assert output_names(["a/b", "a b", "image", "", "a_b_1"]) == (
        "a_b", "a_b_1", "image_1", "output", "a_b_1_1",
    )  # fmt: skip


def test_metadata_for_tasks_leaves_the_signature(tmp_path: Path) -> None:
    path = written("two_heads", recipe("tflite-int8"), tmp_path)
    path.write_bytes(with_metadata(path.read_bytes(), "note", b"x" * 64))
    _check_signature(path, NETWORKS["two_heads"][1])


def test_a_saved_model_has_its_signatures_outputs_in_order(tmp_path: Path) -> None:
    """``output_10`` comes after ``output_9``, where texts in order have it before."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, 4, 4, 3), tf.float32, name="image")])
    def serve(image: Any) -> dict[str, Any]:
        mean = tf.reduce_mean(image, (1, 2))
        return {f"output_{number}": mean + float(number) for number in range(11)}

    module = tf.Module()
    module.serve = serve
    tf.saved_model.save(module, str(tmp_path / "net"), signatures={"serving_default": serve})
    model = load_saved_model(tmp_path / "net")
    assert model.output_names == [f"output_{number}" for number in range(11)]
    outputs = answers(model, np.zeros((1, 4, 4, 3), np.float32))
    assert [float(output[0, 0]) for output in outputs] == list(range(11))
