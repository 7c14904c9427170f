"""Training of segmenters: cross-entropy of each pixel, scored by mIOU."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from calibration_data.annotations import MaskTruth
from calibration_data.datasets.base import Dataset
from foundation.errors import InvalidInputError
from models.spec import ModelSpec
from models.training.data import pixels_of
from models.training.dense import begin_with_classifier, compile_with, dense_batches
from models.training.objective import Objective
from models.training.recipe import DenseRecipe

if TYPE_CHECKING:
    import keras

_GROUND_WEIGHT = 0.5
"""Weight of class 0 in the loss: most pixels are its."""
_STEP = 50
"""Development images that are run together."""


def _truth(dataset: Dataset) -> MaskTruth:
    if dataset.masks is None:
        raise InvalidInputError(
            "training of a segmenter needs photos with masks",
            received=f"{dataset.name}, which has none",
            remedy="give a dataset with masks, for instance fashion_scenes:train",
        )
    return dataset.masks


def _prepared(spec: ModelSpec, dataset: Dataset) -> tuple[ModelSpec, Dataset]:
    names = _truth(dataset).class_names or spec.preprocessing.labels
    if len(names) not in (0, spec.classes):
        raise InvalidInputError(
            f"the classes of a segmenter are those of its masks, the ground included; {spec.name} "
            f"has {spec.classes}",
            received=f"{len(names)} classes in {dataset.name}",
            remedy=f"give --classes {len(names)}",
        )
    return replace(spec, preprocessing=replace(spec.preprocessing, labels=names)), dataset


def masks_of(spec: ModelSpec, dataset: Dataset) -> np.ndarray:
    """All masks as the contract places the photos, uint8 ``[n, h, w]``; 255 outside of a photo.

    Raises:
        InvalidInputError: a class that the network does not have.
    """
    truth, (height, width) = _truth(dataset), spec.preprocessing.size
    masks = np.full((len(dataset), height, width), 255, np.uint8)
    for index in range(len(dataset)):
        mask = truth.of(index)
        placement = spec.preprocessing.placement(*mask.shape)
        rows = _sources(height, placement.scale[0], placement.offset[0])
        columns = _sources(width, placement.scale[1], placement.offset[1])
        inside_rows = (rows >= 0) & (rows < mask.shape[0])
        inside_columns = (columns >= 0) & (columns < mask.shape[1])
        masks[index][np.ix_(inside_rows, inside_columns)] = mask[
            np.ix_(rows[inside_rows], columns[inside_columns])
        ]
    masks[masks == truth.ignored] = 255
    if (masks[masks != 255] >= spec.classes).any():
        raise InvalidInputError(
            f"a mask has classes from 0 to {spec.classes - 1}",
            received=f"{masks[masks != 255].max()} in {dataset.name}",
            remedy="give --classes",
        )
    return masks


def _sources(count: int, scale: float, offset: float) -> np.ndarray:
    """Row of the photo under the centre of each row of the tensor."""
    places: np.ndarray = np.floor((np.arange(count) + 0.5 - offset) / scale).astype(np.int64)
    return places


def _loss(truth: Any, logits: Any) -> Any:
    """Mean cross-entropy of every second pixel: ``[b, h, w]``, ``[b, h', w', classes]``."""
    import keras
    import tensorflow as tf

    ops = keras.ops
    truth = ops.cast(truth[:, ::2, ::2], "int32")
    logits = tf.image.resize(logits, (truth.shape[1], truth.shape[2]))
    known = ops.cast(truth != 255, "float32")
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        ops.where(truth == 255, 0, truth), logits
    )
    return ops.mean(losses * known * ops.where(truth == 0, _GROUND_WEIGHT, 1.0), axis=(1, 2))


def _compiled(model: keras.Model, recipe: DenseRecipe, steps_per_epoch: int) -> None:
    compile_with(_loss, model, recipe, steps_per_epoch)


def _batches(spec: ModelSpec, training: Dataset, recipe: DenseRecipe) -> keras.utils.PyDataset:
    masks = masks_of(spec, training)

    def targets(chosen: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
        return np.where(mirrored[:, None, None], masks[chosen, :, ::-1], masks[chosen])

    return dense_batches(spec, pixels_of(spec, training), targets, recipe)


def _scorer(spec: ModelSpec, development: Dataset) -> Callable[[list[np.ndarray]], float]:
    """Function: weights -> mIOU in percent on development images, NaN if a score is not finite."""
    import tensorflow as tf

    model, classes = spec.build(spec), spec.classes
    pixels, masks = pixels_of(spec, development), masks_of(spec, development)

    def score_of(weights: list[np.ndarray]) -> float:
        model.set_weights(weights)
        confusion = np.zeros((classes, classes), np.int64)
        for start in range(0, len(pixels), _STEP):
            truth = masks[start : start + _STEP]
            images = spec.preprocessing.normalize(pixels[start : start + _STEP])
            logits = tf.image.resize(model(images, training=False), truth.shape[1:])
            if not np.isfinite(logits).all():
                return math.nan
            predicted, known = np.argmax(logits, -1), truth != 255
            pairs = truth[known].astype(np.int64) * classes + predicted[known]
            confusion += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
        return mean_iou(confusion)

    return score_of


def mean_iou(confusion: np.ndarray) -> float:
    """Mean intersection over union in percent, of the classes that occur.

    Args:
        confusion: pixels by true and by predicted class, ``[classes, classes]``.
    """
    both = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - both
    return float(np.mean(both[union > 0] / union[union > 0]) * 100)


OBJECTIVE = Objective(
    score="mIOU",
    key="development_miou_percent",
    recipe=DenseRecipe(epochs=10),
    prepared=_prepared,
    compiled=_compiled,
    batches=_batches,
    scorer=_scorer,
    initial=begin_with_classifier,
)
