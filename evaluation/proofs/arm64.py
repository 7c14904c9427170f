"""LiteRT on aarch64, under qemu-user where there is no such processor, against the x86 outputs."""

from __future__ import annotations

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
from export.bundles.target import VECTORS, read_vectors

ARM64 = "litert-arm64"
_RESOLVERS = {"XNNPACK": "BUILTIN", "reference kernels": "BUILTIN_REF"}


def run(request: ProofRequest) -> ProofResult:
    """Run both Android files with XNNPACK and with the reference kernels.

    The labels must be those to expect, or share the largest score with them; how far the outputs
    are from the expected ones is told in steps of an integer file, in score of a float one.
    """
    if request.runtime is None:
        return not_run("LiteRT on aarch64", "make verify-arm64 runs it under qemu-user")
    sentences, figures = [], {}
    for role in ROLES:
        for kernels, resolver in _RESOLVERS.items():
            result = _compare(request, role, kernels, resolver)
            if result.verdict is not Verdict.PROVEN:
                return result
            sentences.append(result.sentence)
            figures[f"{role}, {kernels}"] = result.figures
    return ProofResult(Verdict.PROVEN, "; ".join(sentences), figures)


def _compare(request: ProofRequest, role: str, kernels: str, resolver: str) -> ProofResult:
    import numpy as np

    model = next(iter(sorted(request.folder.glob(f"*-{role}.tflite"))))
    vectors = read_vectors(request.folder / VECTORS, role)
    outputs = request.scratch / "outputs.bin"
    values = {
        "model": str(model),
        "resolver": resolver,
        "inputs": str(request.folder / VECTORS / f"{role}.inputs.bin"),
        "dtype": vectors.inputs.dtype.name,
        "shape": list(vectors.inputs.shape),
        "outputs": str(outputs),
    }
    reply = run_worker("litert_run", request, values)
    if reply.missing:
        return not_run(f"{reply.missing} in {request.runtime}", "make verify-arm64")
    if reply.error:
        return failed(f"LiteRT does not run {model.name} with {kernels}: {reply.error}")
    got = np.frombuffer(outputs.read_bytes(), vectors.outputs.dtype)
    got = got.reshape(vectors.outputs.shape)
    difference = np.abs(got.astype(np.float64) - vectors.outputs.astype(np.float64))
    best = got == got.max(axis=1, keepdims=True)
    same = [bool(row[e.argmax()]) for row, e in zip(best, vectors.outputs, strict=True)]
    who = f"LiteRT {reply.values['version']} on {reply.values['machine']} with {kernels}"
    unit = "steps" if got.dtype.kind in "iu" else "in score"
    sentence = (
        f"{who} gives {model.name} the label of {vectors.runtime} for {sum(same)} of {len(same)} "
        f"images; {int((difference > 0).sum())} of {difference.size} outputs differ, by up to "
        f"{difference.max():.3g} {unit}"
    )
    figures = {
        "machine": reply.values["machine"],
        "version": reply.values["version"],
        "differing": int((difference > 0).sum()),
        "outputs": difference.size,
        "largest_difference": float(difference.max()),
    }
    verdict = Verdict.PROVEN if all(same) else Verdict.FAILED
    return ProofResult(verdict, sentence, figures)


PROOFS = (Proof(ARM64, ARM64, run),)
