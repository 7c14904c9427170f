"""Training of classifiers: RMSProp on cross-entropy, scored by top-1."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from calibration_data.contract import align_labels, complete_labels
from calibration_data.datasets.base import Dataset
from models.spec import ModelSpec
from models.training.data import augmented_batches, labels_of, pixels_of
from models.training.objective import Objective, exclude_from_decay, learning_rate
from models.training.recipe import TrainingRecipe

if TYPE_CHECKING:
    import keras


def _prepared(spec: ModelSpec, dataset: Dataset) -> tuple[ModelSpec, Dataset]:
    from dataclasses import replace

    dataset.require_labels("training")
    contract = complete_labels(spec.preprocessing, spec.classes, dataset)
    return replace(spec, preprocessing=contract), align_labels(dataset, contract, spec.classes)


def _compiled(model: keras.Model, recipe: TrainingRecipe, steps_per_epoch: int) -> None:
    import keras

    optimizer = keras.optimizers.RMSprop(
        learning_rate(recipe, steps_per_epoch),
        rho=recipe.rho,
        momentum=recipe.momentum,
        epsilon=recipe.epsilon,
        weight_decay=recipe.weight_decay,
        use_ema=True,
        ema_momentum=recipe.ema_momentum,
    )
    exclude_from_decay(optimizer, model)
    loss = keras.losses.CategoricalCrossentropy(
        from_logits=model.layers[-1].activation is keras.activations.linear,
        label_smoothing=recipe.label_smoothing,
    )
    # XLA makes depthwise convolutions nine times slower on a CPU (measured).
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)


def _batches(spec: ModelSpec, training: Dataset, recipe: TrainingRecipe) -> keras.utils.PyDataset:
    return augmented_batches(spec, pixels_of(spec, training), labels_of(training), recipe)


def _scorer(spec: ModelSpec, development: Dataset) -> Callable[[list[np.ndarray]], float]:
    """Function: weights -> top-1 in percent on development images, NaN if a score is not finite."""
    model = spec.build(spec)
    pixels, labels, step = pixels_of(spec, development), labels_of(development), 250

    def accuracy_of(weights: list[np.ndarray]) -> float:
        model.set_weights(weights)
        images = spec.preprocessing.normalize(pixels)  # [n, h, w, 3]
        starts = range(0, len(images), step)
        batches = [model(images[start : start + step], training=False) for start in starts]
        scores = np.concatenate([np.asarray(batch) for batch in batches])  # [n, classes]
        if not np.isfinite(scores).all():
            return math.nan
        return float(np.mean(np.argmax(scores, -1) == labels) * 100)

    return accuracy_of


OBJECTIVE = Objective(
    score="top-1",
    key="development_top1_percent",
    recipe=TrainingRecipe(),
    prepared=_prepared,
    compiled=_compiled,
    batches=_batches,
    scorer=_scorer,
)
