"""A segmenter from its model to a report: quantized, measured, compared, repaired and shipped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evaluation.session import runtime_for
from export.target import target_of
from tests.edgequant.conftest import Run
from tests.edgequant.segmenter import CONTRACT, SIDE, save_segmenter, write_scenes

Subject = tuple[Path, Path]


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """The segmenter, and photos with masks in train and test."""
    folder = tmp_path_factory.mktemp("segmenter")
    write_scenes(folder / "scenes" / "train", "images", "masks", range(100, 112))
    write_scenes(folder / "scenes" / "test", "images", "masks", range(8))
    return save_segmenter(folder), folder / "scenes"


def words(subject: Subject, output: Path, *more: object) -> tuple[object, ...]:
    model, scenes = subject
    data = ("--data", f"{scenes}:test", "--calibration", f"{scenes}:train")
    return ("--model", model, *data, "--output", output, "--optimize", "fast", *more)


def test_the_task_is_found_and_masks_are_measured(
    run: Run, subject: Subject, tmp_path: Path
) -> None:
    shown = run("inspect", subject[0])
    assert "task       segmentation" in shown.out
    done = run("quantize", *words(subject, tmp_path, "--recipe", "tflite-int8"), "--json")
    assert done.code == 0, done.err
    (exact, row) = done.json["report"]["rows"]
    assert row["task"] == "segmentation"
    assert exact["metrics"]["miou"] > 60
    assert exact["metrics"]["miou"] - row["metrics"]["miou"] == pytest.approx(row["drop"])
    low, high = row["drop_interval"]
    assert low <= row["drop"] <= high
    assert 0 < row["metrics"]["pixels_changed"] < 3
    assert {part["label"] for part in row["parts"]} == {"background", "red", "green", "blue"}
    assert set(row["drops"]) == {"pixel_accuracy", "boundary_f1"}
    shares = [flip["margin"] for flip in row["flipped"]]
    assert shares == sorted(shares, reverse=True)
    path = Path(done.json["artifact"])
    card = target_of(path).read_card(path)
    assert card is not None
    assert str(card.preprocessing.tasks.only.task) == "segmentation"
    report = path.with_suffix("").with_suffix(".report.md").read_text()
    assert "| class | n | IoU % |" in report
    assert "pixels changed %" in report
    assert "answers changed" not in report
    alone = run("evaluate", path, "--data", f"{subject[1]}:test", "--json")
    assert alone.json["metrics"]["miou"] == pytest.approx(row["metrics"]["miou"])


def test_argmax_inside_a_file_gives_the_mask_of_its_scores(
    run: Run, subject: Subject, tmp_path: Path
) -> None:
    images = np.random.default_rng(0).uniform(-1, 1, (4, SIDE, SIDE, 3)).astype(np.float32)
    given = {}
    for end in ("none", "argmax"):
        recipes = ("--recipe", "tflite-int8,onnx-int8", "--postprocess", end)
        done = run("quantize", *words(subject, tmp_path / end, *recipes), "--json")
        assert done.code == 0, done.err
        paths = [Path(row["artifact"]) for row in done.json["artifacts"]]
        given[end] = [runtime_for(path).open(path, 1).run(images)[0] for path in paths]
    for scores, found in zip(given["none"], given["argmax"], strict=True):
        np.testing.assert_array_equal(found, scores.argmax(axis=3))
    row = done.json["artifacts"][0]["report"]["rows"][-1]
    assert "sqnr_db" not in row
    assert row["metrics"]["pixels_changed"] < 3
    assert abs(row["drop"]) < 3


@pytest.mark.slow
def test_the_page_shows_both_masks_and_where_they_differ(
    run: Run, subject: Subject, tmp_path: Path
) -> None:
    recipes = ("--recipes", "tflite-int8,onnx-int8")
    done = run("compare", *words(subject, tmp_path, *recipes))
    assert done.code == 0, done.err
    page = (tmp_path / "colours-compare.html").read_text()
    assert "Photos whose mask changed" in page
    assert page.count('<li class="wide">') >= 4
    assert "% of the pixels changed" in page
    assert "IoU %" in page


@pytest.mark.parametrize("labels", ["masks", "float"])
def test_a_repair_is_judged_by_masks(
    run: Run, subject: Subject, tmp_path: Path, labels: str
) -> None:
    model, scenes = subject
    calibration = f"{scenes}:train" if labels == "masks" else scenes / "train" / "images"
    done = run(
        "quantize", "--model", model, "--data", f"{scenes}:test", "--calibration", calibration,
        "--recipe", "tflite-int8", "--output", tmp_path, "--max-drop", 20, "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    record = json.loads(Path(done.json["artifact"]).with_suffix(".recipe.json").read_text())
    (step,) = record["repair"]["steps"]
    assert record["repair"]["held_out_images"] == 6
    assert abs(step["drop"]) < 20
    assert 90 < step["agreement"] < 100


def test_a_limit_is_in_points_of_miou(run: Run, subject: Subject, tmp_path: Path) -> None:
    limit = ("--recipe", "tflite-int8", "--max-drop", "-20", "--max-float-share", "0")
    done = run("quantize", *words(subject, tmp_path, *limit))
    assert done.code == 1, done.err
    assert "mIOU falls by at most -20 points" in done.err


@pytest.mark.slow
def test_the_card_of_a_bundle_has_the_miou_of_its_file(
    run: Run, subject: Subject, tmp_path: Path
) -> None:
    model, scenes = subject
    done = run(
        "ship", "--model", model, "--for", "microcontroller", "--data", f"{scenes}:test",
        "--calibration", f"{scenes}:train", "--vectors", 2, "--output", tmp_path / "b",
    )  # fmt: skip
    assert done.code == 0, done.err
    card = (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert "one of 4 classes" in card
    assert "mIOU %" in card
    assert "pixels as float" in card


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": '["a", "b"]'}, "a segmenter of 4 classes has 4 labels"),
        ({"palette": "[[0, 0, 0], [1, 1, 1]]"}, "one colour of its own for each of the 4"),
        ({"palette": "[[0, 0], [1, 1]]"}, "a palette is a list of colours of three levels"),
        ({"palette": "[[0, 0, 300]]"}, "whole numbers from 0 to 255; received 300"),
    ],
)
def test_a_contract_that_does_not_fit_is_refused_before_any_work(
    run: Run, subject: Subject, tmp_path: Path, change: dict[str, str], message: str
) -> None:
    contract = CONTRACT
    if "labels" in change:
        contract = contract.partition("labels")[0] + f"labels = {change['labels']}\n"
    if "palette" in change:
        contract += f"[segmentation]\npalette = {change['palette']}\n"
    path = tmp_path / "other.toml"
    path.write_text(contract)
    told = ("--recipe", "tflite-int8", "--preprocessing", path)
    done = run("quantize", *words(subject, tmp_path / "out", *told))
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "out").exists()


def test_argmax_of_a_classifier_is_refused(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    done = run(
        "quantize", "--model", tiny_keras, "--recipe", "tflite-int8", "--postprocess", "argmax",
        "--calibration", f"{photos}:train", "--output", tmp_path,
    )  # fmt: skip
    assert done.code != 0
    assert "post-processing argmax gives the class of each place" in done.err


@pytest.mark.parametrize(
    ("value", "message"), [(7, "received 7 in the mask of"), (None, "one shows a class of the")]
)
def test_values_of_masks_are_looked_at_before_any_work(
    run: Run, subject: Subject, tmp_path: Path, value: int | None, message: str
) -> None:
    from PIL import Image

    write_scenes(tmp_path / "scenes", "images", "masks", range(6))
    for path in sorted((tmp_path / "scenes" / "masks").iterdir())[0 if value is None else -1 :]:
        mask = np.asarray(Image.open(path)).copy()
        mask[...] = 255 if value is None else value
        Image.fromarray(mask).save(path)
    done = run(
        "quantize", "--model", subject[0], "--recipe", "tflite-int8", "--data", tmp_path / "scenes",
        "--calibration", f"{subject[1]}:train", "--output", tmp_path / "out",
    )  # fmt: skip
    assert done.code == 2
    assert message in done.err
    assert "calibrat" not in done.out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("masks", [True, False])
def test_sensitivity_is_in_points_of_miou(
    run: Run, subject: Subject, tmp_path: Path, masks: bool
) -> None:
    model, scenes = subject
    data = scenes / "train" if masks else scenes / "train" / "images"
    done = run(
        "sensitivity", "--model", model, "--calibration", data, "--optimize", "fast",
        "--output", tmp_path, "--json",
    )  # fmt: skip
    found = done.json
    assert (found["metric"], found["labelled"]) == ("mIOU", masks)
    assert (found["float"] is not None) is masks
    effects = [row[part] for row in found["rows"] for part in ("weights", "activations")]
    assert all(abs(effect["drop"]) < 10 for effect in effects if effect)
    assert min(effect["agreement"] for effect in effects if effect) < 100
    shown = (tmp_path / "colours-sensitivity.html").read_text()
    assert "Float mIOU" in shown
    assert ("count as right" in shown) is not masks
