"""Calibration images in two halves: one to make plans on, one to judge them.

The images that accuracy is reported on take part in no choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
        targets: true values of the judged images, by the name of the output, for each output that
            has some that fit; empty where the float network's answers count as right.
        dataset: the judged images as a dataset.
    """

    fitting: CalibrationImages
    judged: LabelledImages
    targets: Mapping[str, np.ndarray]
    dataset: Dataset

    @property
    def labelled(self) -> bool:
        """Whether ``judged`` has true values; if not, the float network's answers are used."""
        return bool(self.targets)


def halves(calibration: CalibrationSet, outputs: Sequence[Output], most: int) -> Halves:
    """Every other image for plans, and up to ``most`` of the remaining ones to judge on.

    If the set has no labels, or labels that do not fit the tasks of the outputs, the float
    network's answers are used as labels.

    Args:
        calibration: calibration images.
        outputs: outputs of the network; plans are judged by those with true values, or by all.
        most: largest number of images to judge on.
    """
    every = np.arange(len(calibration.dataset))
    fitting, rest = every[::2], every[1::2]
    chosen = rest[np.linspace(0, len(rest) - 1, min(most, len(rest))).round().astype(int)]
    decided = calibration.dataset.subset(fitting)
    judged = calibration.dataset.subset(chosen)
    contract, first = calibration.preprocessing, outputs[0]
    targets: dict[str, np.ndarray] = {}
    with suppress(InvalidInputError):
        true = true_values(judged, contract, outputs)
        targets = {name: values for name, values in true.items() if values is not None}
    task, _ = task_of(contract, first.name, alone=len(outputs) == 1)
    classifies = task.known is Task.CLASSIFICATION

    def images() -> Iterator[np.ndarray]:
        for batch in stream(decided, calibration.preprocessing):
            yield batch.images

    def pairs() -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        for batch in stream(judged, calibration.preprocessing):
            classes = targets.get(first.name) if classifies else None
            yield batch.images, None if classes is None else classes[batch.indices]

    return Halves(
        CalibrationImages(len(fitting), images),
        LabelledImages(len(chosen), pairs, classifies),
        targets,
        judged,
    )
