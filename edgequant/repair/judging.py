"""Judgement of a plan on held-out images: what it loses against the float network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from calibration_data.task import OutputTask, Task
from edgequant.repair.heldout import Halves
from evaluation.decisions import answers
from evaluation.scores import Outputs
from evaluation.task import TaskKind
from network.graph import Graph
from network.run_tensorflow import run_outputs
from quantize.plans.plan import PlannedNetwork
from quantize.plans.simulate import simulated_outputs

_MOST_DB = 999.0
_BATCH = 32


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
    true = targets if targets is not None else _assumed(exact, task)
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


@dataclass(frozen=True)
class Judged:
    """Output that plans are judged by.

    Attributes:
        place: number of the output.
        name: name of the output.
        task: task of the output.
        kind: metrics of the task.
    """

    place: int
    name: str
    task: OutputTask
    kind: TaskKind


@dataclass(frozen=True, eq=False)
class Judge:
    """Held-out images with the float network's outputs.

    Attributes:
        images: float32 ``[n, *shape]``.
        targets: true values by the name of the output; none where float's answers count as right.
        exact: float32 ``[n, ...]`` of each output of the network.
        outputs: outputs that plans are judged by.
    """

    images: np.ndarray
    targets: Mapping[str, np.ndarray]
    exact: tuple[np.ndarray, ...]
    outputs: tuple[Judged, ...]

    @classmethod
    def of(cls, graph: Graph, held: Halves, outputs: tuple[Judged, ...]) -> Judge:
        """Judge with the outputs of the float network."""
        images = np.concatenate([images for images, _ in held.judged.batches()])
        exact = _in_batches(lambda batch: run_outputs(graph, batch), images)
        return cls(images, held.targets, exact, outputs)

    @property
    def unit(self) -> str:
        """Unit of the drops, in words."""
        units = {output.kind.unit for output in self.outputs}
        return units.pop() if len(units) == 1 else "in the unit of its metric"

    def worst(self, planned: PlannedNetwork) -> tuple[Loss, str]:
        """Run a plan on the held-out images: its largest loss, and the output that has it.

        The name is empty for a network with one output.
        """
        found = _in_batches(lambda batch: simulated_outputs(planned, batch), self.images)
        losses = [
            lost(
                found[output.place],
                self.exact[output.place],
                self.targets.get(output.name),
                output.task,
                output.kind,
            )
            for output in self.outputs
        ]
        number = max(range(len(losses)), key=lambda place: losses[place].drop)
        return losses[number], self.outputs[number].name if len(self.exact) > 1 else ""


def _in_batches(
    run: Callable[[np.ndarray], tuple[np.ndarray, ...]], images: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Every output for all images, float32 ``[n, ...]`` each."""
    parts = [run(images[i : i + _BATCH]) for i in range(0, len(images), _BATCH)]
    return tuple(np.concatenate(values) for values in zip(*parts, strict=True))
