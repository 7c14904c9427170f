"""Images without labels, and labels in files, through the real commands."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgequant.artifacts import data_digest
from edgequant.repair.repairer import Repair, Step
from quantize.settings import Optimization
from tests.edgequant.conftest import Run


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Flat folders ``calibration`` and ``test`` with different photos, a CMYK one in each."""
    folder = tmp_path_factory.mktemp("flat")
    rng = np.random.default_rng(5)
    for split, count in (("calibration", 6), ("test", 9)):
        (folder / split).mkdir()
        for number in range(count):
            pixels = rng.integers(0, 256, (30, 26, 3), np.uint8)
            Image.fromarray(pixels).save(folder / split / f"{number}.png")
        pixels = rng.integers(0, 256, (30, 26, 4), np.uint8)
        Image.fromarray(pixels, "CMYK").save(folder / split / "print.jpg")
    return folder


def test_quantize_and_measure_without_labels(
    run: Run, tiny_keras: Path, flat: Path, tmp_path: Path
) -> None:
    words = (
        "quantize", "--model", tiny_keras, "--recipe", "tflite-int8",
        "--calibration", flat / "calibration", "--data", flat / "test", "--output", tmp_path,
    )  # fmt: skip
    shown = run(*words)
    assert shown.code == 0, shown.err
    assert shown.err.count("calibration: 1 of 7 images was CMYK, converted to RGB by Pillow") == 1
    assert "1 of 10 images was CMYK, converted to RGB by Pillow." in shown.out
    assert "The images have no labels, so top-1 and its drop are not measured" in shown.out
    report = json.loads((tmp_path / "mine-tflite-int8.report.json").read_text())
    reference, row = report["rows"]
    assert (reference["top1"], row["top1"], row["top5"], row["top1_interval"]) == (None,) * 4
    assert (row["per_class"], "drop" in row, "agreement" in reference) == ([], False, False)
    assert row["agreement"] == 100 * (1 - row["flips"]["changed"] / 10)
    assert row["sqnr_db"] > 10
    assert set(row["metrics"]) == {"ties", "agreement", "sqnr_db", "kl"}
    table = (tmp_path / "mine-tflite-int8.report.md").read_text()
    assert "| tflite-int8 | litert-xnnpack | - | - | - |" in table
    record = json.loads((tmp_path / "mine-tflite-int8.recipe.json").read_text())
    assert record["calibration"]["remarks"] == [
        "1 of 7 images was CMYK, converted to RGB by Pillow"
    ]
    assert "unchanged since the last run" in run(*words).out


@pytest.mark.parametrize("command", ["quantize", "compare"])
def test_a_gate_on_the_drop_is_refused_before_anything_is_made(
    run: Run, tiny_keras: Path, flat: Path, tmp_path: Path, command: str
) -> None:
    option = "--recipe" if command == "quantize" else "--recipes"
    refused = run(
        command, "--model", tiny_keras, option, "tflite-int8", "--calibration",
        flat / "calibration", "--data", flat / "test", "--max-drop", 1, "--output", tmp_path / "o",
    )  # fmt: skip
    assert refused.code == 2
    assert refused.err.startswith(
        "edgequant: --max-drop limits a loss of right answers, which images"
    )
    assert not (tmp_path / "o").exists()


def test_compare_without_labels(run: Run, tiny_keras: Path, flat: Path, tmp_path: Path) -> None:
    shown = run(
        "compare", "--model", tiny_keras, "--recipes", "tflite-int8,tflite-float32", "--data",
        f"{flat}/test:unlabelled", "--calibration", flat / "calibration", "--output", tmp_path,
    )  # fmt: skip
    assert shown.code == 0, shown.err
    rows = list(csv.DictReader((tmp_path / "mine-compare.csv").read_text().splitlines()))
    assert [(row["top1"], row["drop"], row["right_to_wrong"]) for row in rows] == [("",) * 3] * 3
    assert [row["name"] for row in rows][:2] == ["keras-float32", "tflite-float32"]
    assert all(row["agreement"] and row["changed"] for row in rows[1:])
    page = (tmp_path / "mine-compare.html").read_text()
    assert "Likeness to float against size and speed" in page
    assert "what it costs in accuracy is not known" in page
    assert "What each recipe loses" not in page


@pytest.mark.parametrize("kind", ["txt", "npy", "npz"])
def test_evaluate_on_files_without_labels(
    run: Run, tiny_keras: Path, tiny_int8: Path, flat: Path, tmp_path: Path, kind: str
) -> None:
    data = tmp_path / f"data.{kind}"
    if kind == "txt":
        shutil.copytree(flat / "test", tmp_path / "photos")
        names = sorted(path.name for path in (tmp_path / "photos").iterdir())
        data.write_text("".join(f"photos/{name}\n" for name in names))
    else:
        pixels = np.random.default_rng(1).integers(0, 256, (10, 24, 24, 3), np.uint8)
        with data.open("wb") as stream:
            np.save(stream, pixels) if kind == "npy" else np.savez(stream, images=pixels)
    words = ("evaluate", tiny_int8, "--data", data, "--json")
    alone, compared = run(*words).json, run(*words, "--reference", tiny_keras).json
    assert (alone["n"], alone["top1"], "agreement" in alone) == (10, None, False)
    assert compared["agreement"] >= 0
    assert "drop" not in compared
    refused = run(*words[:-1], "--reference", tiny_keras, "--max-drop", 1)
    assert (refused.code, refused.out) == (2, "")
    assert "which images without labels do not have; received" in refused.err


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_evaluate_a_flat_folder_with_a_label_file(
    run: Run, tiny_int8: Path, photos: Path, tmp_path: Path, ending: str
) -> None:
    """The same accuracy as that of class folders."""
    rows = {}
    (tmp_path / "d").mkdir()
    for path in sorted((photos / "test").glob("*/*.png")):
        name = f"{path.stem}{path.parent.name}.png"
        shutil.copyfile(path, tmp_path / "d" / name)
        rows[name] = path.parent.name
    if ending == "json":
        (tmp_path / "d" / "labels.json").write_text(json.dumps(rows))
    else:
        lines = ("file,label", *(f"{name},{label}" for name, label in rows.items()))
        (tmp_path / "labels.csv").write_text("\n".join(lines))  # beside the folder
    labelled = run("evaluate", tiny_int8, "--data", tmp_path / "d", "--json").json
    folders = run("evaluate", tiny_int8, "--data", f"{photos}:test", "--json").json
    assert labelled["n"] == folders["n"] == 18
    for name in ("top1", "top1_interval", "per_class"):
        assert labelled[name] == folders[name]


def test_lint_says_what_it_cannot_judge(run: Run, tiny_int8: Path, flat: Path) -> None:
    shown = run("lint", tiny_int8, "--data", flat / "test", "--json")
    assert shown.code == 1
    states = {check["check"]: check["state"] for check in shown.json["checks"]}
    compared = ("double-normalization", "value-range", "channel-order", "label-shift")
    assert {states[name] for name in compared} == {"not judged"}
    assert states["silent-float"] == states["dynamic-shape"] == "clean"
    sentences = {check["check"]: check["sentence"] for check in shown.json["checks"]}
    assert "the images have no labels" in sentences["value-range"]
    assert "top-1" not in sentences["softmax"]
    assert "class" not in sentences["calibration"]


def test_lint_finds_a_constant_output_without_labels(run: Run, flat: Path, tmp_path: Path) -> None:
    import keras

    image = keras.Input((24, 24, 3))
    x = keras.layers.GlobalAveragePooling2D()(image)
    layer = keras.layers.Dense(3, kernel_initializer="zeros", bias_initializer="ones")
    keras.Model(image, layer(x)).save(tmp_path / "constant.keras")
    shown = run("lint", tmp_path / "constant.keras", "--data", flat / "test", "--json")
    found = [check["check"] for check in shown.json["checks"] if check["state"] == "found"]
    assert found == ["constant-output"]


@pytest.mark.slow
def test_ship_on_images_without_labels(
    run: Run, tiny_keras: Path, flat: Path, tmp_path: Path
) -> None:
    shown = run(
        "ship", "--model", tiny_keras, "--for", "onnx-mobile", "--calibration",
        flat / "calibration", "--data", flat / "test", "--vectors", 3, "--output", tmp_path / "b",
    )  # fmt: skip
    assert shown.code == 0, shown.err
    manifest = json.loads((tmp_path / "b" / "bundle.json").read_text())
    assert manifest["vectors"]["images"] == 3
    assert {row["top1"] for row in manifest["accuracy"]["rows"]} == {None}
    assert all(row["as_float"] >= 0 for row in manifest["accuracy"]["rows"])
    card = (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert "| float model | keras | - | 100.00 |" in card
    assert "test, which have no labels, drawn at random." in card
    assert run("verify", tmp_path / "b").code == 0


def test_sensitivity_says_whose_answers_count_as_right(
    run: Run, tiny_keras: Path, flat: Path, tmp_path: Path
) -> None:
    shown = run(
        "sensitivity", "--model", tiny_keras, "--calibration", flat / "test:unlabelled",
        "--output", tmp_path,
    )  # fmt: skip
    assert shown.code == 2  # a test split by its name
    shown = run(
        "sensitivity", "--model", tiny_keras, "--calibration", flat / "calibration",
        "--output", tmp_path,
    )  # fmt: skip
    assert shown.code == 0, shown.err
    assert "no labels that count the outputs, so that float's answers count as right" in shown.out


def test_a_repair_on_calibration_images_without_labels(
    run: Run, tiny_keras: Path, photos: Path, flat: Path, tmp_path: Path
) -> None:
    shown = run(
        "quantize", "--model", tiny_keras, "--recipe", "tflite-int8", "--calibration",
        flat / "calibration", "--data", f"{photos}:test", "--max-drop", 50, "--max-float-share",
        0.5, "--output", tmp_path, "--json",
    )  # fmt: skip
    assert shown.code == 0, shown.err
    record = json.loads((tmp_path / "mine-tflite-int8.recipe.json").read_text())
    assert record["repair"]["holds"] is True


def test_a_repair_says_whose_answers_count_as_right() -> None:
    first = Step(Optimization.FAST, (), (), 3.0, 97.0)
    chosen = Step(Optimization.BEST, (), (), 0.5, 99.5)
    labelled = Repair(1.0, 20, (first, chosen), chosen)
    (said,) = labelled.remarks()
    assert "on 20 held-out calibration images went from 3.00 to 0.50 points" in said
    (said,) = replace(labelled, labelled=False).remarks()
    assert "images (float's answers count as right, for they have no labels that fit) went" in said


def test_training_is_refused(run: Run, flat: Path, tmp_path: Path) -> None:
    refused = run(
        "train", "--model", "mobilenet_v2_small", "--data", flat / "calibration",
        "--output", tmp_path / "o",
    )  # fmt: skip
    assert refused.code == 2
    assert "training needs images with labels" in refused.err


def test_the_digest_of_data_follows_what_a_list_names(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in ("0.png", "1.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / "d" / name)
    path = tmp_path / "list.txt"
    path.write_text("d/0.png\nd/1.png\n")
    listed, folder = data_digest(str(path)), data_digest(str(tmp_path / "d"))
    Image.new("RGB", (9, 9)).save(tmp_path / "d" / "1.png")
    assert data_digest(str(path)) != listed
    assert data_digest(str(tmp_path / "d")) != folder
    folder = data_digest(str(tmp_path / "d"))
    (tmp_path / "labels.csv").write_text("file,label\n0.png,1\n1.png,2\n")
    assert data_digest(str(tmp_path / "d")) != folder
