"""Networks and models that the tests share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np

from calibration_data.datasets.base import Dataset, SplitRole
from models.blocks import Stage
from models.spec import ModelSpec, model_spec

TINY_STAGES = (Stage(1, 8, 1, 1), Stage(2, 8, 1, 2))


def tiny_spec(**changes: Any) -> ModelSpec:
    """A MobileNetV2 of two blocks for 10 classes, quick to build and to trace."""
    small = model_spec("mobilenet_v2_small").resized(16)
    return replace(small, **{"alpha": 1.0, "stages": TINY_STAGES, **changes})


def single(spec: ModelSpec) -> ModelSpec:
    """The network with one block of each stage, quick to build."""
    return replace(spec, stages=tuple(replace(stage, repeats=1) for stage in spec.stages))


def randomize(model: keras.Model, seed: int = 0) -> None:
    """Set random weights, including batch norms, with which activations do not vanish."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            ranges = ((0.5, 1.5), (-0.5, 0.5), (-0.5, 0.5), (0.5, 1.5))
            layer.set_weights([rng.uniform(low, high, shape) for low, high in ranges])
        elif layer.weights:
            layer.set_weights(
                [
                    rng.normal(0, np.sqrt(2 / max(1, np.prod(weight.shape[:-1]))), weight.shape)
                    for weight in layer.weights
                ]
            )


def settle(model: keras.Model, images: np.ndarray) -> None:
    """Set the batch norms' statistics to those of these images, so that scores depend on the image.

    With other statistics, a deep network of random weights has equal scores for all images.
    """
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    model(images, training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum


def classifier(size: int = 8, channels: int = 3, classes: int = 4) -> keras.Model:
    """A user's own small model."""
    keras.utils.set_random_seed(1)
    image = keras.Input((size, size, channels))
    x = keras.layers.Conv2D(5, 3, activation="relu")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(classes, activation="softmax")(x))


def scores(model: keras.Model, size: int, scale: float = 1.0) -> np.ndarray:
    """Scores of a model for two random images, float32 ``[2, classes]``."""
    images = np.random.default_rng(0).uniform(-scale, scale, (2, size, size, 3))
    return np.asarray(keras.ops.convert_to_numpy(model(images.astype(np.float32), training=False)))


def pictures(count: int = 80, role: SplitRole = SplitRole.TRAIN) -> Dataset:
    """Random grey pictures of 14 pixels in 10 classes."""
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (count, 14, 14), np.uint8)
    return Dataset(
        name=f"random:{role.value}",
        role=role,
        labels=np.arange(count, dtype=np.int64) % 10,
        class_names=(),
        decode=lambda i: images[i],
    )
