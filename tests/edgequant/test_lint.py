"""``edgequant lint`` as a shell sees it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.edgequant.conftest import Run


def test_a_clean_file_exits_with_0_and_shows_every_figure(
    run: Run, tiny_int8: Path, photos: Path
) -> None:
    outcome = run("lint", tiny_int8, "--data", f"{photos}:test", "--json")
    states = {c["check"]: c["state"] for c in outcome.json["checks"]}
    assert states["silent-float"] == states["dynamic-shape"] == "clean"
    assert outcome.json["images"] == 18
    assert outcome.code == (1 if outcome.json["findings"] else 0)


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
