"""Proof in MediaPipe's ImageClassifier, as an Android app uses it, against the test vectors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.proofs.proof import (
    Proof,
    ProofRequest,
    ProofResult,
    Verdict,
    failed,
    not_run,
    run_worker,
)
from export.bundles.android import ROLES
from export.bundles.labels import LABELS
from export.bundles.target import VECTORS, largest_allowed, read_vectors
from network.tflite.reader import read_flat_model

if TYPE_CHECKING:
    import numpy as np

_RUNTIME = "mediapipe"


def run(request: ProofRequest) -> ProofResult:
    """Open every file with the task, and compare the label of each image.

    The task lists the scores of an image, best first. Where several expected outputs share the
    largest score (int8 steps are coarse), the task may name any of them.
    """
    labels = (request.folder / LABELS).read_text(encoding="ascii").splitlines()
    sentences, figures = [], {}
    for role in ROLES:
        result = _compare(request, role, labels)
        if result.verdict is not Verdict.PROVEN:
            return result
        sentences.append(result.sentence)
        figures[role] = result.figures
    return ProofResult(Verdict.PROVEN, "; ".join(sentences), figures)


def _compare(request: ProofRequest, role: str, labels: list[str]) -> ProofResult:
    import numpy as np

    model = next(request.folder.glob(f"*-{role}.tflite"))
    vectors = read_vectors(request.folder / VECTORS, role)
    pixels = read_vectors(request.folder / VECTORS, "int8").inputs
    pixels_file = request.scratch / "pixels.bin"
    pixels_file.write_bytes(pixels.tobytes())
    values = {"model": str(model), "pixels": str(pixels_file), "shape": list(pixels.shape)}
    reply = run_worker("mediapipe_classifier", request, values)
    if reply.missing:
        return not_run(_RUNTIME, "pip install 'edgequant[android]'")
    if reply.error:
        return failed(f"MediaPipe does not take {model.name}: {reply.error}")
    expected = _real(vectors.outputs, model)
    wrong, largest = [], 0.0
    for number, (row, answer) in enumerate(zip(expected, reply.values["answers"], strict=True)):
        best = {labels[i] for i in np.flatnonzero(row == row.max())}
        name = answer[0][1]
        if name not in best:
            wrong.append(f"image {number}: {name!r}, not {' or '.join(sorted(best))!r}")
        largest = max(largest, *(abs(score - float(row[i])) for i, _, score in answer))
    version = reply.values["version"]
    if not vectors.classes and largest > largest_allowed(expected):  # one label, always the same
        return failed(
            f"MediaPipe {version} gives {model.name} a probability that differs by {largest:.3g}"
        )
    if wrong:
        return failed(f"MediaPipe {version} gives other labels for {model.name}: {wrong[0]}")
    sentence = (
        f"MediaPipe {version} opens {model.name} and gives the label of {vectors.runtime} for "
        f"{len(expected)} of {len(expected)} images; scores differ by at most {largest:.3g}"
    )
    figures = {"images": len(expected), "largest_difference": largest, "version": version}
    return ProofResult(Verdict.PROVEN, sentence, figures)


def _real(outputs: np.ndarray, model: Path) -> np.ndarray:
    """Outputs of a file as real scores, float32 ``[n, classes]``."""
    main = read_flat_model(model).subgraphs[0]
    scores = main.tensors[main.outputs[0]]
    if not scores.scale:
        return outputs
    from network.affine import IntType, QuantParams

    params = QuantParams(scores.scale[:1], scores.zero_point[:1], IntType(scores.dtype))
    return params.dequantize(outputs)


PROOFS = (Proof("mediapipe", _RUNTIME, run),)
