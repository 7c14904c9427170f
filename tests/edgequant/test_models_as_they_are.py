"""Models as people have them: a base in a model, augmentation, rescaling, dropout, loose norms."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.edgequant.conftest import Run
from tests.models.loading.legacy_configs import small, write


@pytest.fixture(scope="module")
def transfer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frozen base behind augmentation and rescaling, as Keras's own guide builds it."""
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(2)
    base = keras.Sequential(
        [
            keras.Input((24, 24, 3)),
            layers.Conv2D(8, 3, strides=2, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.DepthwiseConv2D(3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.BatchNormalization(),  # behind a pooling: nothing to fold it into
        ],
        name="base",
    )
    base.trainable = False
    augmentation = keras.Sequential(
        [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1), layers.RandomZoom(0.1)]
    )
    image = keras.Input((24, 24, 3))
    x = keras.activations.relu(layers.Rescaling(1 / 127.5, -1)(augmentation(image)) + 1.0)
    x = layers.GlobalAveragePooling2D()(base(x, training=False))
    model = keras.Model(image, layers.Dense(3, activation="softmax")(layers.Dropout(0.2)(x)))
    path = tmp_path_factory.mktemp("transfer") / "transfer.keras"
    model.save(path)
    return path


@pytest.mark.parametrize("recipe", ["tflite-int8", "onnx-int8"])
def test_a_nested_model_with_its_own_rescaling_is_quantized(
    run: Run, transfer: Path, photos: Path, tmp_path: Path, recipe: str
) -> None:
    outcome = run(
        "quantize", "--model", transfer, "--recipe", recipe, "--optimize", "fast",
        "--mean", 0, "--std", 1, "--calibration", f"{photos}:train",
        "--data", f"{photos}:test", "--output", tmp_path, "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    (row,) = (row for row in outcome.json["report"]["rows"] if row["name"] == recipe)
    assert row["sqnr_db"] > 20


def test_pixels_that_the_model_normalizes_are_not_normalized_before(
    run: Run, transfer: Path, photos: Path, tmp_path: Path
) -> None:
    outcome = run(
        "quantize", "--model", transfer, "--recipe", "tflite-int8", "--mean", 127.5, "--std", 127.5,
        "--calibration", f"{photos}:train", "--output", tmp_path / "out",
    )  # fmt: skip
    assert outcome.code == 2
    assert "pixels are normalized once" in outcome.err
    assert "--mean 0 --std 1" in outcome.err
    assert not list(tmp_path.rglob("*.tflite"))


def test_a_file_of_keras_2_is_quantized(run: Run, photos: Path, tmp_path: Path) -> None:
    """The first layers of a MobileNet of that age, which Keras 3 refuses for its groups."""
    path = write(tmp_path / "old.h5", *small())
    outcome = run(
        "quantize", "--model", path, "--recipe", "tflite-int8,onnx-int8", "--optimize", "fast",
        "--mean", 127.5, "--std", 127.5, "--calibration", f"{photos}:train",
        "--output", tmp_path / "out",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert len(list((tmp_path / "out").rglob("old-*-int8.*"))) >= 4
