"""Boxes from the outputs of a single-shot detector, with NumPy alone.

This file is the definition that compiled and exported decoders are compared with. It imports
nothing but NumPy, and bundles hold a copy of it beside the plain values of a contract's table
``[detection]`` in JSON::

    table = json.load(open("detector.json"))
    found = detections(table, {name: array for each output})

Source: Liu et al. 2016, "SSD: Single Shot MultiBox Detector", https://arxiv.org/abs/1512.02325,
section 2.2 and 3; comparisons are those of TensorFlow Lite's TFLite_Detection_PostProcess with
regular suppression: a score equal to its threshold is a detection, an overlap equal to its
threshold drops no box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def detections(
    table: Mapping[str, Any], outputs: Mapping[str, np.ndarray]
) -> list[list[tuple[list[float], float, int]]]:
    """Detections of each image of a batch, the surest first: box, probability, number of the class.

    A box is top, left, bottom, right relative to the network's input, 0 to 1 inside it. Classes are
    counted without the ground.

    Args:
        table: plain values of the table ``[detection]``.
        outputs: float32 by the table's names, ``[b, rows, columns, k n]`` or ``[b, anchors, n]``.

    Raises:
        KeyError: an output that is missing.
        ValueError: an output of another size than the anchors say.
    """
    anchors = np.concatenate(
        [grid(level["rows"], level["columns"], level["shapes"]) for level in table["levels"]]
    )
    codes, scores = (joined([outputs[name] for name in table[key]], len(anchors))
                     for key in ("boxes", "scores"))  # fmt: skip
    corners = boxes_of(codes, anchors, table["factors"])  # [b, anchors, 4]
    chances = probabilities(scores, table["end"], ground=table["ground"])
    limits = (table["score_threshold"], table["iou_threshold"], table["most"])
    found = []
    for boxes, chance in zip(corners, chances, strict=True):
        kept = zip(*suppressed(boxes, chance, *limits), strict=True)
        found.append([(boxes[i].tolist(), float(chance[i, c]), int(c)) for i, c in kept])
    return found


def grid(rows: int, columns: int, shapes: Sequence[Sequence[float]]) -> np.ndarray:
    """Anchors of one feature map, row by row, cell by cell, shape by shape.

    Args:
        rows: height of the feature map.
        columns: width of the feature map.
        shapes: height and width of each anchor of a cell, relative to the image.

    Returns:
        float32 ``[rows columns k, 4]``: centre y, centre x, height, width.
    """
    y = (np.arange(rows, dtype=np.float32) + 0.5) / rows
    x = (np.arange(columns, dtype=np.float32) + 0.5) / columns
    sides = np.array(shapes, np.float32)  # [k, 2]
    anchors = np.empty((rows, columns, len(sides), 4), np.float32)
    anchors[..., 0] = y[:, None, None]
    anchors[..., 1] = x[None, :, None]
    anchors[..., 2:] = sides
    return anchors.reshape(-1, 4)


def joined(levels: Sequence[np.ndarray], count: int) -> np.ndarray:
    """Outputs of all levels, one behind the other: ``[b, count, n]``.

    Args:
        levels: ``[b, ...]`` each, in the order of the anchors.
        count: number of anchors.

    Raises:
        ValueError: numbers that are not as many for each anchor.
    """
    width = sum(level[0].size for level in levels) // count
    result = np.concatenate([level.reshape(len(level), -1, width) for level in levels], axis=1)
    if result.shape[1] != count:
        raise ValueError(f"numbers of {result.shape[1]} anchors, where there are {count}")
    return result


def boxes_of(codes: np.ndarray, anchors: np.ndarray, factors: Sequence[float]) -> np.ndarray:
    """Boxes float32 ``[..., n, 4]`` of codes ``[..., n, 4]`` against ``n`` anchors.

    A code is an offset of the centre in y and x and a logarithm of height and width, each times
    its factor.
    """
    values = codes / np.array(factors, np.float32)
    centres = values[..., :2] * anchors[:, 2:] + anchors[:, :2]
    half = np.exp(values[..., 2:]) * anchors[:, 2:] / 2
    boxes: np.ndarray = np.concatenate([centres - half, centres + half], axis=-1)
    return boxes.astype(np.float32)


def probabilities(scores: np.ndarray, end: str, *, ground: bool) -> np.ndarray:
    """Probability of each class without the ground, float32 ``[b, anchors, classes]``.

    Args:
        scores: as the network gives them, ``[b, anchors, n]``.
        end: ``softmax`` over the ground and the classes, ``sigmoid`` of each class, or ``none``
            for outputs that are probabilities.
        ground: whether the first score of an anchor is the ground's, that is, no object.
    """
    values: np.ndarray = scores.astype(np.float32)
    if end == "softmax":
        values = np.exp(values - values.max(axis=-1, keepdims=True))
        values /= values.sum(axis=-1, keepdims=True)
    values = values[..., 1:] if ground else values
    if end == "sigmoid":
        with np.errstate(over="ignore"):  # the exponential of a large number is 1 / 0
            values = 1 / (1 + np.exp(-values))
    return values


def suppressed(
    boxes: np.ndarray, scores: np.ndarray, score_threshold: float, iou_threshold: float, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Anchors and classes of one image after non-maximum suppression, int64 ``[n]`` each.

    Boxes whose probability is below ``score_threshold`` are dropped. Of the others, in the order of
    their probability, each drops those behind it of its own class that overlap it by more than
    ``iou_threshold``, and the first ``most`` that remain are returned. Of equal probabilities the
    lower anchor comes first, then the lower class.

    Args:
        boxes: ``[anchors, 4]``.
        scores: probabilities ``[anchors, classes]``.
        score_threshold: smallest probability of a detection.
        iou_threshold: overlap above which the weaker of two boxes of one class is dropped.
        most: largest number of detections.
    """
    above = np.flatnonzero(scores.reshape(-1) >= score_threshold)
    above = above[np.argsort(-scores.reshape(-1)[above], kind="stable")]
    anchors, classes = np.divmod(above, scores.shape[1])
    active = np.ones(len(above), bool)
    kept: list[int] = []
    place = 0
    # Classes do not touch each other, so the best of all classes can be taken one by one.
    while len(kept) < most and place < len(above):
        kept.append(place)
        active[place] = False
        rivals = np.flatnonzero(active & (classes == classes[place]))
        with np.errstate(invalid="ignore"):  # infinite boxes
            shares = overlaps(boxes[anchors[[place]]], boxes[anchors[rivals]])[0]
        active[rivals[shares > iou_threshold]] = False
        following = active[place:].argmax()
        if not active[place + following]:
            break
        place += int(following)
    return anchors[kept], classes[kept]


def overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes ``[n, 4]`` and ``[m, 4]``: ``[n, m]``; 0 for no area."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    inner = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(np.maximum(b[:, 2:] - b[:, :2], 0), axis=1) for b in (first, second)]
    union = areas[0][:, None] + areas[1][None] - inner
    result: np.ndarray = np.divide(inner, union, out=np.zeros_like(inner), where=union > 0)
    return result
