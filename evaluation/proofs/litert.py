"""Our own sessions on this machine against the outputs to expect."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from platform import machine

from evaluation.proofs.proof import Proof, ProofRequest, ProofResult, Verdict, failed, not_run
from export.bundles.target import VECTORS, read_vectors


def run(request: ProofRequest) -> ProofResult:
    """Run every .tflite that has test vectors with the kernels that made them.

    Integer outputs of the reference kernels must be equal; other kernels depend on the processor,
    so there the label must be the same, or one that shares the largest score.
    """
    import numpy as np

    if find_spec("ai_edge_litert") is None:
        return not_run("ai-edge-litert", "pip install edgequant")
    from evaluation.session import runtime_for
    from evaluation.sessions.litert import LiteRTSession

    sentences, figures = [], {}
    for listed in sorted((request.folder / VECTORS).glob("*.json")):
        role = listed.stem
        vectors = read_vectors(request.folder / VECTORS, role)
        path = _model(request.folder, role)
        kernels = vectors.runtime.split()[0]
        session = runtime_for(path, kernels).open(path, 1)
        assert isinstance(session, LiteRTSession)
        try:
            outputs = session.run_raw(vectors.inputs)
        except ValueError as error:  # the file takes another type or shape than the vectors
            return failed(f"{path.name} does not take its test vectors: {error}")
        difference = float(np.abs(outputs.astype(np.float64) - vectors.outputs).max())
        best = outputs == outputs.max(axis=1, keepdims=True)
        same = [
            bool(row[expected.argmax()])
            for row, expected in zip(best, vectors.outputs, strict=True)
        ]
        if not all(same) or (kernels == "litert-reference" and difference):
            return failed(
                f"{kernels} {session.info.version} gives other outputs for {path.name} than "
                f"{vectors.runtime}: {sum(same)} of {len(same)} labels, up to {difference:g}"
            )
        unit = "steps" if outputs.dtype.kind in "iu" else "in score"
        sentences.append(
            f"{kernels} {session.info.version} on {machine()} gives {path.name} the same "
            f"{len(same)} labels, outputs within {difference:.3g} {unit}"
        )
        figures[role] = {"images": len(same), "largest_difference": difference}
    return ProofResult(Verdict.PROVEN, "; ".join(sentences), figures)


def _model(folder: Path, role: str) -> Path:
    return next(p for p in sorted(folder.glob(f"*-{role}.tflite")))


PROOFS = (Proof("litert", "litert", run, optional=True),)
