"""``edgequant inspect --for`` on files as the pipeline writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.edgequant.conftest import Run


@pytest.mark.parametrize("name", ["edge-tpu", "gpu", "nnapi"])
def test_an_int8_mobilenet_may_run_whole(run: Run, tiny_int8: Path, name: str) -> None:
    outcome = run("inspect", tiny_int8, "--for", name, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["taken"] == outcome.json["operators"] > 0
    assert outcome.json["sources"]


def test_core_ml_leaves_an_int8_file_and_takes_a_float16_one(
    run: Run, tiny_int8: Path, tiny_keras: Path, tmp_path: Path
) -> None:
    shown = run("inspect", tiny_int8, "--for", "coreml").out
    assert "may take 0 of" in shown
    assert "computes in int8" in shown
    assert "the first operator already stays on the CPU" in shown
    half = run(
        "quantize", "--model", tiny_keras, "--recipe", "tflite-float16", "--output", tmp_path,
        "--json",
    ).json["artifact"]  # fmt: skip
    outcome = run("inspect", half, "--for", "coreml", "--json").json
    (refusal,) = outcome["refused"]  # the mean over the map, which drops its axes
    assert refusal["operator"] == "MEAN"
    assert outcome["taken"] == outcome["operators"] - refusal["count"]
    refused = run("inspect", half, "--for", "edge-tpu")
    assert "the input is float32: export with --io uint8 or int8" in refused.out


def test_an_onnx_is_asked_of_onnx_runtimes_own_check(
    run: Run, tiny_keras: Path, tmp_path: Path
) -> None:
    path = run(
        "quantize", "--model", tiny_keras, "--recipe", "onnx-float32", "--output", tmp_path,
        "--json",
    ).json["artifact"]  # fmt: skip
    (answer,) = run("inspect", path, "--for", "nnapi", "--json").json["answers"]
    assert answer["provider"] == "NNAPI"
    assert answer["nodes"] == answer["all_nodes"]
    assert len(run("inspect", path, "--for", "coreml", "--json").json["answers"]) == 2
    assert run("inspect", path, "--for", "edge-tpu").code == 2
    assert run("inspect", tmp_path / "absent.onnx", "--for", "nnapi").code == 2
