"""ONNX Runtime, from Python and from Node, on the .onnx and the .ort."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.proofs.child import run_tool
from evaluation.proofs.proof import (
    Proof,
    ProofRequest,
    ProofResult,
    Verdict,
    failed,
    not_run,
    run_worker,
)
from export.bundles.onnx_mobile import ROLE, models
from export.bundles.target import VECTORS, Vectors, largest_allowed, read_vectors
from foundation.foreign import reading

if TYPE_CHECKING:
    import numpy as np

_NODE = "onnxruntime-node"
_SCRIPT = Path(__file__).parent / "workers" / "onnxruntime_node.cjs"


def in_python(request: ProofRequest) -> ProofResult:
    """Run the vectors through both files, each in a child."""
    vectors = read_vectors(request.folder / VECTORS, ROLE)
    outputs: dict[str, np.ndarray] = {}
    who = ""
    for path in models(request.folder):
        values = _asked(request, path, vectors)
        reply = run_worker("onnxruntime_run", request, values)
        if reply.missing:
            return not_run("onnxruntime", "pip install edgequant")
        if reply.error:
            return failed(f"ONNX Runtime does not run {path.name}: {reply.error}")
        who = f"ONNX Runtime {reply.values['version']} on {reply.values['machine']}"
        outputs[path.name] = _answered(values, vectors)
    return _compared(who, vectors, outputs)


def in_node(request: ProofRequest) -> ProofResult:
    """Run the vectors through both files in onnxruntime-node.

    Its package is looked for where the user says, and nowhere else: a node_modules that happens to
    lie in the working folder may be anybody's.
    """
    node = shutil.which("node")
    packages = None if request.runtime is None else request.runtime / "node_modules"
    if not node or packages is None or not (packages / _NODE / "package.json").is_file():
        return not_run(_NODE, "npm install onnxruntime-node, and --runtime onnxruntime-node=FOLDER")
    vectors = read_vectors(request.folder / VECTORS, ROLE)
    outputs: dict[str, np.ndarray] = {}
    for path in models(request.folder):
        values = _asked(request, path, vectors)
        asked = request.scratch / "request.json"
        asked.write_text(json.dumps(values), encoding="utf-8")
        environment = {"NODE_PATH": os.pathsep.join([str(packages)])}
        done = run_tool([node, str(_SCRIPT), str(asked)], request.scratch, environment)
        if done.code:
            return failed(f"onnxruntime-node does not run {path.name}: {done.last_line}")
        outputs[path.name] = _answered(values, vectors)
    package = json.loads((packages / _NODE / "package.json").read_text(encoding="utf-8"))
    return _compared(f"onnxruntime-node {package['version']}", vectors, outputs)


def _asked(request: ProofRequest, model: Path, vectors: Vectors) -> dict[str, Any]:
    """What a child is asked to run."""
    return {
        "model": str(model),
        "inputs": str(request.folder / VECTORS / f"{ROLE}.inputs.bin"),
        "shape": list(vectors.inputs.shape),
        "outputs": str(request.scratch / f"{model.name}.bin"),
    }


def _answered(values: dict[str, Any], vectors: Vectors) -> np.ndarray:
    """The scores that a child wrote, in the shape of the outputs to expect."""
    import numpy as np

    path = Path(values["outputs"])
    with reading(path, "a model gives one score a class", "make the bundle again"):
        return np.frombuffer(path.read_bytes(), "<f4").reshape(vectors.outputs.shape)


def _compared(who: str, vectors: Vectors, outputs: dict[str, np.ndarray]) -> ProofResult:
    """Labels must be those to expect; the scores' largest difference is told."""
    import numpy as np

    largest = 0.0
    for name, got in outputs.items():
        if not np.isfinite(got).all():
            return failed(f"{who} gives NaN or infinity for {name}")
        best = got == got.max(axis=1, keepdims=True)
        wrong = [
            number
            for number, (row, expected) in enumerate(zip(best, vectors.outputs, strict=True))
            if not row[expected.argmax()]
        ]
        if wrong:
            return failed(
                f"{who} gives {name} other labels than {vectors.runtime} for {len(wrong)} of "
                f"{len(got)} images, the first is {wrong[0]}"
            )
        difference = float(np.abs(got - vectors.outputs).max())
        if difference > largest_allowed(vectors.outputs):
            return failed(
                f"{who} gives {name} scores that differ from those of {vectors.runtime} by "
                f"{difference:.3g}"
            )
        largest = max(largest, difference)
    sentence = (
        f"{who} gives {' and '.join(outputs)} the labels of {vectors.runtime} for "
        f"{len(vectors.outputs)} of {len(vectors.outputs)} images; scores differ by at most "
        f"{largest:.3g}"
    )
    figures = {"images": len(vectors.outputs), "largest_difference": largest}
    return ProofResult(Verdict.PROVEN, sentence, figures)


PROOFS = (
    Proof("onnxruntime", "onnxruntime", in_python, optional=True),
    Proof("onnxruntime-node", _NODE, in_node),
)
