"""``--optimize qat`` from the command line: what is refused at once, and one real run."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from quantize.plans.plan import QuantizationPlan
from tests.edgequant.conftest import Run


@pytest.mark.parametrize(
    ("recipe", "more", "words"),
    [
        ("tflite-int8", ("--qat-epochs", "3"), "go with --optimize qat"),
        ("tflite-int8", ("--optimize", "best", "--qat-learning-rate", "0.1"), "--optimize best"),
        ("tflite-int8", ("--optimize", "qat", "--qat-epochs", "0"), "--qat-epochs"),
        ("tflite-int8", ("--optimize", "qat", "--qat-learning-rate", "0"), "0<x<=10"),
        ("tflite-int8", ("--optimize", "qat", "--qat-learning-rate", "nan"), "nan"),
        ("tflite-int8", ("--optimize", "qat", "--qat-learning-rate", "inf"), "inf"),
        ("tflite-float16,onnx-float32", ("--optimize", "qat"), "for int8 recipes"),
        ("tflite-int8", ("--optimize", "qat"), "no --calibration"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_a_model_is_loaded(
    run: Run, tmp_path: Path, recipe: str, more: tuple[str, ...], words: str
) -> None:
    began = time.process_time()
    outcome = run(
        "quantize", "--model", tmp_path / "none.keras", "--recipe", recipe,
        "--output", tmp_path / "o", *more,
    )  # fmt: skip
    assert outcome.code == 2
    assert words in outcome.err
    assert outcome.out == ""
    assert not (tmp_path / "o").exists()
    assert time.process_time() - began < 2


def test_training_without_its_extra_is_refused_at_once(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    outcome = run("quantize", "--recipe", "tflite-int8", "--optimize", "qat")
    assert outcome.code == 2
    assert "need the extra 'qat'; received an installation without tf_keras" in outcome.err


@pytest.mark.slow
def test_a_network_is_trained_from_its_plan(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    """Both files share the trained integers and their scales."""
    command = (
        "quantize", "--model", tiny_keras, "--recipe", "tflite-int8,onnx-int8",
        "--calibration", f"{photos}:train", "--data", f"{photos}:test", "--json",
    )  # fmt: skip
    trained = run(
        *command, "--optimize", "qat", "--qat-epochs", "2", "--qat-learning-rate", "0.3",
        "--output", tmp_path / "qat",
    )  # fmt: skip
    assert trained.code == 0, trained.err
    plans = [
        QuantizationPlan.load(Path(row["artifact"]).with_suffix(".plan"))
        for row in trained.json["artifacts"]
    ]
    story = plans[0].story["qat"]
    assert (story["epochs"], story["learning_rate"]) == (2, 0.3)
    assert story["fit_images"] + story["held_out_images"] == 12
    for name, constant in plans[0].constants.items():
        assert (constant.integers == plans[1].constants[name].integers).all()
        assert constant.params == plans[1].constants[name].params
    kept = story["kept_epoch"] > 0
    assert kept or any("gained nothing" in note for note in plans[0].notes)
    assert story["held_out_sqnr_db"][story["kept_epoch"]] >= story["held_out_sqnr_db"][0]
    again = run(
        *command, "--optimize", "qat", "--qat-epochs", "2", "--qat-learning-rate", "0.3",
        "--output", tmp_path / "qat",
    )  # fmt: skip
    assert all(row["unchanged"] for row in again.json["artifacts"])
