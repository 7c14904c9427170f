"""Outputs of files that decode inside, as detections: of tensorflow/models' names and shapes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibration_data.detection import DETECTIONS
from evaluation.decoding import Detections


def gives_detections(names: Sequence[str]) -> bool:
    """Whether outputs of these names are final detections."""
    return set(names) == set(DETECTIONS)


def are_detections(arrays: Sequence[np.ndarray]) -> bool:
    """Whether these are the outputs of a file that decodes inside, in the order ``DETECTIONS``.

    Only there one number for each image stands at the end; raw outputs have rows of anchors.
    """
    return len(arrays) == len(DETECTIONS) and arrays[-1].ndim == 1


def detections_of(arrays: Sequence[np.ndarray]) -> Detections:
    """Detections of a batch.

    Args:
        arrays: outputs in the order ``DETECTIONS``.
    """
    boxes, classes, scores, counts = arrays
    return Detections(boxes, scores, classes.astype(np.int64), counts.astype(np.int64))


def with_room(found: Detections, most: int) -> Detections:
    """The same detections with room for more, or without those beyond ``most``."""

    def fitted(values: np.ndarray) -> np.ndarray:
        missing = max(0, most - values.shape[1])
        rest = [(0, 0)] * (values.ndim - 2)
        return np.pad(values[:, :most], [(0, 0), (0, missing), *rest])

    return Detections(
        fitted(found.boxes),
        fitted(found.scores),
        fitted(found.classes),
        np.minimum(found.counts, most),
    )
