"""What training needs to know of a task: loss, batches, and the score of the development images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from calibration_data.datasets.base import Dataset
from calibration_data.task import Task
from foundation.errors import UnsupportedError
from models.spec import ModelSpec
from models.training.recipe import Schedule

if TYPE_CHECKING:
    import keras

_MODULES = {
    Task.CLASSIFICATION: f"{__package__}.classification",
    Task.DETECTION: f"{__package__}.detection",
    Task.SEGMENTATION: f"{__package__}.segmentation",
}
"""Module of each task that can be trained; its ``OBJECTIVE`` is the task's row."""


@dataclass(frozen=True)
class Objective:
    """Training of one task.

    Attributes:
        score: name of the score of the development images, for sentences.
        key: name of that score in cards.
        recipe: default recipe.
        prepared: spec and dataset -> both with labels that agree; refuses data without truths.
        trained: network -> network of the same weights with one output, that the loss reads.
        compiled: network of ``trained``, recipe, steps of an epoch -> nothing; sets optimizer and
            loss.
        batches: spec, training images, recipe -> batches with ``start(epoch)``, which must be
            called before each epoch: Keras reads ahead, so that its own end of an epoch comes at
            no fixed step.
        scorer: spec, development images -> function: weights -> score in percent, NaN if an output
            is not finite.
        initial: spec, recipe, network of ``trained`` -> nothing; sets what weights do not begin at
            random.
    """

    score: str
    key: str
    recipe: Schedule
    prepared: Callable[[ModelSpec, Dataset], tuple[ModelSpec, Dataset]] = field(repr=False)
    compiled: Callable[[keras.Model, Any, int], None] = field(repr=False)
    batches: Callable[[ModelSpec, Dataset, Any], Any] = field(repr=False)
    scorer: Callable[[ModelSpec, Dataset], Callable[[list[np.ndarray]], float]] = field(repr=False)
    trained: Callable[[ModelSpec], keras.Model] = field(
        repr=False, default=lambda spec: spec.build(spec)
    )
    initial: Callable[[ModelSpec, Any, keras.Model], None] = field(
        repr=False, default=lambda _spec, _recipe, _model: None
    )


def objective_of(spec: ModelSpec) -> Objective:
    """Training of a network's task.

    Raises:
        UnsupportedError: a task that has no training.
    """
    if spec.task not in _MODULES:
        raise UnsupportedError(
            f"networks for {', '.join(task.value for task in _MODULES)} can be trained here",
            received=f"{spec.name}, a network for {spec.task.value}",
            remedy="train it with Keras and give the .keras file",
        )
    objective: Objective = import_module(_MODULES[spec.task]).OBJECTIVE
    return objective


def learning_rate(recipe: Schedule, steps_per_epoch: int) -> Any:
    """Keras's schedule: a linear warm-up, then a cosine to zero."""
    import keras

    warmup = max(1, round(recipe.warmup_epochs * steps_per_epoch))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=recipe.learning_rate / warmup,
        warmup_target=recipe.learning_rate,
        warmup_steps=warmup,
        decay_steps=max(1, recipe.epochs * steps_per_epoch - warmup),
        alpha=0.0,
    )


def exclude_from_decay(optimizer: Any, model: keras.Model) -> None:
    """Take batch norms, biases and depthwise kernels out of weight decay."""
    import keras

    depthwise = [
        weight
        for layer in model.layers
        if isinstance(layer, keras.layers.DepthwiseConv2D)
        for weight in layer.trainable_variables
    ]
    optimizer.exclude_from_weight_decay(var_list=depthwise, var_names=["gamma", "beta", "bias"])
