"""``edgequant inspect MODEL``: one screen before anything is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration_data.preprocessing import Crop, Preprocessing
from calibration_data.task import End, OutputTask, Task, Tasks
from calibration_data.task_choice import Output
from edgequant.model_view.ends import numbers_of, output_views
from export.sizes import expected_bytes
from export.target import ExportRequest, export_targets
from models.loading.deferred import Deferred
from models.loading.request import LoadedModel, ModelOutput
from network.from_keras import converted, frozen
from network.tflite.canonical import canonical_graph
from quantize.engine import make_plan
from quantize.plans.plan import PlannedNetwork
from quantize.ranges.float_pass import CalibrationImages
from quantize.recipes import recipe
from quantize.settings import Optimization
from tests.edgequant.conftest import Run


def own_model(*, rescaled: bool = False) -> Any:
    """A network of 24x24 pixels with a sine, a layer of the training, and scores of a softmax."""
    import keras

    keras.utils.set_random_seed(3)
    image = keras.Input((24, 24, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(image) if rescaled else image
    x = keras.layers.Conv2D(64, 3, strides=2, activation="relu6", name="stem")(x)
    x = keras.ops.sin(x)
    x = keras.layers.Conv2D(48, 3, strides=2, name="next")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.2)(x)
    return keras.Model(image, keras.layers.Dense(3, activation="softmax", name="dense")(x))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without a contract that scales its pixels itself."""
    path = tmp_path_factory.mktemp("bare") / "bare.keras"
    own_model(rescaled=True).save(path)
    return path


def test_one_screen_says_what_a_model_is_and_what_to_do_next(run: Run, tiny_keras: Path) -> None:
    shown = run("inspect", tiny_keras).out
    lines = shown.splitlines()
    assert len(lines) <= 40
    assert max(len(line.rstrip()) for line in lines[:-1]) <= 100
    assert "mine: .keras file of Keras 3" in lines[0]
    assert "images of 24x24, stretch, rgb, (pixel - 127.5) / 127.5" in shown
    assert "CONV_2D" in shown
    assert "edgequant quantize --model" in shown


def test_what_is_not_known_is_asked_for(run: Run, bare: Path) -> None:
    values = run("inspect", bare, "--json").json
    assert values["contract"] is None
    assert values["next"].endswith("--calibration DATA --mean 0 --std 1")
    assert any("a layer of the model normalizes" in text for text in values["warnings"])
    assert any("1 Dropout" in text for text in values["warnings"])
    assert values["outputs"][0]["task"] == "classification"
    (sine,) = [row for row in values["operators"] if row["kind"] == "SIN"]
    assert sine["types"] == {
        "tflite-int8": "float32", "onnx-int8": "float32", "tflite-int16x8": "float32",
    }  # fmt: skip
    assert sine["why"] == "no int8 kernel"
    assert sum(row["share"] for row in values["operators"]) == pytest.approx(1)
    twice = run("inspect", bare, "--mean", 127.5, "--std", 127.5)
    assert twice.code == 0
    assert "pixels are normalized once" in twice.out.replace("\n           ", " ")


def test_a_registered_model_and_a_file_are_shown(run: Run, tiny_int8: Path) -> None:
    values = run("inspect", "mobilenet_v2_small", "--json").json
    assert values["origin"] == "registered"
    assert values["sizes"]["tflite-int8"] > 400_000
    shown = run("inspect", tiny_int8).out
    assert "next  edgequant evaluate" in shown


def test_options_of_one_are_refused_for_the_other(run: Run, tiny_int8: Path, bare: Path) -> None:
    assert run("inspect", bare, "--tensors").code == 2
    assert run("inspect", bare, "--for", "gpu").code == 2
    assert run("inspect", tiny_int8, "--mean", 0).code == 2
    assert run("inspect", "nobody").code == 2


SIZED = ("tflite-int8", "tflite-float16", "tflite-dynamic", "tflite-int16x8", "onnx-int8",
         "onnx-float16", "onnx-dynamic")  # fmt: skip


def plain_model() -> Any:
    """As ``own_model``, of operators that every recipe has."""
    import keras

    keras.utils.set_random_seed(3)
    image = keras.Input((24, 24, 3))
    x = keras.layers.Conv2D(64, 3, strides=2, activation="relu6", name="stem")(image)
    x = keras.layers.Conv2D(48, 3, strides=2, name="next")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(3, name="dense")(x))


def test_expected_bytes_are_those_of_the_files(tmp_path: Path) -> None:
    contract, model = Preprocessing((24, 24), Crop.PAD), plain_model()
    content = converted(frozen(model, contract.shape), "a test")
    graph = canonical_graph(content)
    pictures = np.random.default_rng(0).uniform(-1, 1, (8, 24, 24, 3)).astype(np.float32)
    images = CalibrationImages(8, lambda: iter([pictures]))
    asked = recipe("tflite-int8").with_effort(Optimization.FAST)
    plan = make_plan(graph, images, contract, asked.settings)
    planned = PlannedNetwork(plan.network(graph), plan)
    for name in SIZED:
        known = recipe(name)
        known = known.with_effort(Optimization.FAST) if known.planned else known
        expected = expected_bytes(graph, content, contract, known)
        target = export_targets()[known.target]
        path = tmp_path / f"{name}{target.suffix}"
        request = ExportRequest(
            model, known, contract, lambda: iter([pictures]),
            planned=planned if known.planned else None, graph=lambda: graph,
        )  # fmt: skip
        target.write(request, path)
        assert expected == pytest.approx(path.stat().st_size, rel=0.03), name


@pytest.mark.parametrize(
    ("end", "count", "scores", "task"),
    [
        ("softmax", 3, "3 probabilities (softmax)", Task.CLASSIFICATION),
        ("sigmoid", 1, "1 probability (sigmoid)", Task.BINARY),
        ("sigmoid", 3, "3 probabilities (one sigmoid each)", Task.MULTI_LABEL),
        ("linear", 3, "3 numbers (linear)", None),
    ],
)
def test_the_task_is_that_of_the_last_function(
    end: str, count: int, scores: str, task: Task | None
) -> None:
    import keras

    image = keras.Input((4,))
    model = keras.Model(image, keras.layers.Dense(count, activation=end, name="last")(image))
    loaded = LoadedModel("m", Deferred.of(model), (4,), (ModelOutput("scores", (count,)),), None)
    (view,) = output_views(loaded, None)
    assert (view.scores, view.task) == (scores, task)
    stated = replace(Preprocessing.of_arrays((4,)), tasks=Tasks(OutputTask(Task.REGRESSION)))
    assert output_views(loaded, stated)[0].task is Task.REGRESSION


def test_a_map_has_numbers_for_each_place() -> None:
    assert numbers_of(Output("m", (8, 8, 2), End.SOFTMAX)) == "a map of 2 for each place, softmax"
