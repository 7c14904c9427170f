"""Script for an interpreter with onnxruntime: float32 vectors through an .onnx or .ort."""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any


def main() -> None:
    """``python onnxruntime_run.py REQUEST REPLY``."""
    request_file, reply_file = Path(sys.argv[1]), Path(sys.argv[2])
    request = json.loads(request_file.read_text(encoding="utf-8"))
    try:
        import onnxruntime
    except ImportError as error:
        reply: dict[str, Any] = {"missing": error.name or str(error)}
    else:
        refusals: tuple[type[Exception], ...] = (RuntimeError, ValueError, *own_errors(onnxruntime))
        try:
            reply = run(request, onnxruntime)
        except refusals as error:
            reply = {"error": " ".join(str(error).split())}
    reply_file.write_text(json.dumps(reply), encoding="utf-8")


def own_errors(onnxruntime: Any) -> tuple[type[Exception], ...]:
    """Exceptions of ONNX Runtime, whose only base is ``Exception``."""
    state = vars(onnxruntime.capi.onnxruntime_pybind11_state)
    kinds = (kind for kind in state.values() if isinstance(kind, type))
    return tuple(kind for kind in kinds if issubclass(kind, Exception))


def run(request: dict[str, Any], onnxruntime: Any) -> dict[str, Any]:
    """Run every vector, and write the float32 numbers of all outputs to ``outputs``."""
    import numpy as np

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # From bytes, so that the file cannot refer to others in its folder.
    content = Path(request["model"]).read_bytes()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    inputs = np.frombuffer(Path(request["inputs"]).read_bytes(), "<f4").reshape(request["shape"])
    rows = [
        np.concatenate([output.ravel() for output in session.run(None, {name: row[None]})])
        for row in inputs
    ]
    Path(request["outputs"]).write_bytes(np.stack(rows).astype("<f4").tobytes())
    return {"version": version("onnxruntime"), "machine": platform.machine()}


if __name__ == "__main__":
    main()
