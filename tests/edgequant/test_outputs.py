"""Commands on a network with several outputs, and on one whose output is a map."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.edgequant.conftest import Run
from tests.export.output_networks import NETWORKS, SIDE

CONTRACT = f'size = [{SIDE}, {SIDE}]\ncrop = "stretch"\nmean = 127.5\nstd = 127.5\n'


def saved(name: str, folder: Path) -> Path:
    path = folder / f"{name}.keras"
    NETWORKS[name][0]().save(path)
    path.with_suffix(".toml").write_text(CONTRACT)
    return path


@pytest.mark.parametrize("name", ["two_heads", "mask"])
def test_both_files_of_one_plan_give_every_output(
    name: str, photos: Path, tmp_path: Path, run: Run
) -> None:
    model = saved(name, tmp_path)
    images = ("--calibration", f"{photos}:train", "--output", tmp_path / "out")
    made = run("quantize", "--model", model, "--recipe", "tflite-int8,onnx-int8", *images)
    assert made.code == 0, made.err
    files = [next((tmp_path / "out").rglob(f"*{suffix}")) for suffix in (".tflite", ".onnx")]
    compared = run("parity", *files, "--limit", 3, "--strict", "--json")
    assert compared.code == 0, compared.err
    report = json.loads(compared.out)
    assert report["same_integers"]
    names = [row.get("output", "scores") for row in report["outputs"]]
    assert names == list(NETWORKS[name][1]) * 4


def test_a_recipe_without_a_plan_takes_several_outputs(
    photos: Path, tmp_path: Path, run: Run
) -> None:
    model = saved("two_heads", tmp_path)
    images = ("--calibration", f"{photos}:train", "--output", tmp_path / "out")
    made = run("quantize", "--model", model, "--recipe", "tflite-int16x8", *images)
    assert made.code == 0, made.err
    assert next((tmp_path / "out").rglob("*.tflite")).stat().st_size


def test_sensitivity_lists_the_noise_of_each_output(photos: Path, tmp_path: Path, run: Run) -> None:
    model = saved("two_heads", tmp_path)
    images = ("--calibration", f"{photos}:train", "--output", tmp_path, "--optimize", "fast")
    done = run("sensitivity", "--model", model, "--recipe", "tflite-int8", *images, "--json")
    assert done.code == 0, done.err
    (row, *_) = json.loads(done.out)["rows"]
    part = row["weights"] or row["activations"]
    assert list(part["outputs_sqnr_db"]) == list(NETWORKS["two_heads"][1])


def test_a_bundle_for_firmware_has_every_output(photos: Path, tmp_path: Path, run: Run) -> None:
    model, output = saved("detector", tmp_path), tmp_path / "bundle"
    images = ("--calibration", f"{photos}:train", "--vectors", 3, "--output", output)
    made = run("ship", "--model", model, "--for", "microcontroller,ethos-u", *images)
    assert made.code == 0, made.err
    header = (output / "microcontroller" / "model_contract.h").read_text()
    for words in ("kOutputCount = 4;", "kOutputSize = 1120;", '{"classes_1", 96, '):
        assert words in header
    assert "kClasses" not in header
    assert "kOutputs" in (output / "ethos-u" / "model_contract.h").read_text()
    assert not (output / "labels.txt").exists()
    checked = run("verify", output)
    assert checked.code == 0, checked.err
    assert "compiles and links the sources as C++17" in checked.out + made.out


def test_platforms_of_classifiers_are_refused_before_anything_is_written(
    photos: Path, tmp_path: Path, run: Run
) -> None:
    model = saved("mask", tmp_path)
    images = ("--calibration", f"{photos}:train", "--output", tmp_path / "bundle")
    done = run("ship", "--model", model, "--for", "android,microcontroller", *images)
    assert done.code == 2, done.err
    assert "for android holds a network with one output, scores of labels" in done.err
    assert "give --for c, ethos-u, microcontroller, onnx-mobile" in done.err
    assert not (tmp_path / "bundle").exists()
