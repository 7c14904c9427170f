"""A float .tflite as the model, and weights from one in a registered network."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequant.loading import layers_in, load
from foundation.errors import InvalidInputError
from models.loading.request import LoadedModel, ModelRequest
from models.loading.request import load as load_keras
from network.from_keras import converted, frozen
from tests.edgequant.conftest import Run


def _written(loaded: LoadedModel, path: Path, configure: Any = None) -> Path:
    function = frozen(loaded.model, loaded.input_shape)
    path.write_bytes(converted(function, "a test", configure))
    return path


@pytest.fixture(scope="module")
def mine(tiny_keras: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's model as a float32 .tflite, of the same name, with the contract beside it."""
    folder = tmp_path_factory.mktemp("tflite")
    shutil.copy(tiny_keras.with_suffix(".toml"), folder / "mine.toml")
    return _written(load_keras(ModelRequest(str(tiny_keras))), folder / "mine.tflite")


def test_int8_files_of_a_tflite_are_those_of_its_keras_model(
    run: Run, tiny_keras: Path, mine: Path, photos: Path, tmp_path: Path
) -> None:
    made: dict[str, dict[str, bytes]] = {}
    for model in (tiny_keras, mine):
        output = tmp_path / model.suffix[1:]
        outcome = run(
            "quantize", "--model", model, "--recipe", "tflite-int8,onnx-int8", "--optimize",
            "fast", "--calibration", f"{photos}:train", "--data", f"{photos}:test",
            "--output", output,
        )  # fmt: skip
        assert outcome.code == 0, outcome.err
        paths = [p for p in sorted(output.rglob("mine-*int8.*")) if p.suffix != ".json"]
        made[model.suffix] = {
            p.name: p.read_bytes() for p in paths if p.suffix in (".tflite", ".onnx", ".plan")
        }
    assert len(made[".keras"]) == 4
    assert made[".keras"] == made[".tflite"]


def test_other_recipes_start_from_the_same_numbers(
    run: Run, mine: Path, photos: Path, tmp_path: Path
) -> None:
    outcome = run(
        "quantize", "--model", mine, "--recipe",
        "tflite-float32,tflite-float16,tflite-dynamic,onnx-float32", "--data", f"{photos}:test",
        "--output", tmp_path, "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    found = {
        row["name"]: row["sqnr_db"]
        for artifact in outcome.json["artifacts"]
        for row in artifact["report"]["rows"]
        if "sqnr_db" in row
    }
    least = {"tflite-float32": 90, "onnx-float32": 90, "tflite-float16": 50, "tflite-dynamic": 20}
    assert {name: found[name] > db for name, db in least.items()} == dict.fromkeys(least, True)
    # A float32 file that we wrote is a model with its contract in it.
    (ours,) = tmp_path.rglob("*tflite-float32.tflite")
    copied = Path(shutil.copy(ours, tmp_path / "ours.tflite"))
    outcome = run(
        "quantize", "--model", copied, "--recipe", "tflite-float16", "--output", tmp_path / "again"
    )
    assert outcome.code == 0, outcome.err


def test_the_cost_of_a_file_is_that_of_its_model(run: Run, tiny_keras: Path, mine: Path) -> None:
    keras_cost, file_cost = (
        run("cost", "--model", path, "--json").json for path in (tiny_keras, mine)
    )
    for figure in ("macs", "peak_bytes"):
        assert file_cost[figure] == keras_cost[figure]
    folded = keras_cost["params"] - keras_cost["batch_norm_params"] * 3 // 4
    assert file_cost["params"] == folded


def test_a_float_file_is_shown_with_the_command_that_quantizes_it(run: Run, mine: Path) -> None:
    shown = run("inspect", mine).out
    assert f"edgequant quantize --model {mine}" in shown
    assert "evaluate" not in shown


def test_layers_of_a_file_are_ranked(run: Run, mine: Path, photos: Path, tmp_path: Path) -> None:
    outcome = run(
        "sensitivity", "--model", mine, "--recipe", "tflite-int8", "--optimize", "fast",
        "--calibration", f"{photos}:train", "--output", tmp_path, "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--alpha", "1"), "--alpha with"),
        (("--weights", "random"), "--weights with"),
    ],
)
def test_options_of_registered_models_are_refused(
    run: Run, mine: Path, options: tuple[str, ...], said: str
) -> None:
    outcome = run("cost", "--model", mine, *options)
    assert outcome.code == 2
    assert said in outcome.err


def test_a_quantized_file_is_no_float_model(run: Run, tiny_int8: Path) -> None:
    outcome = run("cost", "--model", tiny_int8)
    assert outcome.code == 2
    assert "holds a float network" in outcome.err
    assert "--weights" in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1


def test_a_file_that_is_not_there_is_one_sentence(run: Run, tmp_path: Path) -> None:
    outcome = run("cost", "--model", tmp_path / "none.tflite")
    assert outcome.code == 2
    assert "does not exist" in outcome.err


SMALL = "mobilenet_v2_small"


@pytest.fixture(scope="module")
def shipped() -> LoadedModel:
    """The shipped network with its weights."""
    return load_keras(ModelRequest(SMALL))


@pytest.fixture(scope="module")
def exact(shipped: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped network as a float32 .tflite."""
    return _written(shipped, tmp_path_factory.mktemp("exact") / "small.tflite")


def _images() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)


def _scores(loaded: LoadedModel) -> np.ndarray:
    return np.asarray(loaded.model(_images(), training=False))


def test_float_weights_of_a_file_are_those_it_was_made_from(
    shipped: LoadedModel, exact: Path
) -> None:
    loaded = load(ModelRequest(SMALL, weights=str(exact)))
    np.testing.assert_allclose(_scores(loaded), _scores(shipped), atol=1e-4)
    assert loaded.remarks == ()


@pytest.mark.slow
def test_integer_weights_of_a_file_are_half_a_step_away(
    shipped: LoadedModel, exact: Path, tmp_path: Path
) -> None:
    import tensorflow as tf

    def quantize(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in _images())
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]

    path = _written(shipped, tmp_path / "small.tflite", quantize)
    loaded = load(ModelRequest(SMALL, weights=str(path)))
    (remark,) = loaded.remarks
    assert "rounding of its integers" in remark
    pairs = zip(*(layers_in(p) for p in (path, exact)), strict=True)
    for rounded, layer in pairs:
        step = np.abs(layer.kernel).max() / 127
        assert np.abs(rounded.kernel - layer.kernel).max() <= step * 0.51, layer.name
    error = _scores(loaded) - _scores(shipped)
    assert np.square(_scores(shipped)).mean() / np.square(error).mean() > 100  # 20 dB


def test_weights_of_another_width_are_refused_with_the_layer(run: Run, exact: Path) -> None:
    outcome = run("cost", "--model", SMALL, "--alpha", 0.5, "--weights", exact)
    assert outcome.code == 2
    assert "has a kernel" in outcome.err
    assert "in its place" in outcome.err
    with pytest.raises(InvalidInputError, match="predictions"):
        load(ModelRequest(SMALL, weights=str(exact), classes=7))
