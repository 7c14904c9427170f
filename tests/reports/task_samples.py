"""A comparison of a network with one output for each task, measured on arrays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from calibration_data.task import Task
from evaluation.flips import Changed
from evaluation.latency import Latency
from evaluation.machine import Machine
from evaluation.result import Evaluation, Measurement, Subject
from evaluation.scores import Outputs
from evaluation.session import RuntimeInfo
from evaluation.task import TaskKind, evaluate, task_kinds
from reports import compare_page, tables
from reports.mask_galleries import shown_masks
from reports.page import Page
from tests.evaluation.detections import drawn_photo, drawn_truths, moved, rows_of
from tests.evaluation.segments import drawn_masks
from tests.reports.samples import HOSTILE, picture

N = 60
_WIDTHS = {Task.BINARY: 1, Task.CLASSIFICATION: 4, Task.MULTI_LABEL: 3, Task.REGRESSION: 2}
_NOISE = {"keras-float32": 0.0, "tflite-float32": 1e-6, "tflite-int8": 0.2, "onnx-int8": 0.3}
_LABELS = {
    Task.CLASSIFICATION: ("a", "b", "c", "d"),
    Task.BINARY: ("cat", "dog"),
    Task.MULTI_LABEL: ("sky", HOSTILE, "sea"),
    Task.REGRESSION: ("width", "height"),
    Task.DETECTION: ("ant", HOSTILE, "cow"),
    Task.SEGMENTATION: ("ground", HOSTILE, "sea"),
}


def measured(*chosen: Task, labelled: bool = True) -> dict[str, Any]:
    """Document of these tasks, of all without any; one output each, named after its task."""
    tasks = chosen or tuple(Task)
    rows = [row for task in tasks for row in _rows(task, len(tasks) > 1, labelled)]
    machine = Machine("CPU", "x86_64", 2, 2, (), "Linux", "3.11", {"numpy": "2"})
    return tables.document(Measurement(tuple(rows), machine), model="net", key="k")


def _rows(task: Task, several: bool, labelled: bool) -> list[Evaluation]:
    if task is Task.DETECTION:
        return _detections(several, labelled)
    kind, rng = task_kinds()[task], np.random.default_rng(7)
    exact = rng.normal(0, 1, (N, _WIDTHS.get(task, 8)))
    targets: np.ndarray = exact.argmax(axis=1)
    if task.decides:
        targets = (exact + rng.normal(0, 0.6, exact.shape) > 0).astype(np.int64)
        targets = targets[:, 0] if task is Task.BINARY else targets
    elif task is Task.REGRESSION:
        targets = exact + rng.normal(0, 0.5, exact.shape)
    rows = []
    for name, noise in _NOISE.items():
        outputs = exact + rng.normal(0, 1, exact.shape) * noise
        reference = exact.astype(np.float32) if noise else None
        if task is Task.SEGMENTATION:
            scores = drawn_masks(N, noise=noise, labelled=labelled)
            scores = scores if noise else replace(scores, reference=None)
        else:
            true = targets if labelled else None
            scores = kind.scores(outputs.astype(np.float32), true, reference)
        flips = kind.flips(scores, lambda i: f"{i}.png", 40) if kind.flips and noise else ()
        rows.append(_row(name, kind, scores, flips, several))
    return rows


def _row(
    name: str, kind: TaskKind, scores: Outputs, flips: tuple[Changed, ...], several: bool
) -> Evaluation:
    noise = _NOISE[name]
    size = None if not noise else 40_000 if noise < 0.1 else 12_000
    ending = "onnx" if name.startswith("onnx") else "tflite"
    return Evaluation(
        Subject(name, f"net-{name}.{ending}" if noise else "net", size, "0" * 64),
        "data:test",
        RuntimeInfo("runtime", "1", "kernels", 1),
        evaluate(scores, kind),
        Latency(3 - noise, 4, 5, 3, 9, 2, 1, (), RuntimeInfo("r", "1", "k", 1)),
        (),
        flips,
        str(kind.task) if several else "",
        _LABELS.get(kind.task, ()),
    )


def _detections(several: bool, labelled: bool) -> list[Evaluation]:
    """Rows of a detector, whose files move and lose boxes."""
    kind, rng, classes = task_kinds()[Task.DETECTION], np.random.default_rng(7), 3
    truths = drawn_truths(rng, N, classes)
    exact = [drawn_photo(rng, truth, classes, 4.0) for truth in truths]
    targets = np.empty(N, object)
    targets[:] = truths
    known = truths if labelled else None
    reference = rows_of(exact, known)
    rows = []
    for name, noise in _NOISE.items():
        outputs = rows_of([moved(rng, photo, 9 * noise) for photo in exact], known, noise)
        scores = kind.scores(
            outputs if noise else reference,
            targets if labelled else None,
            reference if noise else None,
        )
        flips = kind.flips(scores, lambda i: f"{i}.png", 40) if kind.flips and noise else ()
        rows.append(_row(name, kind, scores, flips, several))
    return rows


def task_page(report: dict[str, Any]) -> Page:
    """Page of a document of ``measured``."""
    pictures = {number: picture(number) for number in compare_page.shown_images(report)}
    masks = {key: picture(key[2], 300) for key in shown_masks(report)}
    data = (("JSON", "a.json"),)
    return compare_page.page(report, pictures, "edgequant compare", data, masks)
