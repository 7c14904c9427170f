"""Detectors and segmenters in the comparison of quantizers: suite, published files, columns."""

from __future__ import annotations

import inspect
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import rows
from benchmarks.accuracy.measured import kept_rows
from benchmarks.accuracy.peer import GRANULARITIES, Job, peers
from benchmarks.accuracy.published import with_scores
from benchmarks.accuracy.rows import Row
from benchmarks.accuracy.subjects import SUITES, Folders, suite
from benchmarks.costs import cost_of_edgequant
from benchmarks.peers.edgequant import OTHERS, SHARES
from calibration_data.task import Task
from edgequant.cli.main import cli
from evaluation.metrics import Drop, Metrics
from evaluation.result import Evaluation, Subject
from evaluation.session import RuntimeInfo, runtime_for
from evaluation.task import task_kinds
from foundation.errors import InvalidInputError
from models.spec import model_specs
from network.affine import IntType, QuantParams
from network.tflite.writer import FlatFile
from quantize.recipes import RECIPES
from reports.accuracy import accuracy_tables
from reports.ranks import rank_table


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_has_what_the_repository_ships_and_more_with_folders(
    name: str, tmp_path: Path
) -> None:
    shipped = suite(name, Folders())
    assert [subject.model.name for subject in shipped] == ["ssdlite_fashion", "lraspp_fashion"]
    every = suite(name, Folders(tmp_path, tmp_path))
    names = [subject.model.name for subject in every]
    assert len(set(names)) == len(names) > len(shipped)
    for subject in every:
        assert subject.model.spec().task in (Task.DETECTION, Task.SEGMENTATION)
    assert {subject.model.reference for subject in every} <= set(model_specs())


def test_a_suite_names_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="--photos names a folder"):
        suite("dense", Folders(tmp_path / "none"))
    with pytest.raises(InvalidInputError, match="--published names a folder"):
        suite("dense", Folders(tmp_path, tmp_path / "none"))


def test_a_job_carries_the_variant_of_a_network_to_the_command() -> None:
    job = Job("net", "i.npy", "data", "per-channel", "fast", "", "w.tflite", 0.5, "letterbox")
    assert Job.from_json(job.to_json()) == job
    assert job.options == (
        ["--model", "net", "--weights", "w.tflite", "--alpha", "0.5", "--crop", "letterbox"]
    )
    assert replace(job, weights="", alpha=None, crop="").options == ["--model", "net"]
    known = {name for option in cli.commands["quantize"].params for name in option.opts}
    assert {word for word in job.options if word.startswith("--")} <= known


def test_our_other_recipes_are_registered_and_have_no_weights_per_tensor() -> None:
    registered = {recipe.name for recipe in RECIPES}
    settings = {setting.name: setting for setting in peers()["edgequant"].settings}
    assert set().union(*OTHERS.values()) <= registered
    for name in (*OTHERS, *SHARES):
        assert settings[name].granularities == GRANULARITIES[:1]


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A uint8 file that ends as published segmenters do: resizes, and the class of each place."""
    file = FlatFile()
    uint8 = QuantParams((0.5,), (10,), IntType("uint8"))
    shapes = {"image": (1, 2, 2, 3), "scores": (1, 2, 2, 3), "larger": (1, 4, 4, 3)}
    image, scores, larger = (file.tensor(n, s, "uint8", uint8) for n, s in shapes.items())
    size = file.tensor("size", (2,), "int32", value=np.array([4, 4], np.int32))
    axis = file.tensor("axis", (1,), "int32", value=np.array([3], np.int32))
    shape = file.tensor("shape", (4,), "int32", value=np.array([1, 2, 2, 3], np.int32))
    classes = file.tensor("classes", (1, 4, 4), "int64")
    file.operator("RESHAPE", 1, (image, shape), (scores,), "ReshapeOptions", {})
    file.operator("RESIZE_BILINEAR", 1, (scores, size), (larger,), "ResizeBilinearOptions", {})
    options = {"outputType": 4}
    file.operator("ARG_MAX", 1, (larger, axis), (classes,), "ArgMaxOptions", options)
    path = tmp_path / "published.tflite"
    path.write_bytes(file.content((image,), (classes,)))
    return path


def test_a_published_file_is_measured_at_its_map_of_scores(published: Path) -> None:
    image = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
    (classes,) = runtime_for(published, None).open(published, 1).run(image)
    assert classes.shape == (1, 4, 4)
    path = with_scores(published, published.with_name("scores.tflite"))
    (scores,) = runtime_for(path, None).open(path, 1).run(image)
    np.testing.assert_array_equal(scores, image)


def test_a_file_that_ends_otherwise_is_no_published_segmenter(published: Path) -> None:
    path = with_scores(published, published.with_name("scores.tflite"))
    with pytest.raises(InvalidInputError, match="a published segmenter ends in ARG_MAX"):
        with_scores(path, path.with_name("again.tflite"))


def test_a_measurement_is_kept_until_a_file_or_a_condition_changes(tmp_path: Path) -> None:
    file, calls = tmp_path / "a.tflite", []
    file.write_bytes(b"1")
    row = Row("net", "per-channel", "tool", "setting")

    def measured(conditions: tuple[object, ...] = ("data",)) -> list[Row]:
        def measure() -> list[Row]:
            calls.append(conditions)
            return [replace(row, ap="30.00")]

        return kept_rows("digest", [row], [file], conditions, measure, tmp_path / "cache")

    assert measured() == measured() == [replace(row, ap="30.00")]
    assert len(calls) == 1
    measured(("other data",))
    file.write_bytes(b"2")
    measured()
    assert len(calls) == 3


def _loss(points: float) -> Drop:
    return Drop(points=points, low=-1.0, high=1.0, confidence=0.95, method="bootstrap", n=5)


def _evaluation(task: Task, values: dict[str, float], drops: dict[str, Drop]) -> Evaluation:
    metrics = Metrics(5, 3, values, None, _loss(0.25), 2, (), task=task, drops=drops)
    runtime = RuntimeInfo("litert-xnnpack", "2", "XNNPACK", 1)
    return Evaluation(Subject("file", "file.tflite", 1000, ""), "data", runtime, metrics)


def test_figures_of_a_detector_have_both_precisions_and_their_losses() -> None:
    values = {"ap": 30.0, "ap50": 48.0, "agreement": 97.0, "sqnr_db": 25.0, "sqnr_boxes_db": 22.0}
    found = rows.figures(_evaluation(Task.DETECTION, values, {"ap50": _loss(0.5)}))
    assert {name: found[name] for name in ("task", "ap", "ap50", "drop", "ap50_drop")} == {
        "task": "detection", "ap": "30.00", "ap50": "48.00", "drop": "0.25", "ap50_drop": "0.50",
    }  # fmt: skip
    assert found["sqnr_boxes_db"] == "22.00"
    table = accuracy_tables([asdict(replace(Row("net", "per-channel", "tool", "best"), **found))])
    assert "| 30.00 | +0.25 [-1.00, 1.00] | 48.00 | +0.50 [-1.00, 1.00] | 97.00 | 25.00" in table
    assert "bootstrap over the images" in table


def test_figures_of_a_segmenter_have_the_pixels_that_changed() -> None:
    values = {"miou": 50.0, "agreement": 97.0, "pixels_changed": 3.0, "sqnr_db": 21.0}
    found = rows.figures(_evaluation(Task.SEGMENTATION, values, {}))
    table = accuracy_tables([asdict(replace(Row("net", "per-tensor", "tool", "best"), **found))])
    assert "| 50.00 | +0.25 [-1.00, 1.00] | 3.00 | 21.00 |" in table
    assert "mIOU %" in table


@pytest.mark.parametrize("task", [Task.DETECTION, Task.SEGMENTATION])
def test_the_table_keeps_the_primary_metric_and_the_sqnr_of_a_task(task: Task) -> None:
    kind = task_kinds()[task]
    columns = set(inspect.signature(Row).parameters)
    assert {kind.primary, "sqnr_db", "agreement"} <= columns


def test_a_table_of_another_task_has_what_all_tasks_have() -> None:
    row = Row("net", "per-channel", "tool", "best", n="5", task="regression", drop="0.10",
              drop_low="0.00", drop_high="0.20", sqnr_db="30.00")  # fmt: skip
    assert "| +0.10 [0.00, 0.20] | - | 30.00 |" in accuracy_tables([asdict(row)])


def test_a_reason_is_told_once() -> None:
    some = [asdict(Row("net", "per-channel", "tool", name, reason="no")) for name in ("a", "b")]
    assert accuracy_tables(some).splitlines()[-1] == "- tool, a; tool, b: no."


def _file(setting: str, sqnr: str, drop: str, runtime: str = "litert-xnnpack") -> dict[str, str]:
    figures = {"sqnr_db": sqnr, "drop": drop, "agreement": "90.00", "task": "segmentation"}
    return asdict(Row("net", "per-channel", "tool", setting, runtime=runtime, n="9", **figures))


def test_ranks_agree_where_the_likest_file_loses_least() -> None:
    files = [_file("a", "9", "3.0"), _file("b", "12", "1.0"), _file("c", "20", "0.4")]
    other_runtime = _file("d", "1.00", "0.00", "onnxruntime")
    same = [*files, _file("d", "30", "0.1"), other_runtime]
    assert rank_table(same).splitlines()[-1].startswith("| net | 4 | mIOU | 1.00 | - |")
    swapped = [*files, _file("d", "30", "9.0")]
    assert rank_table(swapped).splitlines()[-1].startswith("| net | 4 | mIOU | -0.20 | - |")
    assert rank_table(files).splitlines()[-1].startswith("| net | 3 | mIOU | - | - |")


def test_ranks_of_a_detector_are_told_for_both_precisions() -> None:
    files = [
        {
            **_file(f"{i}", f"{i}", f"{-i}"),
            "task": "detection",
            "ap50_drop": f"{i}",
            "sqnr_boxes_db": f"{-3 * i}",
        }
        for i in range(4)
    ]
    (ap, ap50) = rank_table(files).splitlines()[2:]
    assert "| AP | 1.00 | -1.00 | -1.00 | - |" in ap  # of both, the boxes have more noise
    assert "| AP50 | -1.00 | 1.00 | 1.00 | - |" in ap50


def test_a_command_is_timed_with_its_peak_memory() -> None:
    taken = cost_of_edgequant("--version")
    assert taken.seconds > 0
    assert 5e6 < taken.peak_bytes < 4e9
    with pytest.raises(InvalidInputError, match="edgequant quantize: "):
        cost_of_edgequant("quantize", "--no-such-option")
