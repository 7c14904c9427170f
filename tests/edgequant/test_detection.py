"""A detector through the command line: measured, gated, repaired, decoded inside and explained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from calibration_data.contract_file import read_contract
from calibration_data.task import Task
from tests.edgequant.conftest import Run
from tests.edgequant.detector import CONTRACT, LABELS, save_detector, save_photos


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Detector, and photos with boxes in two splits."""
    folder = tmp_path_factory.mktemp("detector")
    for split, seed in (("calibration", 1), ("test", 2)):
        save_photos(folder / "set" / split, 16, seed)
    return save_detector(folder), folder / "set"


def quantize(
    run: Run,
    subject: tuple[Path, Path],
    output: Path,
    *more: object,
    recipe: str = "tflite-int8",
) -> Any:
    model, photos = subject
    return run(
        "quantize", "--model", model, "--recipe", recipe, "--optimize", "fast",
        "--calibration", f"{photos}:calibration", "--data", f"{photos}:test", "--no-latency",
        "--output", output, *more,
    )  # fmt: skip


def test_a_file_is_made_measured_and_measured_again(
    run: Run, subject: tuple[Path, Path], tmp_path: Path
) -> None:
    model, photos = subject
    made = quantize(run, subject, tmp_path, "--json").json
    reference, row = made["report"]["rows"]
    assert row["task"] == "detection"
    assert 5 < reference["metrics"]["ap"] < 95
    assert row["drop"] == pytest.approx(reference["metrics"]["ap"] - row["metrics"]["ap"])
    assert row["drop_interval"][0] <= row["drop"] <= row["drop_interval"][1]
    assert set(row["drops"]) == {"ap50"}
    assert row["metrics"]["sqnr_boxes_db"] > 20
    assert {part["label"] for part in row["parts"]} == set(LABELS)
    assert len(row["curve"]) == 101
    assert row["flips"]["changed"] == len(row["flipped"])
    # The card says the task and the anchors: nothing is stated again.
    again = run(
        "evaluate", made["artifact"], "--data", f"{photos}:test", "--reference", model,
        "--no-latency", "--json",
    ).json  # fmt: skip
    assert again["metrics"] == pytest.approx(row["metrics"])
    card = json.loads(Path(made["artifact"]).with_suffix(".recipe.json").read_text())
    assert card["preprocessing"]["task"] == "detection"
    assert len(card["preprocessing"]["detection"]["levels"]) == 2
    text = Path(made["artifact"]).with_suffix(".report.md").read_text()
    assert "| AP small %" in text
    assert "top-1" not in text


def test_images_without_boxes_are_compared_with_float(
    run: Run, subject: tuple[Path, Path], tmp_path: Path
) -> None:
    model, photos = subject
    report = run(
        "compare", "--model", model, "--recipes", "tflite-float16,onnx-float16",
        "--calibration", f"{photos}:calibration", "--data", photos / "test/images",
        "--no-latency", "--output", tmp_path, "--json",
    ).json  # fmt: skip
    rows = report["rows"]
    assert [sorted(row["metrics"]) for row in rows[1:]] == [
        ["agreement", "gained", "lost", "sqnr_boxes_db", "sqnr_db"]
    ] * 2
    assert rows[1]["metrics"]["agreement"] > 90
    refused = run(
        "quantize", "--model", model, "--recipe", "tflite-int8", "--calibration",
        f"{photos}:calibration", "--data", photos / "test/images", "--max-drop", 1,
        "--output", tmp_path / "x",
    )  # fmt: skip
    assert refused.code == 2
    assert "--max-drop limits a loss of right answers" in refused.err


@pytest.mark.slow
def test_a_limit_that_is_not_kept_moves_operators_to_float(
    run: Run, subject: tuple[Path, Path], tmp_path: Path
) -> None:
    result = quantize(run, subject, tmp_path, "--max-drop", -50)
    assert result.code == 1
    assert "AP falls by at most -50 points (--max-drop)" in result.err
    assert "kept in float32" in result.out  # below the table, as every remark


def test_operators_stay_in_float_by_name(
    run: Run, subject: tuple[Path, Path], tmp_path: Path
) -> None:
    made = quantize(run, subject, tmp_path, "--keep-float", "fine_scores", "--json").json
    plain = quantize(run, subject, tmp_path / "plain", "--json").json
    kept, other = (m["report"]["rows"][1]["metrics"]["sqnr_db"] for m in (made, plain))
    assert kept != other


@pytest.mark.parametrize(("recipe", "inside"), [("tflite-int8", "tflite"), ("onnx-int8", "onnx")])
def test_a_file_with_the_decoding_inside_has_the_same_detections(
    run: Run, subject: tuple[Path, Path], tmp_path: Path, recipe: str, inside: str
) -> None:
    _, photos = subject
    raw = quantize(run, subject, tmp_path / "raw", "--json", recipe=recipe).json
    made = quantize(run, subject, tmp_path, "--postprocess", inside, "--json", recipe=recipe).json
    row, plain = made["report"]["rows"][1], raw["report"]["rows"][1]
    for name in ("agreement", "lost", "gained"):
        assert row["metrics"][name] == plain["metrics"][name]
    assert "sqnr_db" not in row["metrics"]
    assert 0 < row["metrics"]["ap"] <= plain["metrics"]["ap"]
    assert any("from a score of 0.4 alone" in remark for remark in row["remarks"])
    alone = run(
        "evaluate", made["artifact"], "--data", f"{photos}:test", "--no-latency", "--json"
    ).json
    assert alone["metrics"]["ap"] == row["metrics"]["ap"]


def test_a_comparison_with_the_decoding_inside_is_refused(
    run: Run, subject: tuple[Path, Path], tmp_path: Path
) -> None:
    model, photos = subject
    done = run(
        "compare", "--model", model, "--data", f"{photos}:test", "--postprocess", "tflite",
        "--output", tmp_path / "out",
    )  # fmt: skip
    assert done.code == 2
    assert "compare measures the outputs as the network gives them" in done.err
    assert "'edgequant quantize'" in done.err
    assert not (tmp_path / "out").exists()


def test_sensitivity_ranks_by_all_outputs(
    run: Run, subject: tuple[Path, Path], tmp_path: Path
) -> None:
    model, photos = subject
    found = run(
        "sensitivity", "--model", model, "--calibration", f"{photos}:calibration",
        "--optimize", "fast", "--output", tmp_path, "--json",
    ).json  # fmt: skip
    names = {"fine_boxes", "coarse_boxes", "fine_scores", "coarse_scores"}
    assert set(found["rows"][0]["weights"]["outputs_sqnr_db"]) == names
    assert (found["metric"], found["labelled"], found["top1"]) == ("AP", True, None)
    assert found["float"] > 5
    effects = [row[part] for row in found["rows"] for part in ("weights", "activations")]
    assert all(abs(effect["drop"]) < 20 for effect in effects if effect)
    assert any(effect["drop"] for effect in effects if effect)


def test_inspect_names_the_task(run: Run, subject: tuple[Path, Path]) -> None:
    assert "task       detection" in run("inspect", subject[0]).out


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rows = 4", "rows = 5", "its 24 anchors have 4 numbers each"),
        ('"fine_boxes"', '"fine"', "[detection] names all outputs"),
        ("score_threshold = 0.4", "score_threshold = 4", "score_threshold is a number from 0 to 1"),
        ("iou_threshold", "overlap", "[detection] has boxes, levels, scores, and may have"),
        ("shapes = [[0.25, 0.25]]", "shapes = 3", "a contract holds numbers"),
        ('task = "detection"\n', 'task = "binary"\n', "[detection] goes with task = 'detection'"),
    ],
)
def test_anchors_of_another_model_are_refused_in_one_sentence(
    run: Run, subject: tuple[Path, Path], tmp_path: Path, old: str, new: str, message: str
) -> None:
    model, photos = subject
    assert old in CONTRACT
    contract = tmp_path / "other.toml"
    contract.write_text(CONTRACT.replace(old, new))
    refused = run(
        "evaluate", model, "--data", f"{photos}:test", "--preprocessing", contract, "--no-latency"
    )
    assert refused.code == 2
    assert message in refused.err
    assert len(refused.err.strip().splitlines()) == 1


def test_the_table_of_anchors_states_the_task(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(CONTRACT.replace('task = "detection"\n', ""))
    contract = read_contract(path)
    assert contract.tasks.only.task is Task.DETECTION
    assert contract == type(contract).from_dict(contract.to_dict())


def test_classes_are_told_by_name(run: Run, subject: tuple[Path, Path], tmp_path: Path) -> None:
    model, _ = subject
    folder = save_photos(tmp_path / "set", 8, 3)
    values = json.loads((folder / "instances.json").read_text())
    for category, name in zip(values["categories"], ("RED", "zebra", "blue"), strict=True):
        category["name"] = name
    (folder / "instances.json").write_text(json.dumps(values))
    found = run("evaluate", model, "--data", folder, "--no-latency", "--json").json
    assert {part["label"] for part in found["parts"]} <= {"red", "blue"}
    assert "the network has no class zebra" in run(
        "evaluate", model, "--data", folder, "--no-latency"
    ).out.replace("\n", " ")
    for category, name in zip(values["categories"], ("a", "b", "c"), strict=True):
        category["name"] = name
    (folder / "instances.json").write_text(json.dumps(values))
    refused = run("evaluate", model, "--data", folder, "--no-latency")
    assert "boxes are of classes that the network knows by name; received a, b, c in" in refused.err
