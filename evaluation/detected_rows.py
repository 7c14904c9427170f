"""Rows of detections of a batch of photos, with what is compared with true boxes and float."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from evaluation.box_matching import coco_matches
from evaluation.decoding import Detections, joined
from evaluation.detected import row_type

if TYPE_CHECKING:
    from calibration_data.annotations import Boxes
    from calibration_data.detection import Detector
    from calibration_data.preprocessing import Preprocessing


def add_noise(
    rows: np.ndarray,
    detector: Detector,
    raw: Mapping[str, np.ndarray],
    first: Mapping[str, np.ndarray],
) -> None:
    """Add sums of squares of raw outputs and of their differences, and whether all are finite.

    Args:
        rows: rows of ``row_type``, changed in place.
        detector: names of the outputs.
        raw: outputs of the network by name; empty for a file that gives detections, whose sums are
            NaN.
        first: outputs of the network that it is compared with.
    """
    if not raw or not first:
        rows["signal"] = rows["noise"] = math.nan
        rows["finite"] = np.isfinite(rows["boxes"]).all()
        return
    pairs = zip(joined(detector, raw), joined(detector, first), strict=True)
    for part, (mine, reference) in enumerate(pairs):
        signal = reference.reshape(len(rows), -1).astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            noise = signal - mine.reshape(len(rows), -1)
            rows["signal"][:, part] = np.square(signal).sum(axis=1)
            rows["noise"][:, part] = np.square(noise).sum(axis=1)
        rows["finite"][:, part] = np.isfinite(mine).all(axis=(1, 2))


def rows_of(
    found: Detections,
    detector: Detector,
    contract: Preprocessing,
    sizes: np.ndarray,
    truths: Sequence[Boxes] | None,
) -> np.ndarray:
    """Rows of ``row_type`` without the sums of raw outputs.

    Args:
        found: detections of a batch.
        detector: thresholds of the detections that are shown.
        contract: preprocessing, which says where the photo lies in the tensor.
        sizes: height and width of each photo, ``[b, 2]``.
        truths: true boxes of each photo; None without.
    """
    most = found.scores.shape[1]
    rows = np.zeros(len(sizes), row_type(most))
    rows["count"], rows["scores"], rows["classes"] = found.counts, found.scores, found.classes
    there = np.arange(most) < found.counts[:, None]
    above = there & (found.scores >= detector.score_threshold)
    rows["shown"] = np.minimum(above.sum(axis=1), detector.most)
    for i, (height, width) in enumerate(sizes):
        n = int(found.counts[i])
        boxes = contract.placement(int(height), int(width)).to_photo(found.boxes[i, :n])
        rows["boxes"][i, :n] = boxes
        if truths is not None:
            matches = coco_matches(truths[i], boxes, found.scores[i, :n], found.classes[i, :n])
            rows["right"][i, :, :n], rows["ignored"][i, :, :n] = matches.right, matches.ignored
    return rows
