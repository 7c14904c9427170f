"""Networks of grey and n-channel images, rectangles, vectors and maps: from model to files."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequant.artifacts import read_json
from edgequant.ship.bundle import MANIFEST
from tests.edgequant.conftest import Run

CLASSES = 3
ROWS = 24


def _data(shape: tuple[int, ...], seed: int, *, pixels: bool) -> tuple[np.ndarray, np.ndarray]:
    centres = np.random.default_rng(0).normal(size=(CLASSES, *shape))
    labels = np.arange(ROWS) % CLASSES
    values = centres[labels] + 0.3 * np.random.default_rng(seed).normal(size=(ROWS, *shape))
    if pixels:
        return np.clip(128 + 50 * values, 0, 255).astype(np.uint8), labels
    return 5 * values + 2, labels


def _images(shape: tuple[int, ...], dtype: str = "float32") -> Any:
    from keras import layers

    return [
        layers.Input(shape, dtype=dtype),
        layers.Rescaling(1 / 127.5, -1),
        layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(CLASSES, activation="softmax"),
    ]


def _maps(shape: tuple[int, ...]) -> Any:
    from keras import layers

    return [
        layers.Input(shape),
        layers.Conv2D(8, (5, 3), strides=2, padding="same", activation="relu"),
        layers.DepthwiseConv2D(3, padding="same", activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(CLASSES, activation="softmax"),
    ]


def _perceptron(shape: tuple[int, ...]) -> Any:
    from keras import layers

    return [
        layers.Input(shape),
        layers.Dense(24, activation="relu"),
        layers.Dense(16, activation="relu"),
        layers.Dense(CLASSES),
    ]


PIXELS = ("--mean", "0", "--std", "1")
CASES = {
    "grey": (partial(_images, (12, 12, 1)), (12, 12, 1), PIXELS),
    "rectangle": (partial(_images, (8, 14, 3)), (8, 14, 3), PIXELS),
    "four": (partial(_images, (8, 10, 4)), (8, 10, 4), PIXELS),
    "uint8": (partial(_images, (8, 10, 3), "uint8"), (8, 10, 3), ()),
    "map": (partial(_maps, (19, 10, 1)), (19, 10, 1), ("--channels", "plain")),
    "vector": (partial(_perceptron, (7,)), (7,), ("--mean", "2", "--std", "5")),
}
KINDS = tuple(CASES)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a network and its data for each kind of input."""
    import keras

    folder = tmp_path_factory.mktemp("inputs")
    for name, (layers, shape, flags) in CASES.items():
        keras.utils.set_random_seed(0)
        keras.Sequential(layers()).save(folder / f"{name}.keras")
        for seed, split in enumerate(("train", "test"), 1):
            x, y = _data(shape, seed, pixels=flags in (PIXELS, ()))
            np.savez(folder / f"{name}-{split}.npz", x=x, y=y)
    return folder


def _quantize(run: Run, folder: Path, name: str, recipes: str, output: Path) -> Any:
    outcome = run(
        "quantize", "--model", folder / f"{name}.keras", "--recipe", recipes, *CASES[name][2],
        "--calibration", folder / f"{name}-train.npz", "--data", folder / f"{name}-test.npz",
        "--no-latency", "--output", output, "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    return outcome.json


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_input_is_quantized_and_measured(
    run: Run, models: Path, name: str, tmp_path: Path
) -> None:
    made = _quantize(run, models, name, "tflite-int8,onnx-int8,onnx-float16", tmp_path)
    for made_file, least in zip(made["artifacts"], (25, 25, 50), strict=True):
        row = made_file["report"]["rows"][-1]
        assert row["n"] == ROWS
        assert row["sqnr_db"] > least


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_files_of_every_kind_of_input_are_one_network(
    run: Run, models: Path, name: str, tmp_path: Path
) -> None:
    made = _quantize(run, models, name, "tflite-int8,onnx-int8", tmp_path)
    tflite, onnx = (row["artifact"] for row in made["artifacts"])
    parity = run("parity", tflite, onnx, "--strict", "--limit", "2", "--json")
    assert parity.code == 0, parity.err
    assert parity.json["same_integers"]
    assert parity.json["layers"][0]["first_difference"] is None  # LiteRT's reference kernels
    outcome = run(
        "evaluate", onnx, "--data", models / f"{name}-test.npz", "--no-latency", "--json",
        "--reference", models / f"{name}.keras",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert outcome.json["sqnr_db"] > 25


@pytest.mark.parametrize("name", ["grey", "vector"])
def test_lint_leaves_out_what_an_input_does_not_have(
    run: Run, models: Path, name: str, tmp_path: Path
) -> None:
    made = _quantize(run, models, name, "tflite-int8", tmp_path)
    outcome = run("lint", made["artifact"], "--data", models / f"{name}-test.npz", "--json")
    states = {row["check"]: row["state"] for row in outcome.json["checks"]}
    assert states["channel-order"] == "not measured"
    assert (states["value-range"] == "not measured") == (name == "vector")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["grey", "map"])
def test_bundles_hold_the_input_as_it_is(run: Run, models: Path, name: str, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a\nb\nc\n", encoding="utf-8")
    common = (
        "--model", models / f"{name}.keras", *CASES[name][2], "--labels", tmp_path / "labels.txt",
        "--calibration", models / f"{name}-train.npz", "--vectors", "4",
        "--output", tmp_path / "out",
    )  # fmt: skip
    outcome = run("ship", *common, "--for", "microcontroller,onnx-mobile")
    assert outcome.code == 0, outcome.err
    proofs = read_json(tmp_path / "out" / MANIFEST)["targets"]["microcontroller"]["proofs"]
    verdicts = {proof["name"]: proof["verdict"] for proof in proofs}
    assert verdicts["litert"] == "proven"
    assert verdicts["cpp17"] in ("proven", "not run")
    assert run("verify", tmp_path / "out").code == 0
    refused = run("ship", *common, "--for", "android", "--force")
    assert "give a network RGB images" in refused.err


@pytest.mark.parametrize(
    ("name", "flags", "words"),
    [
        ("grey", (*PIXELS, "--channels", "rgb"), "give --channels grey"),
        ("four", ("--mean", "1,2,3", "--std", "1"), "one number, or 4 with commas"),
        ("uint8", ("--mean", "127.5", "--std", "127.5"), "mean 0 and std 1"),
        ("vector", ("--crop", "stretch"), "without resize or colours"),
        ("map", (), "--channels plain"),
    ],
)
def test_contracts_that_contradict_the_model_are_refused(
    run: Run, models: Path, name: str, flags: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    outcome = run(
        "quantize", "--model", models / f"{name}.keras", "--recipe", "tflite-int8", *flags,
        "--calibration", models / f"{name}-train.npz", "--output", tmp_path,
    )  # fmt: skip
    assert outcome.code == 2
    assert words in outcome.err
