"""A detector that tells coloured squares apart by weights set by hand, and photos with boxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

SIDE = 32
LABELS = ("red", "green", "blue")
CONTRACT = f"""size = [{SIDE}, {SIDE}]
crop = "stretch"
mean = 0
std = 255
labels = {list(LABELS)}
task = "detection"
[detection]
boxes = ["fine_boxes", "coarse_boxes"]
scores = ["fine_scores", "coarse_scores"]
score_threshold = 0.4
iou_threshold = 0.5
most = 20
[[detection.levels]]
rows = 4
columns = 4
shapes = [[0.25, 0.25]]
[[detection.levels]]
rows = 2
columns = 2
shapes = [[0.5, 0.5]]
"""
HEIGHT, WIDTH = 48, 64
"""Pixels of a photo, which are stretched to the input."""


def detector() -> keras.Model:
    """Mean colours of cells of 8 and of 16 pixels, and a pair of 1x1 heads on each."""
    import keras

    rng = np.random.default_rng(3)
    layers = keras.layers
    inputs = keras.Input((SIDE, SIDE, 3), name="photo")
    x = layers.Conv2D(8, 3, padding="same", name="context")(inputs)
    x = layers.ReLU(6.0, name="context_relu")(x)
    fine = layers.AveragePooling2D(8, name="fine")(x)
    coarse = layers.AveragePooling2D(2, name="coarse")(fine)
    ends = [
        layers.Conv2D(width, 1, name=f"{name}_{what}")(features)
        for what, width in (("boxes", 4), ("scores", 4))
        for name, features in (("fine", fine), ("coarse", coarse))
    ]
    model = keras.Model(inputs, ends, name="squares")
    kernel = rng.normal(0, 0.02, (3, 3, 3, 8)).astype(np.float32)
    kernel[1, 1, :, :3] += np.eye(3, dtype=np.float32)
    model.get_layer("context").set_weights([kernel, np.zeros(8, np.float32)])
    tell = np.zeros((1, 1, 8, 4), np.float32)
    tell[0, 0, :3, 1:] = 15 * np.eye(3) - 5
    for name in ("fine", "coarse"):
        bias = np.array([0, -3, -3, -3], np.float32)
        model.get_layer(f"{name}_scores").set_weights([tell, bias])
        codes = rng.normal(0, 1.0, (1, 1, 8, 4)).astype(np.float32)
        model.get_layer(f"{name}_boxes").set_weights([codes, np.zeros(4, np.float32)])
    return model


def save_detector(folder: Path, contract: str = CONTRACT) -> Path:
    """The detector as ``squares.keras`` with a contract beside it."""
    path = folder / "squares.keras"
    detector().save(path)
    path.with_suffix(".toml").write_text(contract)
    return path


def save_photos(folder: Path, count: int, seed: int) -> Path:
    """Photos of coloured squares on noise with a COCO JSON; the last one has no square."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(count):
        pixels = rng.integers(0, 90, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        for _ in range(0 if number == count - 1 else int(rng.integers(1, 4))):
            cells, label = int(rng.choice([2, 4])), int(rng.integers(0, 3))
            height, width = HEIGHT // cells, WIDTH // cells
            top = int(rng.integers(0, cells)) * height + int(rng.integers(-1, 2))
            left = int(rng.integers(0, cells)) * width + int(rng.integers(-1, 2))
            top, left = max(top, 0), max(left, 0)
            bottom, right = min(top + height, HEIGHT), min(left + width, WIDTH)
            colour = rng.integers(0, 60, 3)
            colour[label] = rng.integers(150, 256)
            pixels[top:bottom, left:right] = colour
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": number, "category_id": label + 1,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": (right - left) * (bottom - top), "iscrowd": 0,
                }
            )  # fmt: skip
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
        images.append(
            {"id": number, "file_name": f"{number}.png", "width": WIDTH, "height": HEIGHT}
        )
    categories = [{"id": place + 1, "name": name} for place, name in enumerate(LABELS)]
    values = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(values))
    return folder
