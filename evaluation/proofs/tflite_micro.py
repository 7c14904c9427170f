"""Measurement of the arena in TFLite Micro, and proof that its outputs are bit-exact."""

from __future__ import annotations

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
from export.bundles.microcontroller import ARENA, ROLE, RUN, model_file
from export.bundles.target import VECTORS, read_vectors
from foundation.errors import InvalidInputError
from network.tflite.reader import read_flat_model

_RUNTIME = "tflite-micro"
_TOOL = Tool(_RUNTIME, "pip install --pre 'edgequant[micro]'", distribution=_RUNTIME)


def measure_arena(request: ProofRequest) -> ProofResult:
    """Measure head and tail of the arena, and the size with which inference runs."""
    values = {"task": "arena", "model": str(model_file(request.folder))}
    reply = run_worker("tflite_micro_run", request, values)
    if reply.missing:
        return without(_TOOL)
    if reply.error:
        return failed(f"TFLite Micro does not run the file: {reply.error}")
    figures = {key: reply.values[key] for key in ("version", "pointer_bits", "arena_bytes")}
    figures |= {key: reply.values[key] for key in ("head_bytes", "tail_bytes")}
    sentence = (
        f"TFLite Micro {figures['version']} runs in an arena of {figures['arena_bytes']:,} bytes "
        f"({figures['head_bytes']:,} head, {figures['tail_bytes']:,} tail)"
    )
    return ProofResult(Verdict.PROVEN, sentence, figures)


def run(request: ProofRequest) -> ProofResult:
    """Run every test vector, and compare with the outputs of LiteRT's reference kernels.

    Both have the same kernels, except that some of them round differently: an output of
    FULLY_CONNECTED may differ by one step. ``_outputs`` in the figures are those of TFLite Micro.
    """
    import numpy as np

    vectors = read_vectors(request.folder / VECTORS, ROLE)
    try:
        graph = read_flat_model(model_file(request.folder)).subgraphs[0]
    except InvalidInputError as error:
        return failed(f"TFLite Micro does not run the file: {error}")
    outputs = request.scratch / "outputs.bin"
    values = {
        "task": "run",
        "model": str(model_file(request.folder)),
        "inputs": str(request.folder / VECTORS / f"{ROLE}.inputs.bin"),
        "shape": list(vectors.inputs.shape),
        "outputs": str(outputs),
        "output_count": len(graph.outputs),
    }
    reply = run_worker("tflite_micro_run", request, values)
    if reply.missing:
        return without(_TOOL)
    if reply.error:
        return failed(f"TFLite Micro does not run the file: {reply.error}")
    scores = np.frombuffer(outputs.read_bytes(), np.int8).reshape(reply.values["shape"])
    version = reply.values["version"]
    if scores.shape != vectors.outputs.shape:
        return failed(f"TFLite Micro {version} gives outputs of shape {list(scores.shape)}")
    steps = np.abs(scores.astype(np.int32) - vectors.outputs.astype(np.int32))
    figures = {
        "version": version,
        "images": len(scores),
        "largest_step": int(steps.max()),
        "_outputs": scores.tolist(),
    }
    if steps.any():
        sentence = (
            f"TFLite Micro {version} differs from {vectors.runtime} in {int((steps > 0).sum())} of "
            f"{steps.size} outputs, by up to {int(steps.max())}"
        )
        same = all(vectors.same_labels(scores))
        verdict = Verdict.WITHIN_A_STEP if same and steps.max() == 1 else Verdict.FAILED
        sentence += ", with the same labels" if same else ", and in labels"
        return ProofResult(verdict, sentence, figures)
    sentence = (
        f"TFLite Micro {version} equals {vectors.runtime} bit for bit on {len(scores)} images "
        f"({steps.size} outputs)"
    )
    return ProofResult(Verdict.PROVEN, sentence, figures)


PROOFS = (
    Proof(ARENA, _RUNTIME, measure_arena, tools=(_TOOL,)),
    Proof(RUN, _RUNTIME, run, tools=(_TOOL,)),
)
