"""Answers of each of several outputs of a network that ``lint`` checks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np

from calibration_data.datasets.base import Dataset
from calibration_data.preprocessing import Preprocessing
from calibration_data.task import Task
from calibration_data.task_choice import Output
from edgequant.outputs import settled_contract, task_of, true_values
from evaluation.lint.hypotheses import Evidence, gather
from evaluation.lint.judging import NO_LABELS, chance
from evaluation.lint.subject import Subject
from evaluation.session import Session
from foundation.errors import InvalidInputError


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers of one output.

    Attributes:
        place: number of the output.
        name: name of the output.
        evidence: answers under every hypothesis; under the stated contract without labels.
        labels: true classes, int64 ``[n]``; None for an output without any.
        unjudged: reason why right and wrong answers cannot be distinguished; empty where they can.
    """

    place: int
    name: str
    evidence: Evidence = field(repr=False)
    labels: np.ndarray | None = field(repr=False)
    unjudged: str

    def seen_in(self, subject: Subject) -> Subject:
        """The network with these answers."""
        return replace(
            subject,
            evidence=self.evidence,
            labels=self.labels,
            unjudged=self.unjudged,
            output=self.place,
            output_name=self.name,
        )


def answers_of(
    session: Session, dataset: Dataset, pixels: np.ndarray, contract: Preprocessing
) -> tuple[Answers, ...]:
    """Answers of every output to the same images.

    Labels are those of columns, or arrays, with the name of the output, as ``evaluate`` reads them.

    Args:
        session: network with several outputs.
        dataset: images.
        pixels: ``[n, *shape]`` as ``Preprocessing.pixels`` returns them.
        contract: stated preprocessing, with tasks or without.

    Raises:
        InvalidInputError: NaN or infinity in an output; as ``gather``.
    """
    first = session.run(contract.normalize(pixels[:1]))
    outputs = [
        Output(name, row.shape[1:]) for name, row in zip(session.outputs, first, strict=True)
    ]
    classes: dict[str, np.ndarray] = {}
    with suppress(InvalidInputError):  # labels that do not fit tell nothing
        settled = settled_contract(contract, outputs, (dataset,), measured=False)
        for name, true in true_values(dataset, settled, outputs).items():
            task, _ = task_of(settled, name, alone=False)
            if true is not None and task.known is Task.CLASSIFICATION:
                classes[name] = true
    answers = []
    for place, output in enumerate(outputs):
        labels = classes.get(output.name)
        evidence = gather(_one(session, place), pixels, labels, contract)
        unjudged = NO_LABELS if labels is None else chance(evidence, output.width)
        answers.append(Answers(place, output.name, evidence, labels, unjudged))
    return tuple(answers)


def _one(session: Session, place: int) -> Callable[[np.ndarray], np.ndarray]:
    """Function that gives the numbers of one output, float32 ``[batch, numbers]``."""

    def predict(images: np.ndarray) -> np.ndarray:
        rows = session.run(images)[place]
        return rows.reshape(len(rows), -1)

    return predict
