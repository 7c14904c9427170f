"""ONNX Runtime, from Python and from Node, on the .onnx and the .ort."""

from __future__ import annotations

import json
import os
import shutil
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from platform import machine
from typing import TYPE_CHECKING

from evaluation.proofs.proof import (
    Proof,
    ProofRequest,
    ProofResult,
    Verdict,
    failed,
    not_run,
    run_tool,
)
from export.bundles.onnx_mobile import ROLE, models
from export.bundles.target import VECTORS, Vectors, read_vectors

if TYPE_CHECKING:
    import numpy as np

_NODE = "onnxruntime-node"
_SCRIPT = Path(__file__).parent / "workers" / "onnxruntime_node.cjs"


def in_python(request: ProofRequest) -> ProofResult:
    """Run the vectors through both files in this process."""
    if find_spec("onnxruntime") is None:
        return not_run("onnxruntime", "pip install edgequant")
    import numpy as np

    from export.onnx_runtime import open_session

    vectors = read_vectors(request.folder / VECTORS, ROLE)
    outputs: dict[str, np.ndarray] = {}
    for path in models(request.folder):
        session = open_session(path.read_bytes())
        name = session.get_inputs()[0].name
        rows = [session.run(None, {name: row[None]})[0][0] for row in vectors.inputs]
        outputs[path.name] = np.stack(rows)
    return _compared(f"ONNX Runtime {version('onnxruntime')} on {machine()}", vectors, outputs)


def in_node(request: ProofRequest) -> ProofResult:
    """Run the vectors through both files in onnxruntime-node."""
    import numpy as np

    node = shutil.which("node")
    packages = (request.runtime or Path.cwd()) / "node_modules"
    if not node or not (packages / _NODE / "package.json").is_file():
        return not_run(_NODE, "npm install onnxruntime-node, and --runtime onnxruntime-node=FOLDER")
    vectors = read_vectors(request.folder / VECTORS, ROLE)
    outputs: dict[str, np.ndarray] = {}
    for path in models(request.folder):
        place = request.scratch / f"{path.name}.bin"
        values = {
            "model": str(path),
            "inputs": str(request.folder / VECTORS / f"{ROLE}.inputs.bin"),
            "shape": list(vectors.inputs.shape),
            "outputs": str(place),
        }
        asked = request.scratch / "request.json"
        asked.write_text(json.dumps(values), encoding="utf-8")
        environment = {"NODE_PATH": os.pathsep.join([str(packages)])}
        done = run_tool([node, str(_SCRIPT), str(asked)], request.scratch, environment)
        if done.code:
            last = (done.log.strip().splitlines() or ["no message"])[-1]
            return failed(f"onnxruntime-node does not run {path.name}: {last}")
        outputs[path.name] = np.frombuffer(place.read_bytes(), "<f4").reshape(vectors.outputs.shape)
    package = json.loads((packages / _NODE / "package.json").read_text(encoding="utf-8"))
    return _compared(f"onnxruntime-node {package['version']}", vectors, outputs)


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
        largest = max(largest, float(np.abs(got - vectors.outputs).max()))
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
