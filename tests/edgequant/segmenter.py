"""A segmenter that tells colours apart by weights set by hand, and photos with masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

SIDE = 24
LABELS = ("background", "red", "green", "blue")
CONTRACT = f"""size = [{SIDE}, {SIDE}]
crop = "letterbox"
mean = 127.5
std = 127.5
labels = {list(LABELS)}
"""
_COLOURS = np.array([(40, 40, 40), (220, 40, 40), (40, 220, 40), (40, 40, 220)], np.uint8)


def segmenter(classes: int = 4) -> keras.Model:
    """A dilated convolution, classes at half the size, and a bilinear resize: ``[24, 24, 4]``."""
    import keras

    rng = np.random.default_rng(3)
    layers = keras.layers
    inputs = keras.Input((SIDE, SIDE, 3), name="photo")
    x = layers.Conv2D(8, 3, dilation_rate=2, padding="same", name="context")(inputs)
    x = layers.ReLU(6.0, name="context_relu")(x)
    x = layers.Conv2D(classes, 1, strides=2, name="classes")(x)
    outputs = layers.UpSampling2D(2, interpolation="bilinear", name="logits")(x)
    model = keras.Model(inputs, outputs, name="colours")
    kernel = rng.normal(0, 0.02, (3, 3, 3, 8)).astype(np.float32)
    kernel[1, 1, :, :3] += np.eye(3, dtype=np.float32)
    model.get_layer("context").set_weights([kernel, np.full(8, 0.5, np.float32)])
    tell = np.zeros((1, 1, 8, classes), np.float32)
    tell[0, 0, :3, 1:4] = 2 * np.eye(3) - 0.5
    bias = np.zeros(classes, np.float32)
    bias[0] = 0.5
    model.get_layer("classes").set_weights([tell, bias])
    return model


def save_segmenter(folder: Path, contract: str = CONTRACT) -> Path:
    """The segmenter as ``colours.keras`` with a contract beside it."""
    path = folder / "colours.keras"
    segmenter().save(path)
    path.with_suffix(".toml").write_text(contract)
    return path


def scene(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A photo of some size with rectangles of colours, and its mask."""
    rng = np.random.default_rng(number)
    height, width = rng.integers(30, 50, 2)
    mask = np.zeros((height, width), np.uint8)
    for name in (1, 2, 3):
        top, left = rng.integers(0, height - 12), rng.integers(0, width - 12)
        mask[top : top + rng.integers(8, 16), left : left + rng.integers(8, 16)] = name
    noise = rng.integers(-30, 31, (height, width, 3))
    photo = np.clip(_COLOURS[mask].astype(int) + noise, 0, 255).astype(np.uint8)
    mask[:2] = 255
    return photo, mask


def write_scenes(folder: Path, photos: str, masks: str, numbers: range, **saved: Any) -> None:
    """Write photos and masks of palette PNGs into two folders."""
    from PIL import Image

    for name in (photos, masks):
        (folder / name).mkdir(parents=True)
    for number in numbers:
        photo, mask = scene(number)
        Image.fromarray(photo).save(folder / photos / f"{number}.png")
        image = Image.fromarray(mask)
        image.putpalette(list(range(256)) * 3)
        image.save(folder / masks / f"{number}.png", **saved)
