"""Matching of detections with true boxes, as COCO does it, and with those of another network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from calibration_data.annotations import Boxes
from calibration_data.box_decoder import overlaps

if TYPE_CHECKING:
    from pycocotools.cocoeval import COCOeval

OVERLAPS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
"""Least intersection over union of a right detection, 0.50:0.95."""
AREAS = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
"""Ranges of areas of objects in pixels of the photo."""
SAME = 0.5
"""Least intersection over union of two detections that are called the same."""


@dataclass(frozen=True, eq=False)
class Matches:
    """Verdict on each detection of one image.

    Attributes:
        right: uint16 ``[areas, n]``; bit ``t`` is set where the detection found a true box at the
            overlap ``OVERLAPS[t]``.
        ignored: the same for detections that count neither as right nor as wrong.
    """

    right: np.ndarray
    ignored: np.ndarray


def coco_matches(
    truth: Boxes, boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray
) -> Matches:
    """Match the detections of one image with its true boxes.

    The matching is that of pycocotools (``COCOeval.evaluateImg``): Lin et al. 2014, "Microsoft
    COCO", https://arxiv.org/abs/1405.0312. It is called image by image, so that images are matched
    in parallel and none is kept.

    Args:
        truth: true boxes, labels in the numbering of ``classes``.
        boxes: ``[n, 4]``, top, left, bottom, right in pixels of the photo.
        scores: ``[n]``, descending.
        classes: ``[n]``.
    """
    outside = _outside(boxes)  # [areas, n]
    every = np.uint16(2 ** len(OVERLAPS) - 1)
    right = np.zeros((len(AREAS), len(boxes)), np.uint16)
    ignored = np.where(outside, every, np.uint16(0))
    for label in np.unique(truth.labels):
        own = np.flatnonzero(classes == label)
        if not len(own):
            continue
        judge = _judge(truth, truth.labels == label, boxes[own], scores[own])
        for place, limits in enumerate(AREAS.values()):
            found = judge.evaluateImg(0, 0, limits, len(own))
            right[place, own] = _bits(np.asarray(found["dtMatches"]) > 0)
            ignored[place, own] = _bits(np.asarray(found["dtIgnore"]) > 0)
    return Matches(right, ignored)


def same_detections(
    boxes: np.ndarray, classes: np.ndarray, others: np.ndarray, other_classes: np.ndarray
) -> int:
    """Number of detections that two networks have in common on one image.

    Each detection, the surest first, takes the one of its class that it overlaps most, by ``SAME``
    at least, of those that are not taken.

    Args:
        boxes: ``[n, 4]``, the surest first.
        classes: ``[n]``.
        others: boxes of the other network, ``[m, 4]``.
        other_classes: their classes, ``[m]``.
    """
    shares = overlaps(boxes, others) * (classes[:, None] == other_classes[None])
    common = 0
    for row in range(len(boxes) if len(others) else 0):
        best = int(shares[row].argmax())
        if shares[row, best] >= SAME:
            shares[:, best] = 0
            common += 1
    return common


def _judge(truth: Boxes, chosen: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> COCOeval:
    """Evaluation of one class of one image, both numbered 0, with the overlaps computed.

    Its lists are filled directly: ``COCOeval.evaluate`` fills them from all images at once, and
    prints to the standard output, which belongs to the command.
    """
    from pycocotools.cocoeval import COCOeval

    judge: Any = COCOeval(iouType="bbox")
    judge.params.iouThrs = np.array(OVERLAPS)
    judge.params.maxDets = [len(boxes)]
    sides = _rectangles(truth.corners[chosen])
    judge._gts[0, 0] = [
        {"id": i + 1, "bbox": box, "area": float(area), "iscrowd": int(crowd), "ignore": int(crowd)}
        for i, (box, area, crowd) in enumerate(
            zip(sides, truth.areas[chosen], truth.crowd[chosen], strict=True)
        )
    ]
    judge._dts[0, 0] = [
        {"id": i + 1, "bbox": box, "area": box[2] * box[3], "score": float(score)}
        for i, (box, score) in enumerate(zip(_rectangles(boxes), scores, strict=True))
    ]
    judge.ious = {(0, 0): judge.computeIoU(0, 0)}
    return judge


def _rectangles(boxes: np.ndarray) -> list[list[float]]:
    """Left, top, width and height of boxes ``[n, 4]``."""
    wide = boxes.astype(np.float64)
    sides = np.concatenate([wide[:, 1::-1], (wide[:, 2:] - wide[:, :2])[:, ::-1]], axis=1)
    rows: list[list[float]] = sides.tolist()
    return rows


def _outside(boxes: np.ndarray) -> np.ndarray:
    """Whether the area of each box is outside each range, bool ``[areas, n]``."""
    wide = boxes.astype(np.float64)
    areas = np.prod(wide[:, 2:] - wide[:, :2], axis=1)
    return np.stack([(areas < low) | (areas > high) for low, high in AREAS.values()])


def _bits(flags: np.ndarray) -> np.ndarray:
    """Rows of flags ``[t, n]`` as bits of one number each, uint16 ``[n]``."""
    powers = (1 << np.arange(len(flags))).astype(np.uint16)
    bits: np.ndarray = (flags * powers[:, None]).sum(axis=0).astype(np.uint16)
    return bits
