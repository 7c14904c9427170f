"""Runs the command line in this process, as a shell would see it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequant.cli.main import main
from export.bundles.target import ship_targets


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Standard output, which must be one JSON object and nothing else."""
        values = json.loads(self.out)
        assert isinstance(values, dict)
        return values


Run = Callable[..., Outcome]
CLOCKING = ("quantize", "evaluate", "compare")
"""Commands that measure latency, for up to 3 s a row."""


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run ``edgequant ARGUMENTS``; latency is measured where ``--latency`` is among them."""

    def call(*arguments: object) -> Outcome:
        words = [str(argument) for argument in arguments]
        if words[0] in CLOCKING and "--latency" not in words:
            words.append("--no-latency")
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(words)
        out, err = capfd.readouterr()
        return Outcome(int(stop.value.code or 0), out, err)

    return call


@pytest.fixture(scope="session")
def tiny_keras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's own model, 24x24 pixels and three classes, with a contract beside it."""
    import keras

    keras.utils.set_random_seed(3)
    image = keras.Input((24, 24, 3))
    # With names: those that Keras chooses count the layers of the whole process.
    x = keras.layers.Conv2D(40, 3, strides=2, use_bias=False, name="conv2d")(image)
    x = keras.layers.BatchNormalization(name="batch_normalization")(x)
    x = keras.layers.ReLU(6.0, name="re_lu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="global_average_pooling2d")(x)
    model = keras.Model(image, keras.layers.Dense(3, name="dense")(x))
    folder = tmp_path_factory.mktemp("model")
    model.save(folder / "mine.keras")
    (folder / "mine.toml").write_text(
        'size = [24, 24]\ncrop = "stretch"\nmean = 127.5\nstd = 127.5\nlabels = ["a", "b", "c"]\n'
    )
    return folder / "mine.keras"


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Splits train and test of class folders a, b and c with PNG images of several sizes."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("test", 6)):
        for name in "abc":
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                size = (*rng.integers(20, 60, 2), 3)
                pixels = rng.integers(0, 256, size, np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def tiny_int8(tiny_keras: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's model as int8 .tflite."""
    output = tmp_path_factory.mktemp("int8")
    arguments = ["quantize", "--model", tiny_keras, "--recipe", "tflite-int8"]
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in (*arguments, "--calibration", f"{photos}:train", "--output", output)])
    assert not stop.value.code
    return output / "mine-tflite-int8.tflite"


@pytest.fixture(scope="session")
def bundle(tiny_keras: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for every platform; not to be changed."""
    output = tmp_path_factory.mktemp("ship") / "mine"
    arguments = ["ship", "--model", tiny_keras, "--for", ",".join(ship_targets())]
    rest = ["--calibration", f"{photos}:train", "--data", f"{photos}:test", "--vectors", 5]
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in (*arguments, *rest, "--output", output)])
    assert not stop.value.code
    return output


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """A bundle that may be changed."""
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


def model_and_images(
    folder: Path, name: str, model: Any, pictures: np.ndarray, labels: np.ndarray
) -> tuple[Path, Path]:
    """A network of 16 x 16 pixels with its contract, and images: the first 200 to calibrate on."""
    model.save(folder / f"{name}.keras")
    (folder / f"{name}.toml").write_text(
        'size = [16, 16]\ncrop = "stretch"\nmean = 127.5\nstd = 127.5\n'
    )
    np.savez(
        folder / "data.npz",
        images_train=pictures[:200], labels_train=labels[:200],
        images_test=pictures[200:], labels_test=labels[200:],
    )  # fmt: skip
    return folder / f"{name}.keras", folder / "data.npz"


def quantize_command(
    subject: tuple[Path, Path], output: Path, recipes: str, optimization: str, *more: object
) -> tuple[object, ...]:
    """The words that quantize a model of ``model_and_images`` and measure it."""
    model, data = subject
    return (
        "quantize", "--model", model, "--recipe", recipes, "--optimize", optimization,
        "--calibration", f"{data}:train", "--data", f"{data}:test", "--output", output, *more,
    )  # fmt: skip
