"""``edgequant lint`` as a shell sees it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.loading import ModelRequest, load
from tests.edgequant.conftest import Run


def test_a_clean_file_exits_with_0_and_shows_every_figure(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "shipped.keras"
    load(ModelRequest("mobilenet_v2_small")).model.save(path)
    arguments = ("lint", path, "--data", "fashion_mnist:test", "--crop", "pad", "--limit", "40")
    outcome = run(*arguments, "--json")
    assert outcome.code == 0, outcome.err
    assert (outcome.json["images"], outcome.json["findings"]) == (40, 0)
    assert outcome.json["contract_assumed"] is True
    shift = next(c for c in outcome.json["checks"] if c["check"] == "label-shift")
    assert shift["figures"]["top1"] > 80


def test_an_untrained_int8_file_is_constant(run: Run, tiny_int8: Path, photos: Path) -> None:
    outcome = run("lint", tiny_int8, "--data", f"{photos}:test", "--json")
    assert outcome.code == 1
    states = {c["check"]: c["state"] for c in outcome.json["checks"]}
    assert states["constant-output"] == "found"
    assert states["silent-float"] == states["dynamic-shape"] == "clean"


def test_a_fault_exits_with_1_and_its_name(run: Run, tiny_keras: Path, photos: Path) -> None:
    arguments = ("lint", tiny_keras, "--data", f"{photos}:test", "--scores", "probabilities")
    outcome = run(*arguments)
    assert outcome.code == 1
    assert "found  softmax: outputs sum to" in outcome.out
    assert "mine.keras with" in outcome.err


def test_bad_input_exits_with_2(run: Run, tiny_keras: Path, photos: Path, tmp_path: Path) -> None:
    data = ("--data", f"{photos}:test")
    assert run("lint", tmp_path / "absent.onnx", *data).code == 2
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(b"no model")
    assert run("lint", damaged, *data).code == 2
    assert run("lint", tiny_keras, "--data", tmp_path / "absent").code == 2
    foreign = tmp_path / "foreign.npz"
    np.savez(foreign, images=np.zeros((4, 24, 24, 3), np.uint8), labels=np.array([0, 1, 2, 9]))
    outcome = run("lint", tiny_keras, "--data", foreign)
    assert outcome.code == 2
    assert "labels count the 3 outputs" in outcome.err
