"""Proofs in ONNX Runtime, from Python and from Node, on the .onnx and the .ort."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration_data.box_decoder import detections
from evaluation.proofs.agreement import Found, agreement, compared_detections
from evaluation.proofs.child import run_tool
from evaluation.proofs.proof import (
    Proof,
    ProofRequest,
    ProofResult,
    Verdict,
    failed,
    not_run,
    run_worker,
    without,
)
from evaluation.proofs.tools import Tool
from export.bundles.onnx_decoder import SCRIPT, TABLE
from export.bundles.onnx_mobile import INSIDE, ROLE, models
from export.bundles.target import VECTORS, Vectors, read_vectors
from export.onnx.inspect import inspect
from foundation.foreign import read_object, reading

if TYPE_CHECKING:
    import numpy as np

_NODE = "onnxruntime-node"
_PYTHON = Tool("onnxruntime", "pip install edgequant", distribution="onnxruntime")
_NODE_JS = Tool("node", "install Node.js, npm install onnxruntime-node, --runtime", ("node",))
_SCRIPT = Path(__file__).parent / "workers" / "onnxruntime_node.cjs"


def in_python(request: ProofRequest) -> ProofResult:
    """Run the vectors through every file, each in a child process.

    The NumPy decoder of a detector's bundle, with the expected outputs of the file without
    post-processing, must give the detections of the file with it.
    """
    results = []
    for role, vectors in _roles(request):
        outputs: dict[str, np.ndarray] = {}
        runtime = ""
        for path in models(request.folder, role):
            values = _request_values(request, path, vectors, role)
            reply = run_worker("onnxruntime_run", request, values)
            if reply.missing:
                return without(_PYTHON)
            if reply.error:
                return failed(f"ONNX Runtime does not run {path.name}: {reply.error}")
            runtime = f"ONNX Runtime {reply.values['version']} on {reply.values['machine']}"
            outputs[path.name] = _read_outputs(values, vectors)
        results.append(_compared(runtime, vectors, outputs))
    if (request.folder / TABLE).is_file():
        results.append(_decoded(request))
    return _all_of(results)


def in_node(request: ProofRequest) -> ProofResult:
    """Run the vectors through both files in onnxruntime-node.

    Its package is searched for only in the folder that the user names: a node_modules in the
    working folder may be anybody's.
    """
    node = _NODE_JS.path()
    packages = None if request.runtime is None else request.runtime / "node_modules"
    if not node or packages is None or not (packages / _NODE / "package.json").is_file():
        return not_run(_NODE, "npm install onnxruntime-node, and --runtime onnxruntime-node=FOLDER")
    package = json.loads((packages / _NODE / "package.json").read_text(encoding="utf-8"))
    results = []
    for role, vectors in _roles(request):
        outputs: dict[str, np.ndarray] = {}
        for path in models(request.folder, role):
            values = _request_values(request, path, vectors, role)
            request_file = request.scratch / "request.json"
            request_file.write_text(json.dumps(values), encoding="utf-8")
            environment = {"NODE_PATH": os.pathsep.join([str(packages)])}
            done = run_tool([node, str(_SCRIPT), str(request_file)], request.scratch, environment)
            if done.code:
                return failed(f"onnxruntime-node does not run {path.name}: {done.last_line}")
            outputs[path.name] = _read_outputs(values, vectors)
        results.append(_compared(f"onnxruntime-node {package['version']}", vectors, outputs))
    return _all_of(results)


def _roles(request: ProofRequest) -> list[tuple[str, Vectors]]:
    """Test vectors by role."""
    listed = sorted((request.folder / VECTORS).glob("*.json"))
    return [(path.stem, read_vectors(request.folder / VECTORS, path.stem)) for path in listed]


def _all_of(results: list[ProofResult]) -> ProofResult:
    """One result of several: the first that is not proven, or all sentences together."""
    for result in results:
        if result.verdict is not Verdict.PROVEN:
            return result
    largest = max(result.figures["largest_difference"] for result in results)
    figures = {**results[0].figures, "largest_difference": largest}
    return ProofResult(Verdict.PROVEN, "; ".join(r.sentence for r in results), figures)


def _decoded(request: ProofRequest) -> ProofResult:
    """Detections of the NumPy decoder, from the expected outputs of the file without them."""
    import numpy as np

    folder = request.folder
    raw, inside = (read_vectors(folder / VECTORS, role) for role in (ROLE, INSIDE))
    (model,) = (path for path in models(folder) if path.suffix == ".onnx")
    rule, remedy = "a bundle holds the values of its detector", "make the bundle again"
    table = read_object(folder / TABLE, rule, remedy)
    with reading(folder / TABLE, rule, remedy):
        outputs, start = {}, 0
        for tensor in inspect(model).outputs:
            shape = tuple(int(size or 1) for size in tensor.shape[1:])
            size = math.prod(shape)
            outputs[tensor.name] = raw.outputs[:, start : start + size].reshape(-1, *shape)
            start += size
        answers = detections(table, outputs)
    found = [
        Found(
            np.array([box for box, _, _ in answer]).reshape(-1, 4),
            np.array([label for _, _, label in answer]),
            np.array([score for _, score, _ in answer]),
        )
        for answer in answers
    ]
    agreed = compared_detections(inside, found)
    count = len(found)
    if not agreed.holds:
        return failed(
            f"{SCRIPT} gives other detections than {model.stem} with NonMaxSuppression inside for "
            f"{count - sum(agreed.same)} of {count} images, the first is {agreed.first_wrong}"
        )
    sentence = (
        f"{SCRIPT} gives the detections of NonMaxSuppression inside the file for {count} of "
        f"{count} images, {agreed.within}"
    )
    figures = {"images": count, "largest_difference": agreed.largest}
    return ProofResult(Verdict.PROVEN, sentence, figures)


def _request_values(
    request: ProofRequest, model: Path, vectors: Vectors, role: str
) -> dict[str, Any]:
    """Values of the request to a child."""
    return {
        "model": str(model),
        "inputs": str(request.folder / VECTORS / f"{role}.inputs.bin"),
        "shape": list(vectors.inputs.shape),
        "outputs": str(request.scratch / f"{model.name}.bin"),
    }


def _read_outputs(values: dict[str, Any], vectors: Vectors) -> np.ndarray:
    """Scores that a child wrote, in the shape of the expected outputs."""
    import numpy as np

    path = Path(values["outputs"])
    with reading(path, "a model gives the numbers of its outputs", "make the bundle again"):
        return np.frombuffer(path.read_bytes(), "<f4").reshape(vectors.outputs.shape)


def _compared(runtime: str, vectors: Vectors, outputs: dict[str, np.ndarray]) -> ProofResult:
    """Compare the answers, which must be the expected ones, and report the largest difference."""
    import numpy as np

    largest, what = 0.0, ""
    for name, scores in outputs.items():
        if not np.isfinite(scores).all():
            return failed(f"{runtime} gives NaN or infinity for {name}")
        agreed = agreement(vectors, scores)
        if not agreed.holds:
            return failed(
                f"{runtime} gives {name} other {agreed.what} than {vectors.runtime} for "
                f"{len(scores) - sum(agreed.same)} of {len(scores)} images, the first is "
                f"{agreed.first_wrong}; {agreed.within}"
            )
        largest, what = max(largest, agreed.largest), agreed.what
    sentence = (
        f"{runtime} gives {' and '.join(outputs)} the {what} of {vectors.runtime} for "
        f"{len(vectors.outputs)} of {len(vectors.outputs)} images; scores differ by at most "
        f"{largest:.3g}"
    )
    figures = {"images": len(vectors.outputs), "largest_difference": largest}
    return ProofResult(Verdict.PROVEN, sentence, figures)


PROOFS = (
    Proof("onnxruntime", "onnxruntime", in_python, optional=True, tools=(_PYTHON,)),
    Proof("onnxruntime-node", _NODE, in_node, tools=(_NODE_JS,)),
)
