"""Networks with operators without an integer form, from the command line to the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.edgequant.conftest import Run, model_and_images


def network(function: Any) -> Any:
    import keras

    keras.utils.set_random_seed(3)
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu6", name="stem")(image)
    x = function(x)
    x = keras.layers.Conv2D(8, 3, name="next")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, keras.layers.Dense(4, name="scores")(x))


def saved(folder: Path, name: str, function: Any) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (240, 16, 16, 3), np.uint8)
    return model_and_images(folder, name, network(function), pictures, np.arange(240) % 4)


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    import keras

    return saved(tmp_path_factory.mktemp("waves"), "waves", keras.ops.sin)


def test_both_files_are_written_and_name_what_is_in_float(
    run: Run, waves: tuple[Path, Path], tmp_path: Path
) -> None:
    model, data = waves
    outcome = run(
        "quantize", "--model", model, "--recipe", "tflite-int8,onnx-int8", "--optimize", "fast",
        "--calibration", f"{data}:train", "--samples", 16, "--output", tmp_path, "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    first, second = outcome.json["artifacts"]
    for artifact in (first, second):
        (remark,) = [text for text in artifact["remarks"] if "stays in float32" in text]
        assert "no int8 kernel" in remark
    parity = run("parity", first["artifact"], second["artifact"], "--strict", "--limit", 2)
    assert parity.code == 0, parity.err
    assert "SIN" in parity.err  # the walk through layers is left out
    again = run(
        "quantize", "--model", model, "--recipe", "tflite-int8,onnx-int8", "--optimize", "fast",
        "--calibration", f"{data}:train", "--samples", 16, "--output", tmp_path, "--json",
    )  # fmt: skip
    assert [row["unchanged"] for row in again.json["artifacts"]] == [True, True]


def test_a_share_beyond_the_limit_is_refused_before_the_plan(
    run: Run, waves: tuple[Path, Path], tmp_path: Path
) -> None:
    model, data = waves
    outcome = run(
        "quantize", "--model", model, "--recipe", "tflite-int8", "--max-float-share", 0.001,
        "--calibration", f"{data}:train", "--samples", 16, "--output", tmp_path,
    )  # fmt: skip
    assert outcome.code == 2
    assert "--max-float-share" in outcome.err
    assert "SIN" in outcome.err
    assert not list(tmp_path.rglob("*.tflite"))
    trained = run(
        "quantize", "--model", model, "--recipe", "tflite-int8", "--optimize", "qat",
        "--calibration", f"{data}:train", "--samples", 16, "--output", tmp_path,
    )  # fmt: skip
    assert trained.code == 2
    assert "gradient" in trained.err


@pytest.mark.parametrize("recipe", ["tflite-int16x8", "tflite-int8"])
def test_the_converter_leaves_them_in_float_too(
    run: Run, waves: tuple[Path, Path], tmp_path: Path, recipe: str
) -> None:
    model, data = waves
    outcome = run(
        "quantize", "--model", model, "--recipe", recipe, "--optimize", "converter",
        "--calibration", f"{data}:train", "--samples", 16, "--output", tmp_path, "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    (remark,) = outcome.json["remarks"]
    assert "SIN" in remark
    held = run("inspect", outcome.json["artifact"], "--json").json["operators"]
    assert {"name": "SIN", "compute": "float32", "count": 1} in held


def test_what_one_format_cannot_hold_leaves_the_other_file(run: Run, tmp_path: Path) -> None:
    """ONNX has no atan2; the .tflite is written, and the exit code tells."""
    import keras

    model, data = saved(tmp_path, "angles", lambda x: keras.ops.arctan2(x, x + 1.0))
    output = tmp_path / "made"
    outcome = run(
        "quantize", "--model", model, "--recipe", "onnx-int8,tflite-int8", "--optimize", "fast",
        "--calibration", f"{data}:train", "--samples", 16, "--output", output,
    )  # fmt: skip
    assert outcome.code == 2
    assert "onnx-int8 is left out: every operator of a network has a form in an .onnx file" in (
        outcome.err
    )
    assert len(list(output.rglob("*.tflite"))) == 1
    assert not list(output.rglob("*.onnx"))
