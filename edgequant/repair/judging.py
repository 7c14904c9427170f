"""Judgement of a plan on held-out images: what it loses against the float network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from calibration_data.task import OutputTask, Task
from edgequant.outputs import Answer
from edgequant.repair.comparing import Compared
from evaluation.decisions import answers
from evaluation.scores import Outputs
from evaluation.task import TaskKind
from quantize.plans.plan import PlannedNetwork

_MOST_DB = 999.0


@dataclass(frozen=True)
class Loss:
    """What a plan loses on the held-out images.

    Attributes:
        drop: loss of the primary metric of the task, in its unit.
        agreement: percentage of images with the float network's answer; of a task without answers,
            SQNR in dB.
    """

    drop: float
    agreement: float


def lost(
    outputs: np.ndarray,
    exact: np.ndarray,
    targets: np.ndarray | None,
    task: OutputTask,
    kind: TaskKind,
) -> Loss:
    """Loss of a plan.

    Without targets what the float network says counts as true: its class, its answers, its values;
    of an embedding, the loss is the percentage of images with another nearest neighbour.

    Args:
        outputs: output of the plan, float32 ``[n, ...]``.
        exact: output of the float network, same shape.
        targets: true values as the kind's ``check`` gives them; None without any.
        task: task of the output.
        kind: metrics of the task.
    """
    reduced = kind.reduction is not None  # then what counts as true is in the rows
    true = targets if targets is not None or reduced else _assumed(exact, task)
    scores = kind.scores(outputs, true, exact, task.limit)
    agreement = _agreement(scores, kind)
    if true is None or not kind.first.applies(scores):
        return Loss(100 - agreement, agreement)
    return Loss(kind.points(scores), agreement)


def _agreement(scores: Outputs, kind: TaskKind) -> float:
    if kind.task is Task.CLASSIFICATION:
        same = scores.outputs.argmax(axis=1) == scores.required_reference.argmax(axis=1)
        return 100 * float(same.mean())
    # Equal outputs have an infinite SQNR, which JSON does not have.
    return min(kind.metric(kind.likeness).function(scores), _MOST_DB)


def _assumed(exact: np.ndarray, task: OutputTask) -> np.ndarray | None:
    """What the float network says, as true values; None for a task without answers."""
    if task.known is Task.CLASSIFICATION:
        classes: np.ndarray = exact.argmax(axis=1)  # [n]
        return classes
    if task.known is Task.EMBEDDING:
        return None
    if task.known is Task.REGRESSION:
        return exact.reshape(len(exact), -1).astype(np.float64)
    said = answers(Outputs(exact, None, None, task.limit)).astype(np.int64)
    return said[:, 0] if task.known is Task.BINARY else said


@dataclass(frozen=True, eq=False)
class Judge:
    """Held-out images with the float network's outputs.

    Attributes:
        compare: plan -> its outputs beside those of the float network, for each of ``judged``.
        count: number of images.
        judged: answers of the network that plans are judged by.
    """

    compare: Callable[[PlannedNetwork], tuple[Compared, ...]]
    count: int
    judged: tuple[Answer, ...]

    @property
    def unit(self) -> str:
        """Unit of the drops, in words."""
        units = {answer.kind.unit for answer in self.judged}
        return units.pop() if len(units) == 1 else "in the unit of its metric"

    def worst(self, planned: PlannedNetwork) -> tuple[Loss, str]:
        """Run a plan on the held-out images: its largest loss, and the output that has it.

        The name is empty for a network with one answer.
        """
        losses = [
            lost(found.outputs, found.exact, found.targets, answer.task, answer.kind)
            for found, answer in zip(self.compare(planned), self.judged, strict=True)
        ]
        number = max(range(len(losses)), key=lambda place: losses[place].drop)
        worst = self.judged[number]
        return losses[number], "" if worst.alone else worst.name
