"""What a network is for: the task of each output, as the preprocessing contract states it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from foundation.errors import InvalidInputError
from foundation.foreign import printable

THRESHOLD = 0.5
"""Probability from which an answer is yes, unless a contract states another one."""


class Task(StrEnum):
    """Meaning of an output; ``evaluation/tasks`` has the metrics of each in a file of its own."""

    CLASSIFICATION = "classification"
    """One score per class; the class with the largest score is the answer."""
    BINARY = "binary"
    """One score; the answer is yes from a threshold."""
    MULTI_LABEL = "multi-label"
    """One score per label; each is yes from a threshold, whatever the others are."""
    REGRESSION = "regression"
    """Measured quantities."""
    EMBEDDING = "embedding"
    """Vector whose direction is compared with those of other images."""
    DETECTION = "detection"
    """Boxes of objects with a class and a score each, which all outputs tell together."""
    SEGMENTATION = "segmentation"
    """One score per class for each place of the image."""

    @property
    def joins(self) -> bool:
        """Whether all outputs of the network are one answer."""
        return self is Task.DETECTION

    @property
    def of_maps(self) -> bool:
        """Whether the outputs have values for places of the image."""
        return self in (Task.DETECTION, Task.SEGMENTATION)

    @property
    def decides(self) -> bool:
        """Whether scores become yes or no at a threshold."""
        return self in (Task.BINARY, Task.MULTI_LABEL)


class End(StrEnum):
    """Last function of a network before an output."""

    SOFTMAX = "softmax"
    SIGMOID = "sigmoid"
    LINEAR = "linear"
    UNIT_NORM = "unit norm"
    UNKNOWN = "unknown"


KEYS = ("task", "threshold", "outputs")
"""Keys of a contract that state tasks."""
_OUTPUT_KEYS = ("task", "threshold", "labels")


@dataclass(frozen=True)
class OutputTask:
    """Task of one output.

    Attributes:
        task: what the output means; None if it is not stated.
        threshold: probability from which an answer is yes; None for THRESHOLD.
        labels: names of the classes or labels in the order of the scores; empty if unknown.

    Raises:
        InvalidInputError: a threshold that is not between 0 and 1, or that goes with another task.
    """

    task: Task | None = None
    threshold: float | None = None
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise InvalidInputError(
                "a threshold is a probability between 0 and 1, without the two",
                received=f"{self.threshold:g}",
                remedy=f"give --threshold {THRESHOLD}, or correct threshold in the contract",
            )
        if self.threshold is not None and self.task is not None and not self.task.decides:
            raise InvalidInputError(
                f"a threshold goes with the tasks {Task.BINARY} and {Task.MULTI_LABEL}",
                received=f"{self.threshold:g} with {self.task}",
                remedy="leave the threshold out, or state the other task",
            )
        if len(set(self.labels)) != len(self.labels):
            raise InvalidInputError(
                "the labels of an output are unique",
                received=printable(", ".join(self.labels))[:200],
                remedy="correct labels in the contract",
            )

    @property
    def known(self) -> Task:
        """Task, which is classification unless another one is stated."""
        return self.task or Task.CLASSIFICATION

    @property
    def limit(self) -> float:
        """Probability from which an answer is yes."""
        return THRESHOLD if self.threshold is None else self.threshold

    def to_dict(self) -> dict[str, Any]:
        """Plain values; nothing for a classification, which needs no word."""
        values: dict[str, Any] = {}
        if self.task not in (None, Task.CLASSIFICATION):
            values["task"] = str(self.task)
        if self.threshold is not None:
            values["threshold"] = self.threshold
        if self.labels:
            values["labels"] = list(self.labels)
        return values


@dataclass(frozen=True, eq=False)
class Tasks:
    """Tasks that a contract states.

    Attributes:
        only: task of the only output, and of outputs that are not named; its labels are those of
            the contract, so that it has none of its own.
        named: task by the name of the output, for a network with several.
    """

    only: OutputTask = OutputTask()
    named: tuple[tuple[str, OutputTask], ...] = ()

    def __eq__(self, other: object) -> bool:
        """Equality that does not depend on the order of the names, which files do not keep."""
        return (
            isinstance(other, Tasks)
            and self.only == other.only
            and dict(self.named) == dict(other.named)
        )

    def __hash__(self) -> int:
        return hash((self.only, frozenset(self.named)))

    @property
    def stated(self) -> bool:
        """Whether anything is stated."""
        return self.only.task is not None or any(t.task is not None for _, t in self.named)

    def of(self, output: str, labels: tuple[str, ...] = ()) -> OutputTask:
        """Task of an output.

        Args:
            output: name of the output.
            labels: labels of the contract, for an output that is not named.
        """
        found = dict(self.named).get(output)
        return found if found is not None else replace(self.only, labels=labels)

    def with_only(self, task: Task | None, threshold: float | None) -> Tasks:
        """Copy with another task or threshold of the only output; None leaves what is there."""
        if task is None and threshold is None:
            return self
        changed = task is not None and task is not self.only.task
        kept = None if changed else self.only.threshold
        return replace(
            self,
            only=OutputTask(
                task or self.only.task, kept if threshold is None else threshold, self.only.labels
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values under the keys ``KEYS``; empty for a classification."""
        values = self.only.to_dict()
        stated = {name: task for name, task in self.named if task != OutputTask()}
        if stated:
            values["outputs"] = {
                name: ({} if task.task is None else {"task": str(task.task)}) | task.to_dict()
                for name, task in stated.items()
            }
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Tasks:
        """Read the keys ``KEYS`` of a contract; the table of a task states that task too.

        Other keys are passed over.

        Raises:
            InvalidInputError: an unknown task or key, or a value that breaks a rule.
        """
        outputs = values.get("outputs", {})
        if not isinstance(outputs, dict) or not all(isinstance(v, dict) for v in outputs.values()):
            raise _refused("outputs are tables [outputs.NAME]", outputs)
        for name, table in outputs.items():
            if unknown := sorted(set(table) - set(_OUTPUT_KEYS)):
                raise _refused(
                    f"[outputs.{name}] has the keys {', '.join(_OUTPUT_KEYS)}", ", ".join(unknown)
                )
        only = _output_task({key: values[key] for key in ("task", "threshold") if key in values})
        for task in (Task.DETECTION, Task.SEGMENTATION):
            if task in values and not outputs:
                if only.task not in (None, task):
                    raise _refused(f"[{task}] goes with task = '{task}'", f"task = '{only.task}'")
                only = replace(only, task=task)
        return cls(only, tuple((str(name), _output_task(t)) for name, t in outputs.items()))


def task_named(text: object) -> Task:
    """Task of a name.

    Raises:
        InvalidInputError: no such task.
    """
    try:
        return Task(str(text))
    except ValueError as error:
        raise _refused(f"a task is one of {', '.join(Task)}", text) from error


def _output_task(values: Mapping[str, Any]) -> OutputTask:
    task, threshold, labels = (values.get(key) for key in _OUTPUT_KEYS)
    if threshold is not None and (
        isinstance(threshold, bool) or not isinstance(threshold, int | float)
    ):
        raise _refused("a threshold is a number between 0 and 1", threshold)
    if labels is not None and not (
        isinstance(labels, list | tuple) and all(isinstance(x, str) for x in labels)
    ):
        raise _refused("the labels of an output are a list of texts", labels)
    return OutputTask(
        None if task is None else task_named(task),
        None if threshold is None else float(threshold),
        tuple(labels or ()),
    )


def _refused(rule: str, received: object) -> InvalidInputError:
    return InvalidInputError(
        rule, received=printable(received)[:200], remedy="correct the preprocessing contract"
    )
