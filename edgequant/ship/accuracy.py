"""Accuracy of the files of a bundle, for its model card."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from calibration_data.datasets.base import Dataset
from calibration_data.preprocessing import Preprocessing
from calibration_data.stream import stream
from calibration_data.task import Task
from edgequant.outputs import task_of, true_values
from edgequant.pipeline import Prepared
from evaluation.scores import Outputs
from evaluation.session import Session, runtime_for
from evaluation.sessions.keras_model import KerasSession
from evaluation.task import TaskKind
from foundation.errors import InvalidInputError

MOST_IMAGES = 500
"""Largest number of images: a card has a rough figure; ``evaluate`` gives it with an interval."""


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
        ``likeness`` to float; or ``reason``, a sentence, if the images' labels are not the model's.
    """
    try:
        true = true_values(dataset, prepared.contract, prepared.outputs)
    except InvalidInputError as error:
        return {"reason": str(error)}
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:MOST_IMAGES]
    images, first = dataset.subset(chosen), prepared.outputs[0].name
    known = true[first]
    targets = None if known is None else known[chosen]
    task, kind = task_of(prepared.contract, first, alone=len(prepared.outputs) == 1)
    expected = _outputs(KerasSession(prepared.loaded.model), images, prepared.contract)

    def row(name: str, runtime: str, outputs: np.ndarray) -> dict[str, Any]:
        scores = kind.scores(outputs, targets, expected, task.limit)
        figures = _figures(scores) if kind.task is Task.CLASSIFICATION else _of_task(scores, kind)
        return {"file": name, "runtime": runtime, **figures}

    rows = [row("float model", "keras", expected)]
    for name, (path, contract) in files.items():
        runtime = runtime_for(path)
        rows.append(row(name, runtime.name, _outputs(runtime.open(path, 1), images, contract)))
    about = {} if kind.task is Task.CLASSIFICATION else {"task": str(kind.task)}
    return {"data": dataset.name, "images": len(images), **about, "rows": rows}


def _outputs(session: Session, images: Dataset, contract: Preprocessing) -> np.ndarray:
    """First output of each image, float32 ``[n, ...]``."""
    return np.concatenate([session.run(batch.images)[0] for batch in stream(images, contract)])


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
