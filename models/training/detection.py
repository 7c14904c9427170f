"""Training of single-shot detectors: focal loss on scores, Huber loss on boxes, scored by AP50.

Source: Liu et al. 2016, "SSD", https://arxiv.org/abs/1512.02325, section 2.2 (matching and the loss
of boxes); Lin et al. 2017, "Focal Loss for Dense Object Detection",
https://arxiv.org/abs/1708.02002, section 3, instead of SSD's mining of hard negatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from calibration_data.anchors import AnchorLevel, matched
from calibration_data.annotations import Boxes, BoxTruth
from calibration_data.datasets.base import Dataset
from foundation.errors import InvalidInputError
from models.spec import ModelSpec
from models.training.average_precision import Detections, Truths, average_precision, suppressed
from models.training.data import pixels_of
from models.training.dense import begin_with_classifier, compile_with, dense_batches
from models.training.objective import Objective
from models.training.recipe import DenseRecipe

if TYPE_CHECKING:
    import keras

_FOCUS = 2.0
"""Focal loss's gamma."""
_BALANCE = 0.25
"""Focal loss's alpha: weight of what is there; what is not weighs one less this."""
_SCORES = 2.0
"""Weight of the loss of scores; that of boxes has 1."""
_PRIOR = -4.0
"""First bias of a class: nearly no anchor has an object (Lin et al. 2017, section 4.1)."""
_STEP = 50
"""Development images that are run together."""
_LEAST_SCORE = 0.02
"""Smallest probability of a detection that is scored."""
_OVERLAP = 0.5


def _truth(dataset: Dataset) -> BoxTruth:
    if dataset.boxes is None:
        raise InvalidInputError(
            "training of a detector needs photos with boxes",
            received=f"{dataset.name}, which has none",
            remedy="give a dataset with boxes, for instance fashion_scenes:train",
        )
    return dataset.boxes


def _prepared(spec: ModelSpec, dataset: Dataset) -> tuple[ModelSpec, Dataset]:
    names = _truth(dataset).class_names
    if len(names) != spec.classes:
        raise InvalidInputError(
            f"the classes of a detector are those of its boxes; {spec.name} has {spec.classes}",
            received=f"{len(names)} classes in {dataset.name}",
            remedy=f"give --classes {len(names)}",
        )
    return replace(spec, preprocessing=replace(spec.preprocessing, labels=names)), dataset


def levels_of(spec: ModelSpec, model: keras.Model) -> tuple[AnchorLevel, ...]:
    """Anchors of each level of a network that ``spec.build`` built."""
    half = len(model.outputs) // 2
    sizes = tuple((output.shape[1], output.shape[2]) for output in model.outputs[:half])
    levels: tuple[AnchorLevel, ...] = spec.details.scales.levels(sizes)
    return levels


def _anchors(spec: ModelSpec) -> np.ndarray:
    return np.concatenate([level.boxes() for level in levels_of(spec, spec.build(spec))])


def _trained(spec: ModelSpec) -> keras.Model:
    """Network with one output, ``[b, anchors, 4 + 1 + classes]``: codes of boxes, and logits."""
    import keras

    model = spec.build(spec)
    half = len(model.outputs) // 2
    columns = []
    for outputs, size in ((model.outputs[:half], 4), (model.outputs[half:], 1 + spec.classes)):
        flat = [keras.layers.Reshape((-1, size))(output) for output in outputs]
        columns.append(keras.layers.Concatenate(axis=1)(flat) if half > 1 else flat[0])
    return keras.Model(model.input, keras.layers.Concatenate(axis=2)(columns), name=spec.name)


def _initial(spec: ModelSpec, recipe: DenseRecipe, model: keras.Model) -> None:
    begin_with_classifier(spec, recipe, model)
    for layer in model.layers:
        if layer.name.startswith("scores_") and getattr(layer, "bias", None) is not None:
            bias = np.full(layer.bias.shape, _PRIOR, np.float32).reshape(-1, 1 + spec.classes)
            bias[:, 0] = -_PRIOR  # the ground
            layer.bias.assign(bias.reshape(-1))


def _loss(truth: Any, predicted: Any) -> Any:
    """Loss of anchors: ``[b, anchors, 1 + 4]``, class and codes; ``[b, anchors, 4 + 1 + classes]``.

    Divided by the mean number of anchors with an object, so that it does not depend on the batch.
    """
    import keras
    import tensorflow as tf

    ops = keras.ops
    classes = ops.cast(truth[..., 0], "int32")  # [b, anchors], 0 for the ground
    codes, logits = predicted[..., :4], predicted[..., 4:]
    wanted = ops.one_hot(classes, logits.shape[-1])
    losses = tf.nn.sigmoid_cross_entropy_with_logits(wanted, logits)
    right = ops.sigmoid(logits) * (2 * wanted - 1) + 1 - wanted
    balance = wanted * _BALANCE + (1 - wanted) * (1 - _BALANCE)
    focal = ops.sum(losses * (1 - right) ** _FOCUS * balance, axis=(1, 2))
    objects = ops.cast(classes > 0, "float32")
    error = ops.abs(codes - truth[..., 1:])
    huber = ops.where(error < 1, 0.5 * error**2, error - 0.5)
    boxes = ops.sum(huber * objects[..., None], axis=(1, 2))
    return (_SCORES * focal + boxes) / ops.maximum(ops.mean(ops.sum(objects, axis=1)), 1.0)


def _compiled(model: keras.Model, recipe: DenseRecipe, steps_per_epoch: int) -> None:
    compile_with(_loss, model, recipe, steps_per_epoch)


def _relative(spec: ModelSpec, dataset: Dataset, index: int) -> tuple[np.ndarray, Boxes]:
    """Boxes of a photo relative to the network's input, float32 ``[n, 4]``, and as they are."""
    boxes = _truth(dataset).of(index)
    picture = dataset.decode(index)
    size = picture.shape[:2] if isinstance(picture, np.ndarray) else picture.size[::-1]
    placed = spec.preprocessing.placement(size[0], size[1]).to_tensor(boxes.corners)
    return np.clip(placed, 0, 1).astype(np.float32), boxes


def _batches(spec: ModelSpec, training: Dataset, recipe: DenseRecipe) -> keras.utils.PyDataset:
    anchors, coding = _anchors(spec), spec.details.coding
    truths = [_relative(spec, training, index) for index in range(len(training))]

    def targets(chosen: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
        wanted = np.zeros((len(chosen), len(anchors), 5), np.float32)
        for row, (index, mirror) in enumerate(zip(chosen, mirrored, strict=True)):
            corners, boxes = truths[index]
            if mirror:
                corners = np.stack(
                    [corners[:, 0], 1 - corners[:, 3], corners[:, 2], 1 - corners[:, 1]], axis=1
                )
            seen = ~boxes.crowd
            corners, labels = corners[seen], boxes.labels[seen]
            match = matched(anchors, corners)
            there = match >= 0
            wanted[row, there, 0] = 1 + labels[match[there]]
            wanted[row, there, 1:] = coding.encode(corners[match[there]], anchors[there])
        return wanted

    return dense_batches(spec, pixels_of(spec, training), targets, recipe)


def _scorer(spec: ModelSpec, development: Dataset) -> Callable[[list[np.ndarray]], float]:
    """Function: weights -> AP50 in percent on development images, NaN if outputs are not finite."""
    model, anchors = _trained(spec), _anchors(spec)
    pixels = pixels_of(spec, development)
    pairs = [_relative(spec, development, index) for index in range(len(development))]
    truths = [Truths(corners[~b.crowd], b.labels[~b.crowd]) for corners, b in pairs]

    def score_of(weights: list[np.ndarray]) -> float:
        model.set_weights(weights)
        found: list[Detections] = []
        for start in range(0, len(pixels), _STEP):
            images = spec.preprocessing.normalize(pixels[start : start + _STEP])
            outputs = np.asarray(model(images, training=False))
            if not np.isfinite(outputs).all():
                return math.nan
            boxes = spec.details.coding.decode(outputs[..., :4], anchors)
            scores = 1 / (1 + np.exp(-outputs[..., 5:]))
            found += [
                suppressed(b, s, _LEAST_SCORE, _OVERLAP) for b, s in zip(boxes, scores, strict=True)
            ]
        return average_precision(found, truths, spec.classes, 0.5) * 100

    return score_of


OBJECTIVE = Objective(
    score="AP50",
    key="development_ap50_percent",
    recipe=DenseRecipe(epochs=14),
    prepared=_prepared,
    trained=_trained,
    compiled=_compiled,
    batches=_batches,
    scorer=_scorer,
    initial=_initial,
)
