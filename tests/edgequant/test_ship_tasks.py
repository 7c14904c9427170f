"""Bundles of networks that do not give the scores of classes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.edgequant.conftest import Run
from tests.edgequant.test_tasks import CONTRACT, COUNT, data, network, pictures

YES = (pictures().mean((1, 2)) > 80).astype(np.int64)  # [COUNT, 3]


def shipped(run: Run, model: Path, images: Path, output: Path, *more: object) -> dict:
    """Manifest of a bundle that was written, and verified again."""
    outcome = run(
        "ship", "--model", model, "--calibration", f"{images}:train", "--data", f"{images}:test",
        "--vectors", 4, "--output", output, *more,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    again = run("verify", output)
    assert again.code == 0, again.err
    manifest = json.loads((output / "bundle.json").read_text())
    verdicts = {p["verdict"] for t in manifest["targets"].values() for p in t["proofs"]}
    assert verdicts <= {"proven", "not run"}
    return manifest


@pytest.mark.slow
def test_an_embedding_needs_no_labels(run: Run, tmp_path: Path) -> None:
    model, images = network(tmp_path / "like.keras", 6, None), data(tmp_path, "like", YES[:, 0])
    refused = run(
        "ship", "--model", model, "--for", "onnx-mobile", "--calibration", f"{images}:train",
        "--output", tmp_path / "no",
    )  # fmt: skip
    assert refused.code == 2
    assert "or --task embedding or regression for numbers without labels" in refused.err
    manifest = shipped(
        run, model, images, tmp_path / "out", "--task", "embedding", "--for", "onnx-mobile"
    )
    assert manifest["accuracy"]["task"] == "embedding"
    files = {path.name for path in (tmp_path / "out").rglob("*")}
    assert "labels.txt" not in files
    vectors = json.loads((tmp_path / "out/onnx-mobile/vectors/int8.json").read_text())
    assert vectors["classes"] is False
    guide = (tmp_path / "out/SHIPPING.md").read_text()
    assert "[scores] = session.run" in guide
    assert "labels.txt" not in guide


def test_one_sigmoid_ships_for_android_with_the_label_of_yes(run: Run, tmp_path: Path) -> None:
    model, images = network(tmp_path / "red.keras", 1, "sigmoid"), data(tmp_path, "red", YES[:, 0])
    labels = tmp_path / "labels.txt"
    labels.write_text("other\nred\n")
    command = ("--for", "android", "--labels", labels)
    manifest = shipped(run, model, images, tmp_path / "out", *command)
    assert manifest["preprocessing"]["task"] == "binary"
    assert (tmp_path / "out/android/labels.txt").read_text() == "red\n"
    guide = (tmp_path / "out/SHIPPING.md").read_text()
    assert "Scores are probabilities." in guide
    content = (tmp_path / "out/android/red-int8.tflite").read_bytes()
    assert b"Gives the probability of red in an image." in content
    refused = run(
        "ship", "--model", model, "--for", "android", "--calibration", f"{images}:train",
        "--output", tmp_path / "no",
    )  # fmt: skip
    assert refused.code == 2
    assert "one label for each of the 1 outputs; received 0 labels" in refused.err


@pytest.mark.slow
def test_quantities_ship_for_every_platform_but_android(run: Run, tmp_path: Path) -> None:
    values = (pictures().mean((1, 2)) / 255).astype(np.float32)[:, :2]
    model, images = network(tmp_path / "shade.keras", 2, None), data(tmp_path, "shade", values)
    manifest = shipped(
        run, model, images, tmp_path / "out", "--for", "onnx-mobile,microcontroller,ethos-u"
    )
    assert manifest["preprocessing"]["task"] == "regression"
    assert manifest["accuracy"]["task"] == "regression"
    refused = run(
        "ship", "--model", model, "--for", "android", "--calibration", f"{images}:train",
        "--output", tmp_path / "no",
    )  # fmt: skip
    assert refused.code == 2
    assert "received scores [2] for regression" in refused.err


@pytest.mark.slow
def test_several_outputs_ship_for_onnx_runtime(run: Run, tmp_path: Path) -> None:
    import keras

    keras.utils.set_random_seed(5)
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="conv")(image)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    kind = keras.layers.Dense(3, activation="softmax", name="kind")(x)
    keras.Model(image, {"kind": kind, "size": keras.layers.Dense(1, name="size")(x)}).save(
        tmp_path / "two.keras"
    )
    (tmp_path / "two.toml").write_text(CONTRACT)
    half, images = COUNT // 2, pictures()
    np.savez(tmp_path / "two.npz", x_train=images[:half], x_test=images[half:])
    shipped(
        run, tmp_path / "two.keras", tmp_path / "two.npz", tmp_path / "out",
        "--for", "onnx-mobile,microcontroller",
    )  # fmt: skip
    guide = (tmp_path / "out/SHIPPING.md").read_text()
    assert 'outputNames: ["kind", "size"]' in guide
    assert "[kind, size] = session.run" in guide
