"""Recipes for the training of networks, and augmentation of a classifier's images.

A classifier's recipe is the MobileNetV2 paper's (section 6.1: RMSProp with decay and momentum 0.9),
adapted to a short schedule: cosine decay with a warm-up instead of a factor of 0.98 per epoch,
decoupled weight decay, label smoothing, an average of the weights, and augmentation. Detectors and
segmenters are trained with AdamW, from a classifier's weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from foundation.errors import InvalidInputError


@dataclass(frozen=True)
class Schedule:
    """What the recipes of all tasks have in common.

    Attributes:
        epochs: number of passes over the training images.
        batch_size: images per step.
        learning_rate: peak learning rate, after the warm-up.
        warmup_epochs: epochs of linear warm-up.
        weight_decay: decoupled weight decay per step, multiplied by the learning rate; not applied
            to batch norms, biases and depthwise kernels.
        ema_momentum: momentum of the average of the weights, which is the result.
        holdout: number of images at the end of the training split that are used for development.
        seed: seed of initial weights, order and augmentation.
    """

    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 0.1
    warmup_epochs: float = 1.0
    weight_decay: float = 2e-3
    ema_momentum: float = 0.998
    holdout: int = 5000
    seed: int = 1

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or not 0 < self.learning_rate < math.inf:
            raise InvalidInputError(
                "training needs at least one epoch, one image per step and a learning rate above 0",
                received=f"{self.epochs}, {self.batch_size} and {self.learning_rate}",
                remedy="choose other values",
            )
        if self.seed < 0:
            raise InvalidInputError(
                "a seed is not below 0", received=self.seed, remedy="choose another value"
            )


@dataclass(frozen=True)
class TrainingRecipe(Schedule):
    """Recipe for the training of a classifier.

    Attributes:
        rho: RMSProp's decay of the squared gradients.
        momentum: RMSProp's momentum.
        epsilon: RMSProp's epsilon; 1.0 as in TF-Slim's MobileNet training.
        label_smoothing: share of the target that is spread over all classes.
        shift: largest random translation, in pixels.
        erase: probability of erasing a rectangle (Zhong et al. 2017).
    """

    rho: float = 0.9
    momentum: float = 0.9
    epsilon: float = 1.0
    label_smoothing: float = 0.05
    shift: int = 2
    erase: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shift < 0 or not 0 <= self.erase <= 1:
            raise InvalidInputError(
                "shift is not below 0, and erase is a probability",
                received=f"{self.shift} and {self.erase}",
                remedy="choose other values",
            )


@dataclass(frozen=True)
class DenseRecipe(Schedule):
    """Recipe for the training of a detector or a segmenter: AdamW from a classifier's weights.

    Attributes:
        clip_norm: largest norm of all gradients together.
        gain: largest relative change of a colour's brightness in augmentation.
        start: classifier and name of its weights, ``MODEL:WEIGHTS``, that layers of the same name
            and shape begin with; empty for none.
    """

    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 3e-3
    warmup_epochs: float = 0.5
    weight_decay: float = 0.02
    ema_momentum: float = 0.998
    holdout: int = 400
    clip_norm: float = 10.0
    gain: float = 0.25
    start: str = "mobilenet_v2_small:fashion_mnist"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.clip_norm < math.inf or not 0 <= self.gain < 1:
            raise InvalidInputError(
                "clip_norm is above 0, and gain from 0 to below 1",
                received=f"{self.clip_norm} and {self.gain}",
                remedy="choose other values",
            )


def augment(images: np.ndarray, recipe: TrainingRecipe, rng: np.random.Generator) -> np.ndarray:
    """Randomly mirror, shift and erase each image.

    Args:
        images: images as the contract crops them, uint8 ``[batch, height, width, 3]``.
        recipe: recipe with the largest shift and the probability of erasing.
        rng: random generator.

    Returns:
        Augmented images, uint8 of the same shape.
    """
    count, height, width, channels = images.shape
    mirrored = np.where(rng.random((count, 1, 1, 1)) < 0.5, images[:, :, ::-1], images)

    # Shift: crop each image from a canvas with a black border.
    pad = recipe.shift
    canvas = np.zeros((count, height + 2 * pad, width + 2 * pad, channels), np.uint8)
    canvas[:, pad : pad + height, pad : pad + width] = mirrored
    top, left = rng.integers(0, 2 * pad + 1, (2, count))  # [batch] each
    rows = top[:, None] + np.arange(height)  # [batch, height]
    columns = left[:, None] + np.arange(width)  # [batch, width]
    shifted: np.ndarray = canvas[
        np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]
    ]  # [batch, height, width, 3]

    # Erase: fill a rectangle of 2 to 15 percent of the area with noise.
    for index in np.flatnonzero(rng.random(count) < recipe.erase):
        area = height * width * rng.uniform(0.02, 0.15)
        aspect = math.exp(rng.uniform(-1, 1))
        rect_h = min(height, max(1, round(math.sqrt(area * aspect))))
        rect_w = min(width, max(1, round(math.sqrt(area / aspect))))
        y = rng.integers(0, height - rect_h + 1)
        x = rng.integers(0, width - rect_w + 1)
        noise = rng.integers(0, 256, (rect_h, rect_w, 1), np.uint8)
        shifted[index, y : y + rect_h, x : x + rect_w] = noise
    return shifted
