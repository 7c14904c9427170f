"""Outputs of a model or file: their tasks, and the true values that a dataset has for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibration_data.contract import complete_labels
from calibration_data.datasets.base import GIVE_LABELS, Dataset
from calibration_data.mask_classes import mask_labels
from calibration_data.preprocessing import Preprocessing
from calibration_data.task import End, OutputTask, Task
from calibration_data.task_choice import Output, with_tasks
from edgequant.graph_ends import graph_ends
from edgequant.loading import graph_read
from evaluation.runner import Group
from evaluation.score_rows import in_rows as kind_in_rows
from evaluation.task import TaskKind, checked_targets, task_kinds
from foundation.errors import InvalidInputError
from models.loading.request import LoadedModel
from models.output_ends import output_ends
from network.inspection import Inspection
from network.wrapping import wrapped_graph


def model_outputs(loaded: LoadedModel) -> tuple[Output, ...]:
    """Outputs of a model with the functions that they end in."""
    graph = graph_read(loaded) or wrapped_graph(loaded.model)
    ends = output_ends(loaded.model) if graph is None else graph_ends(graph)
    if loaded.spec is not None and loaded.spec.task is Task.CLASSIFICATION:
        ends = (End.SOFTMAX,) * len(ends)  # registered classifiers, some of which give logits
    return tuple(
        Output(output.name, output.shape, end)
        for output, end in zip(loaded.outputs, ends, strict=True)
    )


def file_outputs(inspection: Inspection) -> tuple[Output, ...]:
    """Outputs of a file, which does not tell what they end in."""
    return tuple(
        Output(tensor.name, tuple(size or 1 for size in tensor.shape[1:]))
        for tensor in inspection.outputs
    )


def settled_contract(
    contract: Preprocessing,
    outputs: Sequence[Output],
    datasets: Sequence[Dataset | None],
    *,
    measured: bool,
) -> Preprocessing:
    """Contract with the tasks of the outputs, and with labels where the data has names for them.

    Args:
        contract: contract as it was stated.
        outputs: outputs of the model or file.
        datasets: images with labels, the most telling ones first.
        measured: whether metrics are computed, for which the tasks must be known.

    Raises:
        InvalidInputError: as ``with_tasks`` and ``complete_labels``.
    """
    names = stated_names([output.name for output in outputs], contract)
    outputs = [replace(o, name=name) for o, name in zip(outputs, names, strict=True)]
    given = [dataset for dataset in datasets if dataset is not None]
    contract = with_tasks(contract, outputs, given, measured=measured)
    if contract.tasks.only.known is Task.SEGMENTATION:
        return mask_labels(contract, outputs[0].shape, given)
    if contract.tasks.only.known.of_maps:
        return contract
    return complete_labels(contract, outputs[0].width, _naming(given))


def _naming(datasets: Sequence[Dataset]) -> Dataset | None:
    """First dataset that has names of classes or of columns."""
    named = (d for d in datasets if d.class_names or any(t.columns for t in d.targets))
    return next(named, None)


def task_of(contract: Preprocessing, name: str, *, alone: bool) -> tuple[OutputTask, TaskKind]:
    """Task of an output with its labels, and its metrics.

    Args:
        contract: contract with the tasks of the outputs.
        name: name of the output.
        alone: whether the network has no other output.
    """
    task = contract.tasks.of(name, contract.labels if alone else ())
    if alone and not task.labels:
        task = replace(task, labels=contract.labels)
    return task, task_kinds()[task.known]


def stated_names(names: Sequence[str], contract: Preprocessing) -> tuple[str, ...]:
    """Names of the outputs of a file as its contract has them.

    A format may have other names for them than the model: then their places count.
    """
    stated = [name for name, _ in contract.tasks.named]
    if set(names) == set(stated) or len(names) != len(stated):
        return tuple(names)
    return tuple(stated)


@dataclass(frozen=True)
class Answer:
    """Outputs of a network that are one answer: all of a detector, or a single one.

    Attributes:
        name: name of the first output.
        outputs: outputs in the order in which the task reads them.
        task: task of the answer with its labels.
        kind: metrics of the task.
        alone: whether the network has no other answer.
    """

    name: str
    outputs: tuple[Output, ...]
    task: OutputTask
    kind: TaskKind
    alone: bool


def answers(
    contract: Preprocessing, outputs: Sequence[Output], *, in_rows: bool = False
) -> tuple[Answer, ...]:
    """Answers of a network.

    Args:
        contract: contract with the tasks of the outputs.
        outputs: outputs of the model or file.
        in_rows: measure a classifier by a row of statistics for each image, not by all its scores.
    """
    if in_rows:
        return tuple(
            replace(answer, kind=kind_in_rows(answer.kind)) for answer in answers(contract, outputs)
        )
    if contract.tasks.only.known.joins:
        task, kind = task_of(contract, outputs[0].name, alone=True)
        return (Answer(outputs[0].name, tuple(outputs), task, kind, alone=True),)
    alone = len(outputs) == 1
    return tuple(
        Answer(output.name, (output,), *task_of(contract, output.name, alone=alone), alone)
        for output in outputs
    )


def groups_of(
    dataset: Dataset, contract: Preprocessing, names: Sequence[str], *, in_rows: bool = False
) -> tuple[Group, ...]:
    """Groups of outputs for ``predict_many``, in the names of the file.

    Args:
        dataset: images that are measured on.
        contract: contract with the tasks of the outputs.
        names: names of the outputs as the first network has them.
        in_rows: see ``answers``.
    """
    stated = stated_names(names, contract)
    own = dict(zip(stated, names, strict=True))
    groups = []
    for answer in answers(contract, [Output(name, ()) for name in stated], in_rows=in_rows):
        outputs = tuple(own[output.name] for output in answer.outputs)
        make = answer.kind.reduction
        reduction = None if make is None else make(dataset, contract, outputs)
        groups.append(Group(own[answer.name], outputs, reduction, answer.kind.instead))
    return tuple(groups)


def true_values(
    dataset: Dataset, contract: Preprocessing, outputs: Sequence[Output]
) -> dict[str, np.ndarray | None]:
    """True values by the name of the answer; None where the dataset has none.

    Raises:
        InvalidInputError: labels for another task, or another number of values.
    """
    return {
        answer.name: answer.kind.annotated(dataset, contract)
        if answer.kind.annotated is not None
        else checked_targets(
            dataset, answer.name, answer.task, answer.outputs[0].shape, alone=answer.alone
        )
        for answer in answers(contract, outputs)
    }


def check_answered(dataset: Dataset, max_drop: float | None) -> None:
    """Raise InvalidInputError for a limit on the loss of images whose right answers are unknown."""
    if max_drop is not None and not dataset.answered:
        raise InvalidInputError(
            "--max-drop limits a loss of right answers, which images without labels do not have",
            received=f"{dataset.name}, which has none",
            remedy=f"leave --max-drop out, or {GIVE_LABELS}",
        )


def check_labels_and_limit(
    dataset: Dataset,
    contract: Preprocessing,
    outputs: Sequence[Output],
    max_drop: float | None,
) -> None:
    """Refuse labels that do not fit, and a limit on a loss that is not measured or never above it.

    Raises:
        InvalidInputError: labels for another task, images whose right answers are unknown, or a
            number of percentage points beyond 100.
    """
    check_answered(dataset, max_drop)
    true = true_values(dataset, contract, outputs)
    if max_drop is None:
        return
    known = [name for name, values in true.items() if values is not None]
    if not known:
        raise InvalidInputError(
            "--max-drop limits a loss of right answers, which labels must tell for one output",
            received=f"{dataset.name}, whose labels name none of "
            f"{', '.join(output.name for output in outputs)}",
            remedy="name the columns of the label file as the outputs",
        )
    percents = [a.kind.first.unit for a in answers(contract, outputs) if a.name in known]
    if abs(max_drop) > 100 and set(percents) == {"%"}:
        raise InvalidInputError(
            "--max-drop is a number of percentage points from -100 to 100",
            received=f"{max_drop:g}",
            remedy="give a smaller one",
        )


def is_classifier(contract: Preprocessing) -> bool:
    """Whether the network has one output, of scores of classes."""
    return not contract.tasks.named and contract.tasks.only.known is Task.CLASSIFICATION
