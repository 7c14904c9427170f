"""The functions on objects of a program: arrays in, file out, report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgequant as eq

Examples = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def artifact(here: Path, model: Any, examples: Examples) -> eq.Artifact:
    """The model in int8."""
    return eq.quantize(model, examples[0], progress=False)


def test_a_model_in_memory_becomes_a_file_that_runs(
    artifact: eq.Artifact, here: Path, model: Any, examples: Examples
) -> None:
    from evaluation.session import runtime_for

    assert artifact.path == here / "artifacts/my_net-tflite-int8/my_net-tflite-int8.tflite"
    assert artifact.recipe == "tflite-int8"
    assert artifact.size_bytes == artifact.path.stat().st_size
    assert not artifact.unchanged
    assert artifact.path in artifact.files
    assert all(path.is_file() for path in artifact.files)
    (scores,) = runtime_for(artifact.path).open(artifact.path, 1).run(examples[0][:8])
    np.testing.assert_allclose(scores, model(examples[0][:8]), atol=0.03)


def test_a_call_of_equal_things_finds_the_file_up_to_date(
    artifact: eq.Artifact, model: Any, examples: Examples
) -> None:
    again = eq.quantize(model, list(examples[0]), progress=False)
    assert again.unchanged
    assert again.sha256 == artifact.sha256
    assert not eq.quantize(model, examples[0][:30], progress=False).unchanged


def test_a_file_is_a_path_and_is_saved(artifact: eq.Artifact) -> None:
    assert os.fspath(artifact) == str(artifact.path)
    copy = artifact.save("new/mine.tflite")
    assert copy.read_bytes() == artifact.path.read_bytes()
    with pytest.raises(eq.InvalidInputError, match="can be written"):
        artifact.save("new/mine.tflite/inside.tflite")


def test_a_measured_call_has_a_report(here: Path, model: Any, examples: Examples) -> None:
    x, y = examples
    artifact = eq.quantize(model, x[:20], data=(x[20:], y[20:]), latency=False, progress=False)
    assert artifact.report is not None
    assert [row.name for row in artifact.report.rows] == ["keras-float32", "tflite-int8"]
    row = artifact.report["tflite-int8"]
    assert row.n == 20
    assert row.drop is not None
    assert row.drop_interval is not None
    assert row.drop_interval[0] <= row.drop <= row.drop_interval[1]
    assert "tflite-int8" in repr(artifact)
    assert not any(line.startswith("  ") for line in artifact.report.conditions)
    with pytest.raises(KeyError):
        artifact.report["onnx-int8"]


def test_evaluate_compares_with_a_model_in_memory(
    artifact: eq.Artifact, model: Any, examples: Examples
) -> None:
    report = eq.evaluate(artifact, examples, reference=model, latency=False, progress=False)
    (row,) = report.rows
    assert row.metrics["top1"] is not None
    assert row.interval is not None
    assert row.interval[0] <= row.metrics["top1"] <= row.interval[1]
    assert row.agreement is not None
    assert row.latency_ms is None
    assert "n = 40 images of given/data-" in repr(report)
    html = report._repr_html_()
    assert html.count("<table>") == 1
    assert "tflite-int8" in html
    alone = eq.evaluate(model, examples, latency=False, progress=False)
    assert alone.rows[0].drop is None
    assert alone.rows[0].name == "keras-float32"


def test_compare_saves_its_report(here: Path, model: Any, examples: Examples) -> None:
    recipes = ["tflite-int8", "tflite-float16"]
    comparison = eq.compare(
        model, examples, calibration=examples[0] + 1, recipes=recipes, latency=False,
        progress=False,
    )  # fmt: skip
    assert {row.name for row in comparison.rows} == {"keras-float32", *recipes}
    paths = comparison.save("report")
    assert {path.suffix for path in paths} == {".md", ".csv", ".json", ".html"}
    assert all((comparison.folder / path.name).read_bytes() == path.read_bytes() for path in paths)
    page = next(path for path in paths if path.suffix == ".html").read_text()
    assert "edgequant.compare(...)" in page
    assert "edgequant-" not in page  # no private folder
    with pytest.raises(eq.InvalidInputError, match="can be written"):
        comparison.save(paths[0])


def test_a_plan_is_read_and_written_as_a_file(artifact: eq.Artifact, model: Any) -> None:
    plan = eq.load_plan(artifact.path.with_suffix(".plan"))
    assert {"image", "scores"} <= {row[0] for row in plan.tensors.rows}
    assert plan.settings
    assert "conv" in repr(plan)
    assert "<table>" in plan._repr_html_()
    again = eq.apply_plan(plan, model, output="again", progress=False)
    assert again.path.parent == Path("again").absolute()
    assert again.size_bytes > 0


def test_progress_is_told(here: Path, model: Any, examples: Examples) -> None:
    states: list[eq.Progress] = []
    eq.quantize(model, examples[0], progress=states.append)
    assert states[0] == eq.Progress("load my_net", 0, None)
    counted = [state for state in states if state.step == "tflite-int8"]
    assert counted[-1].done >= 40
    assert counted[0].total == 40


def test_photos_need_to_know_how_they_become_the_input(
    here: Path, model: Any, photos: Path
) -> None:
    with pytest.raises(eq.InvalidInputError, match="a model that is not registered needs"):
        eq.quantize(model, f"{photos}:train", progress=False)
    stated: eq.Preprocessing = {"mean": 127.5, "std": 127.5, "labels": ["a", "b", "c"]}
    artifact = eq.quantize(model, f"{photos}:train", preprocessing=stated, progress=False)
    report = eq.evaluate(artifact, f"{photos}:test", latency=False, progress=False)
    assert report.rows[0].n == 18


def test_a_contract_of_a_file_is_kept_for_arrays(here: Path, tiny_int8: Path) -> None:
    pixels = np.zeros((4, 24, 24, 3), np.uint8)
    report = eq.evaluate(tiny_int8, (pixels, np.zeros(4, int)), latency=False, progress=False)
    assert report.rows[0].n == 4


def test_layers_of_the_program_are_exported(here: Path, examples: Examples) -> None:
    import keras

    class Twice(keras.layers.Layer):  # type: ignore[misc]
        """A layer that no other process knows."""

        def call(self, x: Any) -> Any:
            return keras.ops.relu(x) * 2.0

    image = keras.Input((8, 8, 3))
    x = Twice(name="twice")(keras.layers.Conv2D(4, 3)(image))
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(x)), name="custom")
    artifact = eq.quantize(model, examples[0], progress=False)
    assert artifact.path.name == "custom-tflite-int8.tflite"


ERRORS: dict[str, tuple[type[eq.EdgequantError], str, dict[str, Any]]] = {
    "no calibration": (eq.InvalidInputError, "give calibration DATA", {"calibration": None}),
    "recipe": (eq.InvalidInputError, "received tflite-int9", {"recipe": "tflite-int9"}),
    "recipes": (eq.InvalidInputError, "use compare", {"recipe": "tflite-int8,onnx-int8"}),
    "layout": (eq.UnsupportedError, "layout nchw", {"layout": "nchw"}),
    "type": (eq.InvalidInputError, "an argument has a value", {"samples": "many"}),
    "data": (eq.InvalidInputError, "^data is an array", {"data": {"x": 1}}),
    "model": (eq.InvalidInputError, "received nothing.keras", {"model": "nothing.keras"}),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_have_their_types_and_the_words_of_python(
    name: str, here: Path, model: Any, examples: Examples
) -> None:
    kind, text, changed = ERRORS[name]
    arguments = {"model": model, "calibration": examples[0], "progress": False} | changed
    with pytest.raises(kind, match=text) as caught:
        eq.quantize(**arguments)
    assert type(caught.value) is kind
    assert isinstance(caught.value, eq.EdgequantError)
    assert "--" not in str(caught.value)
    assert not list(here.glob("artifacts/*/*.tflite"))


def test_a_broken_limit_is_an_error_of_its_own(
    artifact: eq.Artifact, model: Any, examples: Examples
) -> None:
    with pytest.raises(eq.GateFailedError, match=r"\(max_drop\)"):
        eq.evaluate(
            artifact, examples, reference=model, latency=False, max_drop=-90.0, progress=False
        )
