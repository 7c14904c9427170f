"""Proof in MediaPipe's tasks, as an Android app uses them, against the test vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.proofs.agreement import Found, agreement, compared_detections
from evaluation.proofs.proof import (
    Proof,
    ProofRequest,
    ProofResult,
    Verdict,
    failed,
    run_worker,
    without,
)
from evaluation.proofs.tools import Tool
from export.bundles.android import ROLES
from export.bundles.labels import LABELS
from export.bundles.target import VECTORS, Vectors, largest_allowed, read_vectors
from network.tflite.reader import read_flat_model

if TYPE_CHECKING:
    import numpy as np

_RUNTIME = "mediapipe"
_TOOL = Tool(_RUNTIME, "pip install 'edgequant[android]'", distribution="mediapipe")
_PIXELS = 1.0
"""Largest difference of a corner or a side, in pixels: the task cuts them to whole ones."""
_SPREAD = 1e-3
"""Largest distance from 1 that a sum of a pixel's confidences may have."""


def run(request: ProofRequest) -> ProofResult:
    """Open every file with its task, and compare the answer for each image."""
    sentences, figures = [], {}
    for role in ROLES:
        result = _compare(request, role)
        if result.verdict is not Verdict.PROVEN:
            return result
        sentences.append(result.sentence)
        figures[role] = result.figures
    return ProofResult(Verdict.PROVEN, "; ".join(sentences), figures)


@dataclass(frozen=True, eq=False)
class _Opened:
    """A file that a task is to open.

    Attributes:
        model: its path.
        vectors: its test vectors.
        pixels: uint8 ``[n, height, width, 3]`` of the vectors.
        labels: names of the classes.
        answers: file for answers that are no plain values.
    """

    model: Path
    vectors: Vectors
    pixels: np.ndarray
    labels: list[str]
    answers: Path


@dataclass(frozen=True)
class _Judged:
    """What a task's answers are worth.

    Attributes:
        sentence: the comparison.
        largest: largest difference of scores, or percentage of pixels.
        fault: why they are not the expected ones; None if they are.
    """

    sentence: str
    largest: float
    fault: str | None = None


def _compare(request: ProofRequest, role: str) -> ProofResult:
    folder = request.folder
    opened = _Opened(
        next(folder.glob(f"*-{role}.tflite")),
        read_vectors(folder / VECTORS, role),
        read_vectors(folder / VECTORS, "int8").inputs,
        (folder / LABELS).read_text(encoding="ascii").splitlines(),
        request.scratch / "answers.bin",
    )
    worker, judge = _kind(opened.vectors)
    pixels_file = request.scratch / "pixels.bin"
    pixels_file.write_bytes(opened.pixels.tobytes())
    values = {
        "model": str(opened.model), "pixels": str(pixels_file),
        "shape": list(opened.pixels.shape), "outputs": str(opened.answers),
    }  # fmt: skip
    reply = run_worker(worker, request, values)
    name = opened.model.name
    if reply.missing:
        return without(_TOOL)
    if reply.error:
        return failed(f"MediaPipe does not take {name}: {reply.error}")
    version = reply.values["version"]
    judged = judge(opened, reply.values)
    if judged.fault is not None:
        return failed(f"MediaPipe {version} gives {name} {judged.fault}")
    sentence = f"MediaPipe {version} opens {name} and gives {judged.sentence}"
    count = len(opened.pixels)
    figures = {"images": count, "largest_difference": judged.largest, "version": version}
    return ProofResult(Verdict.PROVEN, sentence, figures)


def _kind(vectors: Vectors) -> tuple[str, Callable[[_Opened, Mapping[str, Any]], _Judged]]:
    """Worker that opens a file, and the function that judges its answers."""
    if vectors.detections:
        return "mediapipe_detector", _detected
    if vectors.masks:
        return "mediapipe_segmenter", _segmented
    return "mediapipe_classifier", _classified


def _classified(opened: _Opened, values: Mapping[str, Any]) -> _Judged:
    """Compare the label of each image.

    The task lists the scores of an image, best first. Where several expected outputs share the
    largest score (int8 steps are coarse), the task may name any of them.
    """
    import numpy as np

    vectors = opened.vectors
    expected = _real(vectors.outputs, opened.model)
    wrong, largest = [], 0.0
    for number, (row, answer) in enumerate(zip(expected, values["answers"], strict=True)):
        best = {opened.labels[i] for i in np.flatnonzero(row == row.max())}
        name = answer[0][1]
        if name not in best:
            wrong.append(f"image {number}: {name!r}, not {' or '.join(sorted(best))!r}")
        largest = max(largest, *(abs(score - float(row[i])) for i, _, score in answer))
    fault = f"other labels: {wrong[0]}" if wrong else None
    if not vectors.classes and largest > largest_allowed(expected):  # one label, always the same
        fault = f"a probability that differs by {largest:.3g}"
    sentence = (
        f"the label of {vectors.runtime} for {len(expected)} of {len(expected)} images; scores "
        f"differ by at most {largest:.3g}"
    )
    return _Judged(sentence, largest, fault)


def _detected(opened: _Opened, values: Mapping[str, Any]) -> _Judged:
    """Compare the detections of each image: labels, scores, and places in whole pixels."""
    import numpy as np

    vectors, labels = opened.vectors, opened.labels
    height, width = opened.pixels.shape[1:3]
    found = [
        Found(
            np.array([at for _, _, at in answer], np.float64).reshape(-1, 4),
            np.array([labels.index(name) for name, _, _ in answer], np.float64),
            np.array([score for _, score, _ in answer], np.float64),
        )
        for answer in values["answers"]
        if all(name in labels for name, _, _ in answer)
    ]
    if len(found) != len(values["answers"]):
        return _Judged("", 0.0, "detections of classes that are not in labels.txt")
    sides = np.array([height, width, height, width], np.float64)

    def place(edges: np.ndarray) -> np.ndarray:
        """Top, left, height and width in pixels; the task moves a corner outside to the edge."""
        pixels = edges * sides
        corner, size = pixels[:, :2], pixels[:, 2:] - pixels[:, :2]
        return np.concatenate([np.maximum(corner, 0), size], axis=1)

    agreed = compared_detections(vectors, found, shown=place, tolerance=_PIXELS)
    count, boxes = len(found), sum(len(one.scores) for one in found)
    sentence = (
        f"the detections of {vectors.runtime} for {count} of {count} images ({boxes} boxes, "
        f"each within {_PIXELS:g} pixel, since the task cuts places to whole ones); scores "
        f"differ by at most {agreed.largest:.3g}"
    )
    if agreed.holds:
        return _Judged(sentence, agreed.largest)
    wrong = count - sum(agreed.same)
    return _Judged(
        "",
        agreed.largest,
        f"other detections for {wrong} of {count} images, the first is {agreed.first_wrong}",
    )


def _segmented(opened: _Opened, values: Mapping[str, Any]) -> _Judged:
    """Compare the category mask of each image, pixel by pixel, and the names of the classes."""
    import numpy as np

    vectors = opened.vectors
    masks = np.frombuffer(opened.answers.read_bytes(), np.uint8).reshape(vectors.outputs.shape)
    if values["labels"] != opened.labels:
        return _Judged("", 0.0, "other names of classes than labels.txt")
    if not values["spread"] < _SPREAD:
        return _Judged("", 0.0, "confidences of a pixel whose sum is not 1")
    agreed = agreement(vectors, masks)
    differing, total = int((masks != vectors.outputs).sum()), masks.size
    sentence = (
        f"the category masks of {vectors.runtime} for {len(masks)} of {len(masks)} images; "
        f"{differing:,} of {total:,} pixels differ"
    )
    fault = None if agreed.holds else f"other masks: {differing:,} of {total:,} pixels differ"
    return _Judged(sentence, agreed.largest, fault)


def _real(outputs: np.ndarray, model: Path) -> np.ndarray:
    """Outputs of a file as real scores, float32 ``[n, classes]``."""
    main = read_flat_model(model).subgraphs[0]
    scores = main.tensors[main.outputs[0]]
    if not scores.scale:
        return outputs
    from network.affine import IntType, QuantParams

    params = QuantParams(scores.scale[:1], scores.zero_point[:1], IntType(scores.dtype))
    return params.dequantize(outputs)


PROOFS = (Proof("mediapipe", _RUNTIME, run, tools=(_TOOL,)),)
