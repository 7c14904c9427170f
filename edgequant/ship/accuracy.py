"""Accuracy of the files of a bundle, for its model card."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from calibration_data.datasets.base import Dataset
from calibration_data.preprocessing import Preprocessing
from calibration_data.stream import stream
from calibration_data.task import Task
from edgequant.candidates import decoding_remarks
from edgequant.outputs import Answer, answers, true_values
from edgequant.preparing import Prepared
from evaluation.scores import Outputs
from evaluation.session import Session, runtime_for
from evaluation.sessions.keras_model import KerasSession
from evaluation.task import TaskKind
from foundation.errors import InvalidInputError

MOST_IMAGES = 500
"""Largest number of images: a card has a rough figure; ``evaluate`` gives it with an interval."""

_REDUCED_BATCH = 8
"""Images that are run at once where an output can be a map as large as they are."""


def accuracy(
    prepared: Prepared,
    files: Mapping[str, tuple[Path, Preprocessing]],
    dataset: Dataset,
    seed: int,
) -> dict[str, Any]:
    """Accuracy, and likeness to the float model, of each file on the same images.

    Args:
        prepared: float model with its contract.
        files: path and contract of each file, by its name in the bundle.
        dataset: images to measure on, of which at most MOST_IMAGES are drawn.
        seed: seed of the drawing.

    Returns:
        ``data``, ``images`` and ``rows`` with top-1 (None without labels) and agreement with float
        in percent; in another task, ``task`` and rows with ``metric``, its primary metric, and
        ``likeness`` to float, and ``remarks`` on files that decode boxes; or ``reason``, a
        sentence, if the images' labels are not the model's.
    """
    try:
        true = true_values(dataset, prepared.contract, prepared.outputs)
    except InvalidInputError as error:
        return {"reason": str(error)}
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:MOST_IMAGES]
    images = dataset.subset(chosen)
    answer = answers(prepared.contract, prepared.outputs)[0]
    known, kind = true[answer.name], answer.kind
    targets = None if known is None else known[chosen]
    own = _Ran(KerasSession(prepared.loaded.model), prepared.contract)
    compare: _Compare = (
        _Whole(images, own, own.outputs(images))
        if kind.reduction is None
        else partial(_reduced, own, images, answer)
    )

    def row(name: str, runtime: str, ran: _Ran) -> dict[str, Any]:
        outputs, expected = compare(ran)
        scores = kind.scores(outputs, targets, expected, answer.task.limit)
        figures = _figures(scores) if kind.task is Task.CLASSIFICATION else _of_task(scores, kind)
        return {"file": name, "runtime": runtime, **figures}

    rows = [row("float model", "keras", own)]
    remarks = []
    for name, (path, contract) in files.items():
        remarks += [f"{name} {remark}" for remark in decoding_remarks(path)]
        runtime = runtime_for(path)
        rows.append(row(name, runtime.name, _Ran(runtime.open(path, 1), contract)))
    about: dict[str, Any] = {} if kind.task is Task.CLASSIFICATION else {"task": str(kind.task)}
    if remarks:
        about["remarks"] = remarks
    return {"data": dataset.name, "images": len(images), **about, "rows": rows}


@dataclass(frozen=True)
class _Ran:
    """A network with the contract of its tensors.

    Attributes:
        session: the network.
        contract: its contract; that of a file may have mean and std folded into the weights.
    """

    session: Session
    contract: Preprocessing

    def outputs(self, images: Dataset) -> np.ndarray:
        """First output of each image, float32 ``[n, ...]``."""
        batches = stream(images, self.contract)
        return np.concatenate([self.session.run(batch.images)[0] for batch in batches])


_Compare = Callable[[_Ran], tuple[np.ndarray, np.ndarray]]
"""Outputs of a network, and those of the float network, in the form of the task's ``scores``."""


@dataclass(frozen=True, eq=False)
class _Whole:
    """Comparison of the first output, value by value.

    Attributes:
        images: images that all networks get.
        own: the float network.
        expected: the float network's output, float32 ``[n, ...]``.
    """

    images: Dataset
    own: _Ran
    expected: np.ndarray

    def __call__(self, ran: _Ran) -> tuple[np.ndarray, np.ndarray]:
        if ran is self.own:
            return self.expected, self.expected
        return ran.outputs(self.images), self.expected


def _reduced(
    own: _Ran, images: Dataset, answer: Answer, ran: _Ran
) -> tuple[np.ndarray, np.ndarray]:
    """What a task keeps of an answer, of a file and of the float network, ``[n]`` each."""
    assert answer.kind.reduction is not None
    names = tuple(output.name for output in answer.outputs)
    reduction = answer.kind.reduction(images, own.contract, names)
    both = [stream(images, network.contract, batch_size=_REDUCED_BATCH) for network in (own, ran)]
    found: list[Mapping[str, np.ndarray]] = []
    for batch, of_file in zip(*both, strict=True):
        exact = _of_names(own.session, batch.images, names)
        given = answer.kind.instead  # by a file that does the task's last steps itself
        inside = bool(given) and set(ran.session.outputs) == set(given)
        values = _of_names(ran.session, of_file.images, given if inside else names)
        found.append(reduction({"float": exact, "file": values}, batch))
    outputs, expected = (np.concatenate([row[n] for row in found]) for n in ("file", "float"))
    return outputs, expected


def _of_names(
    session: Session, images: np.ndarray, names: tuple[str, ...]
) -> tuple[np.ndarray, ...]:
    """Outputs of some names; the first ones of a file with other names."""
    outputs = session.run(images)
    if not set(names) <= set(session.outputs):
        return outputs[: len(names)]
    return tuple(outputs[session.outputs.index(name)] for name in names)


def _figures(scores: Outputs) -> dict[str, Any]:
    """Top-1, None without labels, and the percentage of images with the float network's class."""
    answers = scores.outputs.argmax(axis=1)
    expected = scores.required_reference.argmax(axis=1)
    labels = scores.targets
    return {
        "top1": None if labels is None else round(100 * float((answers == labels).mean()), 2),
        "as_float": round(100 * float((answers == expected).mean()), 2),
    }


def _of_task(scores: Outputs, kind: TaskKind) -> dict[str, Any]:
    """Primary metric, None without targets, and likeness to float, None where nothing differs."""
    likeness = kind.metric(kind.likeness).function(scores)
    known = scores.targets is not None and kind.first.applies(scores)
    return {
        "metric": kind.first.function(scores) if known else None,
        "likeness": likeness if math.isfinite(likeness) else None,
    }
