"""Recipe for the training of a network, and augmentation of its images.

The recipe is the MobileNetV2 paper's (section 6.1: RMSProp with decay and momentum 0.9), adapted
to a short schedule: cosine decay with a warm-up instead of a factor of 0.98 per epoch, decoupled
weight decay, label smoothing, an average of the weights, and augmentation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from foundation.errors import InvalidInputError


@dataclass(frozen=True)
class TrainingRecipe:
    """Recipe for the training of a network.

    Attributes:
        epochs: number of passes over the training images.
        batch_size: images per step.
        learning_rate: peak learning rate, after the warm-up.
        warmup_epochs: epochs of linear warm-up.
        rho: RMSProp's decay of the squared gradients.
        momentum: RMSProp's momentum.
        epsilon: RMSProp's epsilon; 1.0 as in TF-Slim's MobileNet training.
        weight_decay: decoupled weight decay per step, multiplied by the learning rate; not applied
            to batch norms, biases and depthwise kernels.
        label_smoothing: share of the target that is spread over all classes.
        ema_momentum: momentum of the average of the weights, which is the result.
        shift: largest random translation, in pixels.
        erase: probability of erasing a rectangle (Zhong et al. 2017).
        holdout: number of images at the end of the training split that are used for development.
        seed: seed of initial weights, order and augmentation.
    """

    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 0.1
    warmup_epochs: float = 1.0
    rho: float = 0.9
    momentum: float = 0.9
    epsilon: float = 1.0
    weight_decay: float = 2e-3
    label_smoothing: float = 0.05
    ema_momentum: float = 0.998
    shift: int = 2
    erase: float = 0.25
    holdout: int = 5000
    seed: int = 1

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or not 0 < self.learning_rate < math.inf:
            raise InvalidInputError(
                "training needs at least one epoch, one image per step and a learning rate above 0",
                received=f"{self.epochs}, {self.batch_size} and {self.learning_rate}",
                remedy="choose other values",
            )
        if self.seed < 0 or self.shift < 0 or not 0 <= self.erase <= 1:
            raise InvalidInputError(
                "seed and shift are not below 0, and erase is a probability",
                received=f"{self.seed}, {self.shift} and {self.erase}",
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
