"""Calibration images in two halves: one to make plans on, one to judge them.

The images that accuracy is reported on take part in no choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from calibration_data.calibration_set import CalibrationSet
from calibration_data.datasets.base import Dataset
from calibration_data.stream import stream
from calibration_data.task import Task
from calibration_data.task_choice import Output
from edgequant.outputs import task_of, true_values
from foundation.errors import InvalidInputError
from quantize.ranges.float_pass import CalibrationImages
from quantize.sensitivity.ranking import LabelledImages


@dataclass(frozen=True)
class Halves:
    """Halves of a calibration set.

    Attributes:
        fitting: images to make plans on.
        judged: images to judge plans on.
        labelled: whether ``judged`` has classes that are indices of the network's outputs; if not,
            the float network's answers are used as labels.
        targets: true values of the judged images in a task that is no classification; None without
            any that fit.
        dataset: the judged images as a dataset.
    """

    fitting: CalibrationImages
    judged: LabelledImages
    labelled: bool
    targets: np.ndarray | None
    dataset: Dataset


def halves(calibration: CalibrationSet, outputs: Sequence[Output], most: int) -> Halves:
    """Every other image for plans, and up to ``most`` of the remaining ones to judge on.

    If the set has no labels, or labels that do not fit the task of the first output, the float
    network's answers are used as labels.

    Args:
        calibration: calibration images.
        outputs: outputs of the network; plans are judged by the first one.
        most: largest number of images to judge on.
    """
    every = np.arange(len(calibration.dataset))
    fitting, rest = every[::2], every[1::2]
    chosen = rest[np.linspace(0, len(rest) - 1, min(most, len(rest))).round().astype(int)]
    decided = calibration.dataset.subset(fitting)
    judged = calibration.dataset.subset(chosen)
    contract, first = calibration.preprocessing, outputs[0]
    targets = None
    with suppress(InvalidInputError):
        targets = true_values(judged, contract, outputs)[first.name]
    task, _ = task_of(contract, first.name, alone=len(outputs) == 1)
    classifies = task.known is Task.CLASSIFICATION

    def images() -> Iterator[np.ndarray]:
        for batch in stream(decided, calibration.preprocessing):
            yield batch.images

    def pairs() -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        for batch in stream(judged, calibration.preprocessing):
            known = classifies and targets is not None
            yield batch.images, targets[batch.indices] if known and targets is not None else None

    return Halves(
        CalibrationImages(len(fitting), images),
        LabelledImages(len(chosen), pairs, classifies),
        targets is not None,
        targets,
        judged,
    )
