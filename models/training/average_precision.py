"""Average precision of detections of development images, while a detector is trained.

Source: Lin et al. 2014, "Microsoft COCO", https://arxiv.org/abs/1405.0312, and its evaluation code:
precision at 101 levels of recall, for each class over all images, then the mean of the classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibration_data.box_decoder import overlaps

_MOST_BOXES = 200
"""Boxes of a class that non-maximum suppression looks at, the likeliest first."""


@dataclass(frozen=True, eq=False)
class Truths:
    """True boxes of one image.

    Attributes:
        boxes: ``[n, 4]``, corners.
        labels: int64 ``[n]``.
    """

    boxes: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, eq=False)
class Detections:
    """Detections in one image.

    Attributes:
        boxes: ``[n, 4]``, corners.
        labels: int64 ``[n]``.
        scores: ``[n]``.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


def suppressed(boxes: np.ndarray, scores: np.ndarray, least: float, overlap: float) -> Detections:
    """Detections that non-maximum suppression leaves, class by class.

    Args:
        boxes: ``[anchors, 4]``, corners.
        scores: ``[anchors, classes]``.
        least: smallest score.
        overlap: overlap from which the weaker of two boxes is dropped.
    """
    anchors, labels = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for label in range(scores.shape[1]):
        likely = np.flatnonzero(scores[:, label] > least)
        order = likely[np.argsort(-scores[likely, label], kind="stable")][:_MOST_BOXES]
        chosen = order[_not_covered(boxes[order], overlap)]
        anchors.append(chosen)
        labels.append(np.full(len(chosen), label, np.int64))
    anchor, label_of = np.concatenate(anchors), np.concatenate(labels)
    return Detections(boxes[anchor], label_of, scores[anchor, label_of])


def _not_covered(boxes: np.ndarray, overlap: float) -> np.ndarray:
    """Which boxes stay, bool ``[n]``, if each drops all later ones that it overlaps."""
    alive = np.ones(len(boxes), bool)
    shares = overlaps(boxes, boxes)
    for box in range(len(boxes)):
        if alive[box]:
            alive[box + 1 :] &= shares[box, box + 1 :] <= overlap
    return alive


def average_precision(
    found: list[Detections], truths: list[Truths], classes: int, overlap: float
) -> float:
    """Mean over the classes that occur of their average precision, 0 to 1; 0 if none occurs.

    Args:
        found: detections of each image.
        truths: true boxes of each image.
        classes: number of classes.
        overlap: least overlap of a right detection with a box that no stronger one has taken.
    """
    precisions = [
        _of_class(found, truths, label, overlap)
        for label in range(classes)
        if any((truth.labels == label).any() for truth in truths)
    ]
    return float(np.mean(precisions)) if precisions else 0.0


def _of_class(found: list[Detections], truths: list[Truths], label: int, overlap: float) -> float:
    scores, right, objects = [np.empty(0)], [np.empty(0, bool)], 0
    for detections, truth in zip(found, truths, strict=True):
        boxes = truth.boxes[truth.labels == label]
        objects += len(boxes)
        chosen = np.flatnonzero(detections.labels == label)
        chosen = chosen[np.argsort(-detections.scores[chosen], kind="stable")]
        scores.append(detections.scores[chosen])
        right.append(_right(overlaps(detections.boxes[chosen], boxes), overlap))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    hits = np.cumsum(np.concatenate(right)[order])
    precision = hits / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(hits / objects, np.linspace(0, 1, 101))
    return float(np.append(precision, 0.0)[places].mean())


def _right(shares: np.ndarray, overlap: float) -> np.ndarray:
    """Whether each detection, the strongest first, has a box of its own: bool ``[n]``.

    Args:
        shares: overlaps with the true boxes, ``[n, m]``.
        overlap: least overlap.
    """
    free = np.ones(shares.shape[1], bool)
    right = np.zeros(len(shares), bool)
    for row, each in enumerate(shares):
        candidates = np.where(free, each, 0.0)
        if len(candidates) and candidates.max() >= overlap:
            free[candidates.argmax()] = False
            right[row] = True
    return right
