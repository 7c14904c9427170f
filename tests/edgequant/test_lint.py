"""``edgequant lint`` as a shell sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.lint.check import lint_checks
from models.loading.request import ModelRequest, load
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


COMPARING = {check.name for check in lint_checks() if check.compares}


def states(outcome: Any) -> dict[str, str]:
    return {c["check"]: c["state"] for c in outcome.json["checks"]}


def test_folders_that_cannot_be_matched_to_the_outputs_are_not_judged(
    run: Run, tiny_keras: Path, tmp_path: Path
) -> None:
    """Eleven class folders and three outputs, without labels: top-1 says nothing."""
    from PIL import Image

    foreign = tmp_path / "no-labels.keras"
    foreign.write_bytes(tiny_keras.read_bytes())
    rng = np.random.default_rng(0)
    for number in range(2, 13):
        (tmp_path / "d" / f"{number:02}").mkdir(parents=True)
        pixels = rng.integers(0, 256, (24, 24, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "d" / f"{number:02}" / "0.png")
    given = ("lint", foreign, "--data", tmp_path / "d", "--mean", "127.5", "--std", "127.5")
    outcome = run(*given, "--json")
    assert outcome.code == 1
    assert {name for name, state in states(outcome).items() if state == "not judged"} >= COMPARING
    assert outcome.json["not_judged"] >= len(COMPARING)
    assert "not judged" in outcome.err
    shown = run(*given)
    assert "11 class names cannot be matched to 3 outputs without --labels" in shown.out
    assert "top-1" not in "".join(line for line in shown.out.splitlines() if "shift" in line)


@pytest.mark.slow
def test_answers_that_are_no_better_than_guessing_are_not_judged(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "shipped.keras"
    load(ModelRequest("mobilenet_v2_small")).model.save(path)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (40, 32, 32, 3)).astype(np.uint8)
    np.savez(tmp_path / "noise.npz", images=noise, labels=rng.integers(0, 10, 40))
    arguments = (
        "lint",
        path,
        "--data",
        tmp_path / "noise.npz",
        "--mean",
        "127.5",
        "--std",
        "127.5",
    )
    outcome = run(*arguments, "--json")
    assert outcome.code == 1
    assert states(outcome)["label-shift"] == "not judged"
    assert "no better than guessing among 10 outputs" in run(*arguments).out


def test_scores_that_are_no_numbers_are_refused(run: Run, photos: Path, tmp_path: Path) -> None:
    import keras

    image = keras.Input((24, 24, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    scores = keras.layers.Dense(3, kernel_initializer=keras.initializers.Constant(1e38))(pooled)
    keras.Model(image, keras.layers.Rescaling(1e30)(scores)).save(tmp_path / "nan.keras")
    given = ("--mean", "127.5", "--std", "127.5", "--data", f"{photos}:test")
    outcome = run("lint", tmp_path / "nan.keras", *given, "--json")
    assert outcome.code == 2
    assert "finite scores" in outcome.err
