"""Proof in LiteRT on this machine, against the expected outputs."""

from __future__ import annotations

from pathlib import Path

from evaluation.litert_child import RESOLVERS, run_file
from evaluation.proofs.agreement import agreement
from evaluation.proofs.proof import Proof, ProofRequest, ProofResult, Verdict, failed, without
from evaluation.proofs.tools import Tool
from export.bundles.target import VECTORS, read_vectors

_TOOL = Tool("ai-edge-litert", "pip install edgequant", distribution="ai-edge-litert")


def run(request: ProofRequest) -> ProofResult:
    """Run every .tflite that has test vectors with the kernels that computed them.

    Outputs of the reference kernels must be equal. Other kernels depend on the processor: their
    answers must be the expected ones, as ``agreement`` compares them.
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
        done = run_file(path, vectors.inputs, kernels, request.runtime, masks=vectors.masks)
        if done.missing:
            return without(_TOOL)
        if done.outputs is None:
            return failed(f"{kernels} does not run {path.name} on its test vectors: {done.error}")
        outputs = done.outputs
        if outputs.shape != vectors.outputs.shape or outputs.dtype != vectors.outputs.dtype:
            return failed(f"{path.name} gives outputs of another type or number than {listed.name}")
        agreed = agreement(vectors, outputs)
        exact = kernels != "litert-reference" or np.array_equal(outputs, vectors.outputs)
        if not (agreed.holds and exact):
            return failed(
                f"{done.runtime} gives other outputs for {path.name} than {vectors.runtime}: "
                f"the same {agreed.what} for {sum(agreed.same)} of {len(outputs)} images, "
                f"{agreed.within}"
            )
        sentences.append(
            f"{done.runtime} gives {path.name} the same {agreed.what} for {len(outputs)} of "
            f"{len(outputs)} images, {agreed.within}"
        )
        figures[role] = {"images": len(outputs), "largest_difference": agreed.largest}
    return ProofResult(Verdict.PROVEN, "; ".join(sentences), figures)


def _model(folder: Path, role: str) -> Path:
    return next(iter(sorted(folder.glob(f"*-{role}.tflite"))))


PROOFS = (Proof("litert", "litert", run, optional=True, tools=(_TOOL,)),)
