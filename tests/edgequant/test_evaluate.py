"""``edgequant evaluate``, ``compare`` and ``inspect``."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from evaluation.session import runtimes
from tests.edgequant.conftest import Run


def test_evaluate_needs_no_flag_for_our_own_file(run: Run, tiny_int8: Path, photos: Path) -> None:
    row = run("evaluate", tiny_int8, "--data", f"{photos}:test", "--latency", "--json").json
    assert row["artifact"] == str(tiny_int8)
    assert row["runtime"] == "litert-xnnpack"
    assert row["n"] == 18
    assert 0 <= row["top1"] <= row["top5"] <= 100
    assert row["latency_ms"]["p50"] <= row["latency_ms"]["p90"] <= row["latency_ms"]["p99"]
    assert "drop" not in row


def test_latency_that_was_not_measured_is_a_dash_and_is_said(
    run: Run, tiny_int8: Path, tiny_keras: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clock(*_: object) -> None:
        pytest.fail("the clock ran")

    monkeypatch.setattr("edgequant.measuring.latency", clock)
    arguments = (
        "evaluate",
        tiny_int8,
        "--data",
        f"{photos}:test",
        "--reference",
        tiny_keras,
        "--wide",
    )
    shown = run(*arguments, "--no-latency").out
    assert "Latency was not measured." in shown
    rows = [line.split() for line in shown.splitlines() if "litert-xnnpack " in line]
    assert rows[0][-3:-1] == ["-", "-"]
    values = run(*arguments, "--no-latency", "--json").json
    assert values["latency_ms"] is None
    assert values["threads"] == 1


def test_threads_of_a_latency_that_is_not_measured_are_refused(
    run: Run, tiny_int8: Path, photos: Path
) -> None:
    arguments = ("evaluate", tiny_int8, "--data", f"{photos}:test", "--threads", "2")
    outcome = run(*arguments, "--no-latency")
    assert outcome.code == 2
    assert "received --threads 2 with --no-latency" in outcome.err


def test_evaluate_against_the_float_model(
    run: Run, tiny_int8: Path, tiny_keras: Path, photos: Path
) -> None:
    arguments = ("evaluate", tiny_int8, "--data", f"{photos}:test", "--reference", tiny_keras)
    row = run(*arguments, "--json").json
    low, high = row["drop_interval"]
    assert low <= row["drop"] <= high
    flips = row["flips"]
    lost = flips["right_to_wrong"] - flips["wrong_to_right"]
    assert row["drop"] == pytest.approx(100 * lost / row["n"])
    assert row["agreement"] == pytest.approx(100 * (1 - flips["changed"] / row["n"]))
    assert row["sqnr_db"] > 10


def test_evaluate_one_keras_model_against_another(run: Run, tiny_keras: Path, photos: Path) -> None:
    arguments = ("evaluate", tiny_keras, "--data", f"{photos}:test", "--reference", tiny_keras)
    row = run(*arguments, "--json").json
    assert row["flips"]["changed"] == 0
    assert row["sqnr_db"] is None, "equal outputs have no noise"
    assert run(*arguments, "--runtime", "litert-xnnpack").code == 2


@pytest.mark.parametrize(
    "runtime", [r.name for r in runtimes().values() if ".tflite" in r.suffixes]
)
def test_evaluate_in_every_runtime_of_the_format(
    run: Run, tiny_int8: Path, photos: Path, runtime: str
) -> None:
    arguments = ("evaluate", tiny_int8, "--data", f"{photos}:test", "--runtime", runtime, "--json")
    assert run(*arguments).json["runtime"] == runtime


def test_evaluate_limit_is_seeded(run: Run, tiny_int8: Path, photos: Path) -> None:
    arguments = ("evaluate", tiny_int8, "--data", f"{photos}:test", "--limit", 7, "--json")
    first, second = run(*arguments).json, run(*arguments).json
    assert first["n"] == second["n"] == 7
    assert first["metrics"] == second["metrics"]


def test_evaluate_a_foreign_file_asks_for_the_contract(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    import keras
    import tensorflow as tf

    model = keras.models.load_model(tiny_keras)
    fixed = keras.Input(batch_shape=(1, 24, 24, 3))
    content = tf.lite.TFLiteConverter.from_keras_model(keras.Model(fixed, model(fixed))).convert()
    (tmp_path / "f.tflite").write_bytes(content)
    command = ("evaluate", tmp_path / "f.tflite", "--data", f"{photos}:test")
    refused = run(*command)
    assert refused.code == 2
    assert "--mean and --std" in refused.err
    (tmp_path / "f.toml").write_bytes(tiny_keras.with_suffix(".toml").read_bytes())
    assert run(*command, "--json").json["n"] == 18


def test_evaluate_npz_with_labels_out_of_range(run: Run, tiny_int8: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 24, 24, 3), np.uint8), labels=[0, 1, 2, 3])
    outcome = run("evaluate", tiny_int8, "--data", tmp_path / "a.npz")
    assert outcome.code == 2
    assert "label 3" in outcome.err


def test_gate_fails_with_one_and_still_reports(
    run: Run, tiny_int8: Path, tiny_keras: Path, photos: Path
) -> None:
    arguments = ("evaluate", tiny_int8, "--data", f"{photos}:test", "--reference", tiny_keras)
    outcome = run(*arguments, "--max-drop", "-100", "--json")
    assert outcome.code == 1
    assert "--max-drop" in outcome.err
    assert outcome.json["n"] == 18
    assert run(*arguments, "--max-drop", "100", "--json").code == 0


def test_gate_without_reference_is_bad_input(run: Run, tiny_int8: Path, photos: Path) -> None:
    outcome = run("evaluate", tiny_int8, "--data", f"{photos}:test", "--max-drop", "1")
    assert outcome.code == 2
    assert "--reference" in outcome.err


def test_compare_writes_one_matrix(
    run: Run, tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    arguments = (
        "compare", "--model", tiny_keras, "--data", f"{photos}:test",
        "--calibration", f"{photos}:train", "--recipes", "tflite-int8,onnx-int8,onnx-float32",
        "--output", tmp_path, "--json",
    )  # fmt: skip
    outcome = run(*arguments)
    assert outcome.code == 0, outcome.err
    rows = outcome.json["rows"]
    assert rows[0]["name"] == "keras-float32"
    assert {row["name"] for row in rows[1:]} == {"tflite-int8", "onnx-int8", "onnx-float32"}
    noise = [row["sqnr_db"] for row in rows[1:]]
    assert noise == sorted(noise, reverse=True)
    for row in rows[1:]:
        assert row["size_bytes"] > 0
        assert row["latency_ms"] is None
    stored = json.loads((tmp_path / "mine-compare.json").read_text())
    assert stored["rows"] == rows
    table = list(csv.DictReader((tmp_path / "mine-compare.csv").read_text().splitlines()))
    assert [row["name"] for row in table] == [row["name"] for row in rows]
    assert "| onnx-int8 |" in (tmp_path / "mine-compare.md").read_text()
    page = (tmp_path / "mine-compare.html").read_text(encoding="utf-8")
    changed = {f["image"] for row in rows for f in row.get("flipped", ())}
    assert page.count("<img ") >= len(changed)
    assert "mine-compare.html" in (tmp_path / "SHA256SUMS").read_text()
    for row in rows[1:]:
        assert len(row["flipped"]) == row["flips"]["changed"]
        assert all(str(photos) in flip["name"] for flip in row["flipped"])
    again = run(*arguments)
    assert again.json == outcome.json, "nothing changed, so the stored report is shown"
    (tmp_path / "mine-compare.html").unlink()
    assert run(*arguments[:-1]).out.splitlines()[-1] == f"page  {tmp_path}/mine-compare.html"
    assert (tmp_path / "mine-compare.html").read_text(encoding="utf-8") == page


def test_inspect_tells_types_and_sizes(run: Run, tiny_int8: Path) -> None:
    values = run("inspect", tiny_int8, "--json").json
    assert values["inputs"][0]["dtype"] == "int8"
    assert len(values["inputs"][0]["scale"]) == 1
    assert sum(values["size_by_part"].values()) == tiny_int8.stat().st_size
    assert {operator["compute"] for operator in values["operators"]} == {"int8"}
    assert "CONV_2D" in run("inspect", tiny_int8, "--tensors").out
