"""Proof in LiteRT on this machine, against the expected outputs."""

from __future__ import annotations

from pathlib import Path

from evaluation.litert_child import RESOLVERS, run_file
from evaluation.proofs.proof import Proof, ProofRequest, ProofResult, Verdict, failed, not_run
from export.bundles.target import VECTORS, largest_allowed, read_vectors


def run(request: ProofRequest) -> ProofResult:
    """Run every .tflite that has test vectors with the kernels that computed them.

    Outputs of the reference kernels must be equal. Other kernels depend on the processor: their
    labels must be equal, or share the largest score, and outputs within ``largest_allowed``.
    """
    import numpy as np

    sentences, figures = [], {}
    for listed in sorted((request.folder / VECTORS).glob("*.json")):
        role = listed.stem
        vectors = read_vectors(request.folder / VECTORS, role)
        path = _model(request.folder, role)
        kernels = vectors.kernels
        if kernels not in RESOLVERS:
            return failed(f"{listed.name} is of {vectors.runtime}, which is none of LiteRT's")
        done = run_file(path, vectors.inputs, kernels, request.runtime)
        if done.missing:
            return not_run("ai-edge-litert", "pip install edgequant")
        if done.outputs is None:
            return failed(f"{kernels} does not run {path.name} on its test vectors: {done.error}")
        outputs = done.outputs
        if outputs.shape != vectors.outputs.shape or outputs.dtype != vectors.outputs.dtype:
            return failed(f"{path.name} gives outputs of another type or number than {listed.name}")
        difference = float(np.abs(outputs.astype(np.float64) - vectors.outputs).max())
        same = vectors.same_labels(outputs)
        allowed = 0.0 if kernels == "litert-reference" else largest_allowed(vectors.outputs)
        if not all(same) or not difference <= allowed:
            return failed(
                f"{done.runtime} gives other outputs for {path.name} than {vectors.runtime}: "
                f"{sum(same)} of {len(same)} labels, up to {difference:g}"
            )
        unit = "steps" if outputs.dtype.kind in "iu" else "in score"
        sentences.append(
            f"{done.runtime} gives {path.name} the same {len(same)} labels, outputs within "
            f"{difference:.3g} {unit}"
        )
        figures[role] = {"images": len(same), "largest_difference": difference}
    return ProofResult(Verdict.PROVEN, "; ".join(sentences), figures)


def _model(folder: Path, role: str) -> Path:
    return next(iter(sorted(folder.glob(f"*-{role}.tflite"))))


PROOFS = (Proof("litert", "litert", run, optional=True),)
