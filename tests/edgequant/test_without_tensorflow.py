"""A .keras file becomes int8 files without TensorFlow and Keras, and they are those of before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import pytest

from edgequant import loading
from edgequant.loading import graph_read, load
from foundation.digests import sha256_of
from models.loading.request import ModelRequest
from models.loading.request import load as load_keras
from tests.edgequant.conftest import Run

_SCRIPT = """
import sys
from edgequant.cli.main import cli
cli.main(sys.argv[1:], standalone_mode=False)
print([name for name in ("tensorflow", "keras") if name in sys.modules])
"""


def _in_a_child(*arguments: object) -> str:
    """Names of the SDKs that a command imports, as a list in text."""
    words = [sys.executable, "-c", _SCRIPT, *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def test_a_model_that_was_read_is_the_one_that_keras_loads(tiny_keras: Path) -> None:
    request = ModelRequest(str(tiny_keras))
    read, loaded = load(request), load_keras(request)
    assert graph_read(read) is not None
    for field in ("name", "input_shape", "outputs", "spec", "remarks", "takes_pixels"):
        assert getattr(read, field) == getattr(loaded, field)
    assert isinstance(read.model, keras.Model)
    assert read.model is read.model


@pytest.mark.slow
def test_int8_files_are_made_without_tensorflow(
    tiny_keras: Path, photos: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of two formats are those of a network that Keras has loaded, byte for byte."""
    arguments = ["quantize", "--model", tiny_keras, "--calibration", f"{photos}:train"]
    arguments += ["--recipe", "tflite-int8,onnx-int8", "--output"]
    assert _in_a_child(*arguments, tmp_path / "read") == "[]"
    monkeypatch.setattr(loading, "read_graph", lambda *_: None)
    assert run(*arguments, tmp_path / "loaded").code == 0
    for name in ("tflite-int8/mine-tflite-int8.tflite", "onnx-int8/mine-onnx-int8.onnx"):
        assert sha256_of(tmp_path / "read" / name) == sha256_of(tmp_path / "loaded" / name)


@pytest.mark.slow
def test_a_plan_is_rendered_without_tensorflow(
    tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    arguments = ["quantize", "--model", tiny_keras, "--calibration", f"{photos}:train"]
    _in_a_child(*arguments, "--recipe", "tflite-int8", "--output", tmp_path)
    plan = tmp_path / "mine-tflite-int8.plan"
    assert plan.is_file()
    words = ["plan", "apply", plan, "--model", tiny_keras, "--recipe", "onnx-int8"]
    assert _in_a_child(*words, "--output", tmp_path / "again") == "[]"


@pytest.mark.slow
def test_c_sources_are_shipped_without_tensorflow(
    tiny_keras: Path, photos: Path, tmp_path: Path
) -> None:
    words = ["ship", "--model", tiny_keras, "--for", "c", "--calibration", f"{photos}:train"]
    assert _in_a_child(*words, "--output", tmp_path / "bundle") == "[]"
