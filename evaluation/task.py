"""Protocol of the tasks; a task is one file of evaluation/tasks/."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from calibration_data.targets import Truth, truth_of
from calibration_data.task import OutputTask, Task
from evaluation.metrics import ClassAccuracy, Drop, Metric, Metrics, PartRow
from evaluation.scores import Outputs

if TYPE_CHECKING:
    import numpy as np

    from calibration_data.datasets.base import Dataset
    from calibration_data.preprocessing import Preprocessing
    from evaluation.expected_flips import ExpectedFlips
    from evaluation.flips import Changed
    from evaluation.intervals import Interval
    from evaluation.runner import Batch, Reduction

    Assumed = Callable[
        [Dataset, Preprocessing, Sequence[tuple[Batch, tuple[np.ndarray, ...]]]], Dataset
    ]


@dataclass(frozen=True)
class TaskKind:
    """A task; modules of evaluation/tasks define one as ``TASK``.

    The functions take the outputs as ``scores`` holds them; those of intervals and drops are only
    called with what they need, targets and a reference.

    Attributes:
        task: its name in the contract.
        summary: one line for listings.
        metrics: its metrics, in the order of their columns.
        primary: name of the metric whose loss ``--max-drop`` limits.
        likeness: name of the metric that compares files with float where there are no targets.
        check: (what the data says, task of the output, shape of the output for one image) ->
            targets ``[n, ...]``; raises InvalidInputError for data of another task.
        drop: loss of the primary metric with its interval.
        drops: losses of other metrics, by name.
        interval: interval of the primary metric.
        changed: number of images whose answer is not that of the float network.
        expected: expected number of such images, with its interval.
        flips: (outputs, image index -> name, largest number) -> images with other answers.
        per_class: accuracy by class.
        parts: figures of single values of an output.
        curve: precision at recalls from 0 to 1, all of them 0 to 1.
        scores: class of the outputs, which checks them.
        reduction: (images, contract, names of the outputs) -> what is kept of outputs that are
            too large to be kept whole, or that are one answer together; None to keep them.
        annotated: (images, contract) -> targets ``[n, ...]`` from boxes or masks, or None for
            images without; raises InvalidInputError for annotations of other classes. None for
            tasks whose targets are class numbers or tables, which ``check`` reads.
        remarks: (images, contract) -> sentences that the reader of a measurement needs.
        assumed: (images, contract, batches with the float network's outputs) -> images whose true
            boxes or masks are what the float network says; for images without annotations.
        instead: names of the outputs of a file that does the task's last steps itself.
        unit: unit of the loss of the primary metric, in words.
        lower_is_better: whether less of the primary metric is better.
        resampled: whether the interval of the loss is a bootstrap, which can take seconds.
    """

    task: Task
    summary: str
    metrics: tuple[Metric, ...]
    primary: str
    likeness: str
    check: Callable[[Truth, OutputTask, tuple[int, ...]], np.ndarray] = field(repr=False)
    drop: Callable[[Any], Drop] = field(repr=False)
    drops: Callable[[Any], dict[str, Drop]] = field(repr=False, default=lambda _: {})
    interval: Callable[[Any], Interval] | None = field(repr=False, default=None)
    changed: Callable[[Any], int] | None = field(repr=False, default=None)
    expected: Callable[[Any], ExpectedFlips] | None = field(repr=False, default=None)
    flips: Callable[[Any, Callable[[int], str], int], tuple[Changed, ...]] | None = field(
        repr=False, default=None
    )
    per_class: Callable[[Any], tuple[ClassAccuracy, ...]] | None = field(repr=False, default=None)
    parts: Callable[[Any], tuple[PartRow, ...]] | None = field(repr=False, default=None)
    curve: Callable[[Any], tuple[float, ...]] | None = field(repr=False, default=None)
    scores: type[Outputs] = Outputs
    reduction: Callable[[Dataset, Preprocessing, tuple[str, ...]], Reduction] | None = field(
        repr=False, default=None
    )
    annotated: Callable[[Dataset, Preprocessing], np.ndarray | None] | None = field(
        repr=False, default=None
    )
    remarks: Callable[[Dataset, Preprocessing], tuple[str, ...]] = field(
        repr=False, default=lambda *_: ()
    )
    assumed: Assumed | None = field(repr=False, default=None)
    instead: tuple[str, ...] = ()
    unit: str = "points"
    lower_is_better: bool = False
    resampled: bool = False

    def metric(self, name: str) -> Metric:
        """Metric by name."""
        return next(metric for metric in self.metrics if metric.name == name)

    def points(self, outputs: Any) -> float:
        """Loss of the primary metric alone, without an interval, which can take seconds.

        Args:
            outputs: outputs with targets and a reference.
        """
        if self.resampled:
            lost = self.first.function(outputs.before) - self.first.function(outputs)
            return -lost if self.lower_is_better else lost
        return self.drop(outputs).points

    @property
    def first(self) -> Metric:
        """Primary metric."""
        return self.metric(self.primary)


def task_kinds() -> dict[Task, TaskKind]:
    """All tasks by name: ``TASK`` of each module of evaluation/tasks."""
    package = import_module(f"{__package__}.tasks")
    modules = (
        import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
    )
    kinds = [module.TASK for module in modules if hasattr(module, "TASK")]
    return {kind.task: kind for kind in sorted(kinds, key=lambda kind: list(Task).index(kind.task))}


def evaluate(outputs: Outputs, kind: TaskKind | None = None) -> Metrics:
    """Compute all metrics that the outputs have targets and a reference for.

    Args:
        outputs: an instance of the kind's ``scores``.
        kind: task of the output; None for classification.

    Raises:
        InvalidInputError: a metric that cannot be computed from these outputs.
    """
    kind = kind or task_kinds()[Task.CLASSIFICATION]
    compares, labelled = outputs.reference is not None, outputs.targets is not None
    values = {m.name: m.function(outputs) for m in kind.metrics if m.applies(outputs)}
    paired = compares and labelled and kind.first.applies(outputs)
    return Metrics(
        n=len(outputs.outputs),
        classes=outputs.width,
        values=values,
        top1_interval=kind.interval(outputs) if labelled and kind.interval else None,
        drop=kind.drop(outputs) if paired else None,
        changed=kind.changed(outputs) if compares and kind.changed else None,
        expected=kind.expected(outputs) if compares and kind.expected else None,
        per_class=kind.per_class(outputs) if labelled and kind.per_class else (),
        task=kind.task,
        drops=kind.drops(outputs) if paired else {},
        parts=kind.parts(outputs) if labelled and kind.parts else (),
        curve=kind.curve(outputs) if labelled and kind.curve else (),
    )


def checked_targets(
    dataset: Dataset,
    name: str,
    task: OutputTask,
    shape: Sequence[int],
    *,
    alone: bool,
) -> np.ndarray | None:
    """True values of an output, in the form that its task measures with; None without any.

    Args:
        dataset: images with or without labels.
        name: name of the output.
        task: task of the output.
        shape: shape of the output for one image.
        alone: whether the network has no other output.

    Raises:
        InvalidInputError: labels for another task, or another number of values.
    """
    truth = truth_of(dataset, name, alone=alone, labels=task.labels)
    if truth is None:
        return None
    return task_kinds()[task.known].check(truth, task, tuple(shape))
