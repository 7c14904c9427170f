"""Proof in LiteRT on aarch64, under qemu-user on other processors, against the x86 outputs."""

from __future__ import annotations

from evaluation.litert_child import RESOLVERS, run_file
from evaluation.proofs.agreement import agreement
from evaluation.proofs.proof import (
    Proof,
    ProofRequest,
    ProofResult,
    Verdict,
    failed,
    not_run,
)
from evaluation.proofs.tools import Tool
from export.bundles.android import ROLES
from export.bundles.target import VECTORS, read_vectors

ARM64 = "litert-arm64"
_QEMU = Tool(
    "qemu-user",
    "apt-get install qemu-user, and make verify-arm64 in a checkout",
    ("qemu-aarch64", "qemu-aarch64-static"),
)


def run(request: ProofRequest) -> ProofResult:
    """Run both Android files with XNNPACK and with the reference kernels.

    The answers must be the expected ones, as ``agreement`` compares them; the differences are
    reported.
    """
    if request.runtime is None:
        return not_run("LiteRT on aarch64", "make verify-arm64 runs it under qemu-user")
    sentences, figures = [], {}
    for role in ROLES:
        for runtime in RESOLVERS:
            result = _compare(request, role, runtime)
            if result.verdict is not Verdict.PROVEN:
                return result
            sentences.append(result.sentence)
            figures[f"{role}, {runtime}"] = result.figures
    return ProofResult(Verdict.PROVEN, "; ".join(sentences), figures)


def _compare(request: ProofRequest, role: str, runtime: str) -> ProofResult:
    import numpy as np

    model = next(iter(sorted(request.folder.glob(f"*-{role}.tflite"))))
    vectors = read_vectors(request.folder / VECTORS, role)
    done = run_file(model, vectors.inputs, runtime, request.runtime, masks=vectors.masks)
    if done.missing:
        return not_run(f"{done.missing} in {request.runtime}", "make verify-arm64")
    if done.outputs is None:
        return failed(f"LiteRT does not run {model.name} with {runtime}: {done.error}")
    outputs = done.outputs
    if outputs.shape != vectors.outputs.shape or outputs.dtype != vectors.outputs.dtype:
        return failed(f"{model.name} gives outputs of another type or number than its vectors")
    difference = np.abs(outputs.astype(np.float64) - vectors.outputs.astype(np.float64))
    agreed = agreement(vectors, outputs)
    sentence = (
        f"{done.runtime} gives {model.name} the {agreed.what} of {vectors.runtime} for "
        f"{sum(agreed.same)} of {len(outputs)} images, {agreed.within}; "
        f"{int((difference > 0).sum())} of {difference.size} outputs differ"
    )
    figures = {
        "runtime": done.runtime,
        "differing": int((difference > 0).sum()),
        "outputs": difference.size,
        "largest_difference": agreed.largest,
    }
    verdict = Verdict.PROVEN if agreed.holds else Verdict.FAILED
    return ProofResult(verdict, sentence, figures)


PROOFS = (Proof(ARM64, ARM64, run, tools=(_QEMU,)),)
