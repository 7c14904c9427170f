"""``edgequant lint`` of networks with several outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.edgequant.conftest import Run

COUNT = 60


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A network that names the strongest colour of an image, and a number that is always the same.

    The images lie in a folder with a column for each output.
    """
    import keras
    from PIL import Image

    folder = tmp_path_factory.mktemp("heads")
    image = keras.Input((8, 8, 3))
    pool = keras.layers.GlobalAveragePooling2D(name="pool")(image)
    kind = keras.layers.Dense(3, activation="softmax", name="kind")
    constant = keras.initializers.Constant(0.3)
    size = keras.layers.Dense(1, kernel_initializer="zeros", bias_initializer=constant, name="size")
    model = keras.Model(image, {"kind": kind(pool), "size": size(pool)})
    kind.set_weights([8 * np.eye(3, dtype=np.float32), np.zeros(3, np.float32)])
    model.save(folder / "heads.keras")
    (folder / "heads.toml").write_text(
        'size = [8, 8]\ncrop = "exact"\nmean = 127.5\nstd = 127.5\n'
        '[outputs.kind]\ntask = "classification"\n[outputs.size]\ntask = "regression"\n'
    )
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    lines = ["file,kind,size"]
    for number in range(COUNT):
        pixels = rng.integers(0, 120, (8, 8, 3))
        pixels[..., number % 3] += 100
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "photos" / f"{number}.png")
        lines.append(f"{number}.png,{number % 3},{number / 7:.3f}")
    (folder / "photos/labels.csv").write_text("\n".join(lines))
    return folder / "heads.keras", folder / "photos"


def test_each_output_is_looked_at(run: Run, heads: tuple[Path, Path]) -> None:
    model, photos = heads
    checked = run("lint", model, "--data", photos, "--json")
    assert checked.code == 1
    states = {(row["check"], row.get("output", "")): row["state"] for row in checked.json["checks"]}
    assert states["constant-output", "kind"] == "clean"
    assert states["constant-output", "size"] == "found"
    assert states["softmax", "size"] == "noted"
    # The output with classes tells how the images are prepared.
    assert states["channel-order", ""] == states["label-shift", ""] == "clean"
    assert "constant-output (size)" in checked.err
    swapped = run("lint", model, "--data", photos, "--channels", "bgr", "--json").json
    found = {row["check"]: row["state"] for row in swapped["checks"]}
    assert found["channel-order"] == "found"


def test_without_labels_nothing_is_judged_right(run: Run, heads: tuple[Path, Path]) -> None:
    model, photos = heads
    unlabelled = photos.parent / "photos.npy"
    np.save(unlabelled, np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8))
    checked = run("lint", model, "--data", unlabelled, "--json").json
    states = {row["check"]: row["state"] for row in checked["checks"] if "output" not in row}
    assert states["channel-order"] == "not judged"
