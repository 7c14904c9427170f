"""Choice of a task for each output: as stated, or as the network and the data say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from calibration_data.datasets.base import Dataset
from calibration_data.detection import DETECTIONS
from calibration_data.preprocessing import Preprocessing
from calibration_data.targets import truth_of
from calibration_data.task import End, OutputTask, Task, Tasks
from foundation.errors import InvalidInputError


@dataclass(frozen=True)
class Output:
    """An output as the choice of its task needs it.

    Attributes:
        name: name of the output.
        shape: shape for one input, without the batch.
        end: last function before it.
    """

    name: str
    shape: tuple[int, ...]
    end: End = End.UNKNOWN

    @property
    def width(self) -> int:
        """Number of values, 1 for a single score; of a map, that of its channels."""
        return self.shape[-1] if self.shape else 1

    @property
    def is_map(self) -> bool:
        """Whether there are values for places of the input, not for the input alone."""
        return len(self.shape) > 1


def with_tasks(
    contract: Preprocessing,
    outputs: Sequence[Output],
    datasets: Sequence[Dataset] = (),
    *,
    measured: bool = False,
) -> Preprocessing:
    """Contract with a task for each output that one is known for.

    What the contract states holds. Otherwise softmax means classification, one sigmoid binary,
    several sigmoids multi-label; an output without such an end means what the data says: class
    numbers are classification, measured numbers are regression. A map of scores is segmentation if
    it ends in softmax, or the data has masks, or the contract a name for each class.

    Args:
        contract: contract of the model.
        outputs: outputs of the model.
        datasets: images with labels, the most telling ones first.
        measured: whether metrics are computed, for which the task must be known.

    Raises:
        InvalidInputError: a stated task that the output does not have the shape for, a table of an
            output that there is not, or a task that is needed and not known.
    """
    if contract.tasks.only.known.joins:
        _check_detector(contract, outputs)
        return contract
    stated, alone = contract.tasks, len(outputs) == 1
    if alone and len(stated.named) == 1:  # whatever its name is in the file
        stated = Tasks(named=((outputs[0].name, stated.named[0][1]),))
    if unknown := [name for name, _ in stated.named if name not in {o.name for o in outputs}]:
        raise InvalidInputError(
            f"[outputs.NAME] names an output of the model: {', '.join(o.name for o in outputs)}",
            received=", ".join(unknown),
            remedy="correct the names in the contract",
        )
    chosen = []
    for output in outputs:
        given = stated.of(output.name, contract.labels if alone else ())
        task = given.task
        if task is None:
            task = likely_task(output, given.labels, datasets, alone=alone)
        if task is None and measured:
            raise _unknown(output, alone=alone)
        found = replace(given, task=task)
        _check(output, found)
        chosen.append((output.name, found))
    if not alone:
        return replace(contract, tasks=Tasks(named=tuple(chosen)))
    _, found = chosen[0]
    # A single classification needs no word, so that its card is as it was without tasks.
    task = None if found.task is Task.CLASSIFICATION else found.task
    labels = found.labels or contract.labels
    return replace(contract, tasks=Tasks(OutputTask(task, found.threshold)), labels=labels)


def likely_task(
    output: Output, labels: tuple[str, ...], datasets: Sequence[Dataset], *, alone: bool
) -> Task | None:
    """Task that the network or the data tells; None if neither does.

    Args:
        output: output of the network.
        labels: names of its values in the contract; empty if unknown.
        datasets: images with labels, the most telling ones first.
        alone: whether the network has no other output.
    """
    if output.is_map:
        return _likely_map(output, labels, datasets)
    truths = (truth_of(d, output.name, alone=alone, labels=labels) for d in datasets)
    truth = next((truth for truth in truths if truth is not None), None)
    classes = truth is not None and truth.labels is not None and output.width > 1
    if output.end is End.SOFTMAX:
        return Task.CLASSIFICATION if output.width > 1 else None
    if output.end is End.SIGMOID:
        if output.width == 1:
            return Task.BINARY
        return Task.CLASSIFICATION if classes else Task.MULTI_LABEL
    if output.end is End.UNIT_NORM:
        return None
    if classes:
        return Task.CLASSIFICATION
    if truth is not None and truth.values is not None:
        return Task.REGRESSION if truth.values.dtype.kind == "f" else None
    named = len(labels) == output.width > 1
    if named or (output.end is End.UNKNOWN and output.width > 1 and alone):
        return Task.CLASSIFICATION
    return None


def _likely_map(
    output: Output, labels: tuple[str, ...], datasets: Sequence[Dataset]
) -> Task | None:
    """Segmentation for a map ``[h, w, classes]`` with masks, a softmax or a name of each class."""
    if len(output.shape) == 3 and output.width > 1:
        told = output.end is End.SOFTMAX or len(labels) == output.width
        if told or any(dataset.masks is not None for dataset in datasets):
            return Task.SEGMENTATION
    return None


def _check_detector(contract: Preprocessing, outputs: Sequence[Output]) -> None:
    """Refuse a detector whose outputs are not those of its contract."""
    detector = contract.detector
    if detector is None:
        raise InvalidInputError(
            "a detector's contract has a table [detection] with its anchors",
            received="none",
            remedy="write one, as docs/your-model.md shows",
        )
    counts = {output.name: math.prod(output.shape) for output in outputs}
    if set(counts) == set(DETECTIONS):  # a file that decodes inside
        return
    values = 4 * detector.count
    found = sum(counts.get(name, 0) for name in detector.boxes)
    if set(detector.names) != set(counts) or found != values:
        raise InvalidInputError(
            f"[detection] names all outputs, and its {detector.count} anchors have 4 numbers each",
            received=f"{', '.join(detector.names)} with {found} numbers for boxes; the model has "
            f"{', '.join(counts)}",
            remedy="give the anchors of this model",
        )


def _unknown(output: Output, *, alone: bool) -> InvalidInputError:
    ends = {End.UNIT_NORM: "a vector of length one"}
    end = ends.get(output.end, f"{output.width} values without softmax or sigmoid")
    if output.is_map:
        end = f"a map {list(output.shape)}"
    known = ", ".join(Task)
    return InvalidInputError(
        "measuring needs to know what an output means, and this one can mean several things",
        received=f"{output.name}, {end}",
        remedy=f"give --task ({known}), or task in the contract"
        if alone
        else f'write [outputs.{output.name}] with task = "..." ({known}) into the contract',
    )


def _check(output: Output, task: OutputTask) -> None:
    """Refuse a task that the shape of its output rules out."""
    if task.task is None:
        return
    if task.task is Task.BINARY and output.width != 1:
        raise InvalidInputError(
            "a binary output is one score",
            received=f"{output.name} with {output.width}",
            remedy=f"state {Task.MULTI_LABEL} or {Task.CLASSIFICATION}",
        )
    if task.task in (Task.CLASSIFICATION, Task.EMBEDDING) and output.width < 2:
        raise InvalidInputError(
            f"the task {task.task} has an output of two values at least",
            received=f"{output.name} with {output.width}",
            remedy=f"state {Task.BINARY} or {Task.REGRESSION}",
        )
    if task.task is Task.SEGMENTATION and not 2 <= len(output.shape) <= 3:
        raise InvalidInputError(
            "a segmentation output is a map of scores [height, width, classes], or of class "
            "numbers [height, width]",
            received=f"{output.name}, {list(output.shape)}",
            remedy=f"state {Task.CLASSIFICATION} for one answer for each image",
        )
    if output.is_map and task.task not in (Task.REGRESSION, Task.SEGMENTATION):
        raise InvalidInputError(
            f"the task {task.task} has one row of values for each image",
            received=f"{output.name}, a map {list(output.shape)}",
            remedy=f"end the model in global pooling, or state {Task.REGRESSION} to compare values",
        )
