"""Networks with operators without an integer form, from the command line to the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.session import runtimes
from export.tflite.inspect import inspect as inspect_tflite
from tests.edgequant.conftest import Run, model_and_images
from tests.network.graphs import sqnr_db


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


def attention_like(x: Any) -> Any:
    """Layer norm, GELU and ELU, of which the converter makes files that LiteRT does not run."""
    import keras

    x = keras.layers.LayerNormalization(name="norm")(x)
    return keras.layers.ELU(name="elu")(keras.activations.gelu(x, approximate=False))


@pytest.fixture(scope="module")
def normed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return saved(tmp_path_factory.mktemp("normed"), "normed", attention_like)


def test_int16x8_is_planned_where_the_converter_cannot_write_it(
    run: Run, normed: tuple[Path, Path], tmp_path: Path
) -> None:
    import keras

    model, data = normed
    command = ("quantize", "--model", model, "--recipe", "tflite-int16x8", "--optimize", "fast",
               "--calibration", f"{data}:train", "--samples", 32, "--output", tmp_path,
               "--json")  # fmt: skip
    outcome = run(*command)
    assert outcome.code == 0, outcome.err
    (remark,) = [text for text in outcome.json["remarks"] if "stays in float32" in text]
    assert "RSQRT" in remark
    assert "no int16 kernel" in remark
    path = Path(outcome.json["artifact"])
    held = {(op.compute, op.name) for op in inspect_tflite(path).operators}
    assert {("int16", "CONV_2D"), ("int16", "MUL"), ("float32", "RSQRT")} <= held
    assert not any(compute == "int8" for compute, _ in held)
    pictures = np.random.default_rng(1).uniform(-1, 1, (8, 16, 16, 3)).astype(np.float32)
    exact = np.asarray(keras.models.load_model(model)(pictures))
    found = runtimes()["litert-reference"].open(path, 1).predict(pictures)
    assert sqnr_db(exact, found) > 40
    assert run(*command).json["unchanged"]
    plan = path.with_suffix(".plan")
    again = ("plan", "apply", plan, "--model", model, "--output", tmp_path / "again", "--json")
    applied = run(*again, "--recipe", "tflite-int16x8")
    assert Path(applied.json["artifact"]).read_bytes() == path.read_bytes()
    refused = run(*again, "--recipe", "tflite-int8")
    assert refused.code == 2
    assert "tflite-int16x8, which it was made for" in refused.err


def test_the_share_of_int16x8_is_known_before_it_is_made(
    run: Run, normed: tuple[Path, Path], tmp_path: Path
) -> None:
    model, data = normed
    for effort in ("fast", "converter"):
        outcome = run(
            "quantize", "--model", model, "--recipe", "tflite-int16x8", "--optimize", effort,
            "--calibration", f"{data}:train", "--max-float-share", 0.001, "--output", tmp_path,
        )  # fmt: skip
        assert outcome.code == 2
        assert "--max-float-share 0.001" in outcome.err
    shown = run("inspect", model, "--json").json
    types = {row["kind"]: row["types"]["tflite-int16x8"] for row in shown["operators"]}
    assert (types["RSQRT"], types["GELU"], types["CONV_2D"]) == ("float32", "int16", "int16")


def test_the_converters_own_operators_are_counted(
    run: Run, normed: tuple[Path, Path], tmp_path: Path
) -> None:
    """A negative that the canonical graph does not have is in float in the converter's file."""
    model, data = normed
    outcome = run(
        "quantize", "--model", model, "--recipe", "tflite-int8", "--optimize", "converter",
        "--calibration", f"{data}:train", "--samples", 16, "--output", tmp_path, "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    (remark,) = outcome.json["remarks"]
    assert "NEG" in remark
    assert "left by the converter" in remark
