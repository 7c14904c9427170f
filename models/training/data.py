"""Training and development images of a training split, and its augmented batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from calibration_data.datasets.base import Dataset, SplitRole
from calibration_data.stream import converted
from foundation.errors import InvalidInputError
from models.spec import ModelSpec
from models.training.recipe import TrainingRecipe, augment

if TYPE_CHECKING:
    import keras


def split_holdout(dataset: Dataset, holdout: int) -> tuple[Dataset, Dataset]:
    """Separate a training split into training images and development images.

    Raises:
        InvalidInputError: a test or development split, or one that is too small.
    """
    if dataset.role not in (SplitRole.TRAIN, SplitRole.UNKNOWN):
        raise InvalidInputError(
            "training takes a training split",
            received=f"{dataset.name}, a {dataset.role.value} split",
            remedy="give the :train split",
        )
    if not 0 < holdout < len(dataset):
        raise InvalidInputError(
            "the development images are at least one, and fewer than those of the training split",
            received=f"{holdout} of {len(dataset)} images",
            remedy="set --holdout",
        )
    order = np.arange(len(dataset))
    return dataset.subset(order[:-holdout]), dataset.subset(order[-holdout:])


def labels_of(dataset: Dataset) -> np.ndarray:
    """Class of each image, int64 ``[n]``.

    Raises:
        InvalidInputError: images without labels.
    """
    return dataset.require_labels("training")


def pixels_of(spec: ModelSpec, dataset: Dataset) -> np.ndarray:
    """All images of a small dataset as the contract crops them, uint8 ``[n, h, w, 3]``."""
    pixels = np.empty((len(dataset), *spec.input_shape), np.uint8)
    for index in range(len(dataset)):
        pixels[index] = converted(dataset, index, spec.preprocessing.pixels)
    return pixels


def augmented_batches(
    spec: ModelSpec, pixels: np.ndarray, labels: np.ndarray, recipe: TrainingRecipe
) -> keras.utils.PyDataset:
    """Augmented batches that depend only on seed, epoch and step, so that a resumed run repeats.

    ``start(epoch)`` must be called before each epoch: Keras reads ahead, so that its own end of an
    epoch comes at no fixed step.
    """
    import keras

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(workers=1)
            self.start(0)

        def start(self, epoch: int) -> None:
            self.epoch = epoch
            self.order = np.random.default_rng((recipe.seed, epoch)).permutation(len(labels))

        def __len__(self) -> int:
            return len(labels) // recipe.batch_size

        def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
            chosen = self.order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
            rng = np.random.default_rng((recipe.seed, self.epoch, step))
            images = augment(pixels[chosen], recipe, rng)
            targets = np.eye(spec.classes, dtype=np.float32)[labels[chosen]]
            return spec.preprocessing.normalize(images), targets

    return Batches()
