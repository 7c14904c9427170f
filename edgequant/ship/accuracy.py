"""Accuracy of the files of a bundle, for its model card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from calibration_data.contract import align_labels
from calibration_data.datasets.base import Dataset
from calibration_data.preprocessing import Preprocessing
from calibration_data.stream import stream
from edgequant.pipeline import Prepared
from evaluation.session import Session, runtime_for
from evaluation.sessions.keras_model import KerasSession
from foundation.errors import InvalidInputError

MOST_IMAGES = 500
"""Largest number of images: a card has a rough figure; ``evaluate`` gives it with an interval."""


def accuracy(
    prepared: Prepared,
    files: Mapping[str, tuple[Path, Preprocessing]],
    dataset: Dataset,
    seed: int,
) -> dict[str, Any]:
    """Top-1, and agreement with the float model, of each file on the same images.

    Args:
        prepared: float model with its contract.
        files: path and contract of each file, by its name in the bundle.
        dataset: images to measure on, of which at most MOST_IMAGES are drawn.
        seed: seed of the drawing.

    Returns:
        ``data``, ``images`` and ``rows`` with top-1 (None without labels) and agreement with float
        in percent; or ``reason``, a sentence, if the images' classes are not the model's.
    """
    try:
        aligned = align_labels(dataset, prepared.contract, prepared.loaded.classes)
    except InvalidInputError as error:
        return {"reason": str(error)}
    chosen = np.random.default_rng(seed).permutation(len(aligned))[:MOST_IMAGES]
    images = aligned.subset(chosen)
    expected = _answers(KerasSession(prepared.loaded.model), images, prepared.contract)
    rows = [_row("float model", "keras", expected, expected, images)]
    for name, (path, contract) in files.items():
        runtime = runtime_for(path)
        answers = _answers(runtime.open(path, 1), images, contract)
        rows.append(_row(name, runtime.name, answers, expected, images))
    return {"data": dataset.name, "images": len(images), "rows": rows}


def _answers(session: Session, images: Dataset, contract: Preprocessing) -> np.ndarray:
    """Class with the largest score of each image, int ``[n]``."""
    scores = [session.predict(batch.images) for batch in stream(images, contract)]
    answers: np.ndarray = np.concatenate(scores).argmax(axis=1)  # [n, classes] -> [n]
    return answers


def _row(
    name: str, runtime: str, answers: np.ndarray, expected: np.ndarray, images: Dataset
) -> dict[str, Any]:
    labels = images.labels
    return {
        "file": name,
        "runtime": runtime,
        "top1": None if labels is None else round(100 * float((answers == labels).mean()), 2),
        "as_float": round(100 * float((answers == expected).mean()), 2),
    }
