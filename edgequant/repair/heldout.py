"""Calibration images in two halves: one to make plans on, one to judge them.

The images that accuracy is reported on take part in no choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from calibration_data.calibration_set import CalibrationSet
from calibration_data.contract import align_labels
from calibration_data.stream import stream
from foundation.errors import InvalidInputError
from quantize.ranges.float_pass import CalibrationImages
from quantize.sensitivity.ranking import LabelledImages


@dataclass(frozen=True)
class Halves:
    """Halves of a calibration set.

    Attributes:
        fitting: images to make plans on.
        judged: images to judge plans on.
        labelled: whether ``judged`` has labels that are indices of the network's outputs; if not,
            the float network's answers are used as labels.
    """

    fitting: CalibrationImages
    judged: LabelledImages
    labelled: bool


def halves(calibration: CalibrationSet, classes: int, most: int) -> Halves:
    """Every other image for plans, and up to ``most`` of the remaining ones to judge on.

    If the set has no labels, or labels that are not indices of the network's outputs, the float
    network's answers are used as labels.
    """
    every = np.arange(len(calibration.dataset))
    fitting, rest = every[::2], every[1::2]
    chosen = rest[np.linspace(0, len(rest) - 1, min(most, len(rest))).round().astype(int)]
    decided = calibration.dataset.subset(fitting)
    judged = calibration.dataset.subset(chosen)
    try:
        judged = align_labels(judged, calibration.preprocessing, classes)
        labelled = judged.labels is not None
    except InvalidInputError:
        labelled = False

    def images() -> Iterator[np.ndarray]:
        for batch in stream(decided, calibration.preprocessing):
            yield batch.images

    def pairs() -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        for batch in stream(judged, calibration.preprocessing):
            yield batch.images, batch.labels if labelled else None

    return Halves(
        CalibrationImages(len(fitting), images), LabelledImages(len(chosen), pairs), labelled
    )
