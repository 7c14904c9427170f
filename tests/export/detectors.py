"""A tiny detector with random heads, and the comparison of its detections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calibration_data.anchors import Scales
from calibration_data.box_decoder import overlaps
from calibration_data.detection import DETECTIONS, Detector
from calibration_data.preprocessing import Crop, Preprocessing
from evaluation.decoding import Detections, joined, probabilities
from export.target import ExportRequest, export_targets
from network.from_keras import from_keras
from quantize.engine import make_plan
from quantize.plans.plan import PlannedNetwork
from quantize.ranges.float_pass import CalibrationImages
from quantize.recipes import Recipe
from quantize.settings import Optimization, PlanSettings

if TYPE_CHECKING:
    import keras

SIDE, CLASSES = 32, 3
SCORES, BOXES = 1e-5, 1e-4
"""Tolerances: of a probability, and of an edge as a part of the side of the image."""
_CLOSE = 1e-6
"""Distance of a score or an overlap from its threshold below which rounding decides."""

DETECTOR = Detector(
    ("boxes_0", "boxes_1"),
    ("scores_0", "scores_1"),
    Scales(0.25, 0.65, (1.0, 2.0, 0.5)).levels(((8, 8), (4, 4))),
    iou_threshold=0.45,
    most=40,
)
CONTRACT = Preprocessing(
    size=(SIDE, SIDE), crop=Crop.PAD, detector=DETECTOR, labels=("cup", "cat", "car")
)


def images(count: int) -> np.ndarray:
    """Coarse random images, float32 ``[count, SIDE, SIDE, 3]``."""
    coarse = np.random.default_rng(5).uniform(-1, 1, (count, 8, 8, 3))
    return coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.float32)


def calibration() -> Iterator[np.ndarray]:
    """Batches of calibration images."""
    yield images(16)


def network(detector: Detector = DETECTOR) -> keras.Model:
    """Two levels of 1x1 prediction layers, whose scores spread so that many boxes are found."""
    import keras

    keras.utils.set_random_seed(1)
    layers = keras.layers
    inputs = keras.Input((SIDE, SIDE, 3))
    fine = layers.Conv2D(16, 3, 4, padding="same", activation="relu")(inputs)
    coarse = layers.Conv2D(16, 3, 2, padding="same", activation="relu")(fine)
    ends = []
    for names, each, spread in ((detector.boxes, 4, 0.7), (detector.scores, _width(detector), 1.5)):
        for name, features, level in zip(names, (fine, coarse), detector.levels, strict=True):
            started = keras.initializers.RandomNormal(0, spread)
            filters = len(level.shapes) * each
            ends.append(layers.Conv2D(filters, 1, name=name, kernel_initializer=started)(features))
    return keras.Model(inputs, ends, name="net")


def _width(detector: Detector) -> int:
    return CLASSES + detector.ground


def written(model: keras.Model, of: Recipe, path: Path, contract: Preprocessing = CONTRACT) -> Path:
    """File of a detector in a recipe, at ``path`` with the target's suffix."""
    target = export_targets()[of.target]
    planned = None
    if of.planned:
        of = of.with_effort(Optimization.FAST)
        planned = _planned(model, of.settings)
    path = path.with_suffix(target.suffix)
    target.write(ExportRequest(model, of, contract, calibration, planned=planned), path)
    return path


@cache
def _planned(model: keras.Model, settings: PlanSettings) -> PlannedNetwork:
    graph = from_keras(model, CONTRACT)
    sample = CalibrationImages(len(images(16)), calibration)
    plan = make_plan(graph, sample, CONTRACT, settings)
    return PlannedNetwork(plan.network(graph), plan)


def with_detector(detector: Detector) -> Preprocessing:
    """Contract of another detector."""
    return replace(CONTRACT, detector=detector)


def final(outputs: Mapping[str, np.ndarray]) -> Detections:
    """Detections that a file gives."""
    boxes, classes, scores, counts = (outputs[name] for name in DETECTIONS)
    return Detections(boxes, scores, classes.astype(np.int64), counts.astype(np.int64))


def clear(detector: Detector, raw: Mapping[str, np.ndarray]) -> np.ndarray:
    """Images whose scores and overlaps are far from the thresholds, bool ``[b]``.

    Other images may lose or gain a box by the last bit of an exponential.
    """
    codes, scores = joined(detector, raw)
    boxes = detector.coding.decode(codes, detector.anchors)
    chances = probabilities(detector, scores)
    result = np.ones(len(boxes), bool)
    for i, (own, found) in enumerate(zip(boxes, chances, strict=True)):
        near = [np.abs(found - detector.score_threshold).min()]
        for label in range(found.shape[1]):
            these = own[found[:, label] >= detector.score_threshold]
            if len(these):
                near.append(np.abs(overlaps(these, these) - detector.iou_threshold).min())
        result[i] = min(near) > _CLOSE
    return result


def assert_same(found: Detections, wanted: Detections, most: int) -> None:
    """The same detections: as many, with the same scores, classes and boxes.

    Equal scores may come in any order, and where the list is full, those of the last score may be
    others.
    """
    assert np.array_equal(found.counts, wanted.counts)
    assert np.abs(found.scores - wanted.scores).max() < SCORES
    for i, count in enumerate(wanted.counts):
        start = 0
        scores = wanted.scores[i, :count]
        steps = np.flatnonzero(np.diff(scores) < -SCORES) + 1
        for end in (*steps, count):
            if end == count == most:
                break
            assert _rows(found, i, start, end, wanted)
            start = end
        assert not found.boxes[i, count:].any()
        assert not found.scores[i, count:].any()


def _rows(found: Detections, i: int, start: int, end: int, wanted: Detections) -> bool:
    """Whether the rows of equal scores are the same, in any order."""
    left = list(range(start, end))
    for row in range(start, end):
        same = [
            other
            for other in left
            if found.classes[i, other] == wanted.classes[i, row]
            and np.abs(found.boxes[i, other] - wanted.boxes[i, row]).max() < BOXES
        ]
        if not same:
            return False
        left.remove(same[0])
    return True
