"""Script for an interpreter with ai-edge-litert, such as an aarch64 one under qemu-user."""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any


def main() -> None:
    """``python litert_run.py REQUEST REPLY``."""
    request_file, reply_file = Path(sys.argv[1]), Path(sys.argv[2])
    request = json.loads(request_file.read_text(encoding="utf-8"))
    try:
        reply = run(request)
    except ImportError as error:
        reply = {"missing": error.name or str(error)}
    except (RuntimeError, ValueError) as error:
        reply = {"error": " ".join(str(error).split())}
    reply_file.write_text(json.dumps(reply), encoding="utf-8")


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Run every vector, and write the outputs in the file's type to ``outputs``.

    With ``masks``, the class of each place is written, uint8, in the place of a map's scores.
    """
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        request["model"],
        num_threads=1,
        experimental_op_resolver_type=OpResolverType[request["resolver"]],
    )
    interpreter.allocate_tensors()
    image, sinks = interpreter.get_input_details()[0], interpreter.get_output_details()
    inputs = np.frombuffer(Path(request["inputs"]).read_bytes(), request["dtype"])
    rows = []
    for vector in inputs.reshape(request["shape"]):
        interpreter.set_tensor(image["index"], vector[None])
        interpreter.invoke()
        outputs = [interpreter.get_tensor(sink["index"]) for sink in sinks]
        if request.get("masks"):
            outputs = [output.argmax(axis=-1).astype(np.uint8) for output in outputs]
        rows.append(np.concatenate([output.ravel() for output in outputs]))
    Path(request["outputs"]).write_bytes(np.stack(rows).tobytes())
    return {
        "version": version("ai-edge-litert"),
        "machine": platform.machine(),
        "dtype": rows[0].dtype.name,
        "output_shape": [len(rows), len(rows[0])],
    }


if __name__ == "__main__":
    main()
