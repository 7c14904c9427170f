"""True boxes and detections that are drawn, and their rows."""

from __future__ import annotations

import numpy as np

from calibration_data.annotations import Boxes
from evaluation.box_matching import coco_matches
from evaluation.detected import Detected, row_type

Photo = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Boxes, scores (falling) and classes of the detections of a photo."""


def boxes_of(corners: object, labels: object, crowd: object = None, areas: object = None) -> Boxes:
    plain = Boxes.of(np.array(corners, np.float32).reshape(-1, 4), np.array(labels, np.int64))
    return Boxes(
        plain.corners,
        plain.labels,
        plain.crowd if crowd is None else np.array(crowd, bool),
        plain.areas if areas is None else np.array(areas, np.float64),
    )


def rows_of(
    photos: list[Photo], truths: list[Boxes] | None, noise: float = 0.0, most: int = 20
) -> np.ndarray:
    """Rows of photos, all of whose detections are shown."""
    rows = np.zeros(len(photos), row_type(most))
    for i, (boxes, scores, classes) in enumerate(photos):
        n = len(scores)
        rows["count"][i] = rows["shown"][i] = n
        rows["boxes"][i, :n], rows["scores"][i, :n] = boxes, scores
        rows["classes"][i, :n] = classes
        if truths is not None:
            found = coco_matches(truths[i], np.asarray(boxes, np.float32), scores, classes)
            rows["right"][i, :, :n], rows["ignored"][i, :, :n] = found.right, found.ignored
    rows["size"] = 300, 320
    rows["signal"], rows["noise"], rows["finite"] = 1.0, noise, True
    return rows


def drawn_truths(rng: np.random.Generator, n: int, classes: int) -> list[Boxes]:
    """True boxes of photos of 300 pixels, some of them crowds, some photos without any."""
    truths = []
    for _ in range(n):
        count = int(rng.integers(0, 7))
        starts, sides = rng.uniform(0, 200, (count, 2)), rng.uniform(8, 150, (count, 2))
        truths.append(
            boxes_of(
                np.concatenate([starts, starts + sides], axis=1),
                rng.integers(0, classes, count),
                rng.random(count) < 0.1,
                np.prod(sides, axis=1) * rng.uniform(0.5, 1, count),
            )
        )
    return truths


def drawn_photo(
    rng: np.random.Generator, truth: Boxes, classes: int, spread: float, coarse: bool = False
) -> Photo:
    """Detections near the true boxes, and others; scores have many ties where they are coarse."""
    found, labels = [], []
    for corners, label in zip(truth.corners, truth.labels, strict=True):
        for _ in range(int(rng.integers(0, 3))):
            found.append(corners + rng.normal(0, spread, 4))
            labels.append(label if rng.random() < 0.9 else rng.integers(0, classes))
    for _ in range(int(rng.integers(0, 6))):
        start = rng.uniform(0, 200, 2)
        found.append(np.concatenate([start, start + rng.uniform(8, 150, 2)]))
        labels.append(rng.integers(0, classes))
    scores = np.sort(rng.random(len(found)))[::-1].astype(np.float32)
    boxes = np.array(found, np.float32).reshape(-1, 4)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
    return boxes, np.round(scores, 1) if coarse else scores, np.array(labels, np.int64)


def moved(rng: np.random.Generator, photo: Photo, spread: float) -> Photo:
    """The same detections as another network may have them: moved, and one in ten lost."""
    boxes, scores, classes = photo
    kept = rng.random(len(scores)) > 0.1
    shifted = boxes + rng.normal(0, spread, boxes.shape).astype(np.float32)
    shifted[:, 2:] = np.maximum(shifted[:, 2:], shifted[:, :2])
    return shifted[kept], scores[kept], classes[kept]


def drawn_detections(n: int = 40, classes: int = 3, seed: int = 0) -> Detected:
    """Detections of a file near those of a float network, with true boxes."""
    rng = np.random.default_rng(seed)
    truths = drawn_truths(rng, n, classes)
    exact = [drawn_photo(rng, truth, classes, 4.0) for truth in truths]
    noisy = [moved(rng, photo, 3.0) for photo in exact]
    targets = np.empty(n, object)
    targets[:] = truths
    return Detected(rows_of(noisy, truths, noise=1e-3), targets, rows_of(exact, truths))
