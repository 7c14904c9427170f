"""Boxes from the outputs of a single-shot detector: decoding and non-maximum suppression.

The arithmetic is that of ``calibration_data.box_decoder``, which bundles hold a copy of; here it
reads a contract, and refuses what does not fit it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calibration_data import box_decoder
from calibration_data.detection import Detector
from foundation.errors import InvalidInputError


@dataclass(frozen=True, eq=False)
class Detections:
    """Detections of a batch of images, the surest first; rows behind ``counts`` are zeros.

    Attributes:
        boxes: float32 ``[b, most, 4]``, top, left, bottom, right relative to the tensor, not
            clipped to it.
        scores: float32 ``[b, most]``, probabilities.
        classes: int64 ``[b, most]``, numbers of classes without the ground.
        counts: int64 ``[b]``, number of detections of each image.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    counts: np.ndarray


def decoded(detector: Detector, outputs: Mapping[str, np.ndarray]) -> Detections:
    """Detections of a batch.

    Boxes whose probability is below ``score_threshold`` are dropped. Of the others, in the order of
    their probability, each drops those behind it of its own class that overlap it by more than
    ``iou_threshold`` (greedy non-maximum suppression), and the first ``most`` that remain are
    returned. Of equal probabilities the lower anchor comes first, then the lower class.

    Args:
        detector: anchors, coding and thresholds.
        outputs: float32 by the detector's names, ``[b, rows, columns, k n]`` or
            ``[b, anchors, n]``.

    Raises:
        InvalidInputError: an output that is missing, or of another size than the anchors say.
    """
    codes, logits = joined(detector, outputs)
    # A network that is not trained may have codes whose exponential overflows: infinite boxes.
    with np.errstate(over="ignore", invalid="ignore"):
        boxes = detector.coding.decode(codes, detector.anchors)  # [b, anchors, 4]
    scores = probabilities(detector, logits)  # [b, anchors, classes]
    b, most = len(boxes), detector.most
    result = Detections(
        np.zeros((b, most, 4), np.float32),
        np.zeros((b, most), np.float32),
        np.zeros((b, most), np.int64),
        np.zeros(b, np.int64),
    )
    for row in range(b):
        places, classes = suppressed(detector, boxes[row], scores[row])
        n = len(places)
        result.boxes[row, :n] = boxes[row, places]
        result.scores[row, :n] = scores[row, places, classes]
        result.classes[row, :n] = classes
        result.counts[row] = n
    return result


def joined(detector: Detector, outputs: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of all levels in the order of the anchors.

    Args:
        detector: names of the outputs, and the number of anchors.
        outputs: as ``decoded`` takes them.

    Returns:
        Codes ``[b, anchors, 4]`` and scores as the network gives them, ``[b, anchors, n]``, the
        ground's among them.

    Raises:
        InvalidInputError: as ``decoded``.
    """
    found = []
    for names, width in ((detector.boxes, 4), (detector.scores, None)):
        if missing := [name for name in names if name not in outputs]:
            raise _misfit(detector, f"outputs {', '.join(outputs)} without {missing[0]}")
        arrays = [outputs[name] for name in names]
        total = sum(array[0].size for array in arrays)
        n = width or total // detector.count
        if total != n * detector.count or any(array[0].size % n for array in arrays):
            raise _misfit(detector, f"{total} values in {', '.join(names)}")
        found.append(np.concatenate([a.reshape(len(a), -1, n) for a in arrays], axis=1))
    return found[0], found[1]


def probabilities(detector: Detector, scores: np.ndarray) -> np.ndarray:
    """Probability of each class without the ground, float32 ``[b, anchors, classes]``.

    Args:
        detector: end of the scores, and whether the first is the ground's.
        scores: as ``joined`` returns them.
    """
    return box_decoder.probabilities(scores, detector.end.value, ground=detector.ground)


def suppressed(
    detector: Detector, boxes: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Detections of one image after non-maximum suppression.

    Args:
        detector: thresholds.
        boxes: ``[anchors, 4]``.
        scores: probabilities ``[anchors, classes]``.

    Returns:
        Anchors and classes of the detections, int64 ``[n]`` each, the surest first.
    """
    limits = (detector.score_threshold, detector.iou_threshold, detector.most)
    return box_decoder.suppressed(boxes, scores, *limits)


def _misfit(detector: Detector, received: str) -> InvalidInputError:
    return InvalidInputError(
        f"a detector of {detector.count} anchors has 4 numbers for the box of each, and as many "
        "scores for each as for the others",
        received=received,
        remedy="give the anchors and names of this model in [detection] of the contract",
    )
