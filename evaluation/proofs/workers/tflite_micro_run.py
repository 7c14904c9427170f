"""Script for an interpreter with tflite-micro: inference, and the recorded sizes of the arena."""

from __future__ import annotations

import json
import os
import re
import struct
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

_ALIGNMENT = 16
_TRIES = 64
_RECORD = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")


def main() -> None:
    """``python tflite_micro_run.py REQUEST REPLY``."""
    request_file, reply_file = Path(sys.argv[1]), Path(sys.argv[2])
    request = json.loads(request_file.read_text(encoding="utf-8"))
    try:
        work = {"run": run, "arena": arena, "time": seconds}[request["task"]]
        reply = work(request)
    except ImportError as error:
        reply = {"missing": error.name or str(error)}
    except (RuntimeError, ValueError) as error:
        reply = {"error": " ".join(str(error).split())}
    reply_file.write_text(json.dumps(reply), encoding="utf-8")


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Run every vector, and write the int8 outputs to ``outputs``."""
    import numpy as np

    interpreter = _interpreter(request, request.get("arena_size"))
    inputs = np.frombuffer(Path(request["inputs"]).read_bytes(), np.int8)
    inputs = inputs.reshape(request["shape"])
    rows = []
    for vector in inputs:
        interpreter.set_input(vector[None], 0)
        interpreter.invoke()
        outputs = [interpreter.get_output(i) for i in range(request.get("output_count", 1))]
        rows.append(np.concatenate([output.ravel() for output in outputs]))
    Path(request["outputs"]).write_bytes(np.stack(rows).tobytes())
    return {"version": version("tflite-micro"), "shape": [len(rows), len(rows[0])]}


def arena(request: dict[str, Any]) -> dict[str, Any]:
    """Bytes of head and tail, and the smallest arena, in steps of 16, with which the model runs."""
    import numpy as np

    interpreter = _interpreter(request, None)
    shape = interpreter.get_input_details(0)["shape"]
    interpreter.set_input(np.zeros(shape, np.int8), 0)
    interpreter.invoke()
    sizes = {name: int(size) for name, size in _RECORD.findall(_recorded(interpreter))}
    first = -(-sizes["total"] // _ALIGNMENT) * _ALIGNMENT
    size = first
    while not _fits(request, size, shape):
        size += _ALIGNMENT
        if size > first + _TRIES * _ALIGNMENT:
            return {"error": f"an arena of {size} bytes is too small, though {first} were used"}
    return {
        "version": version("tflite-micro"),
        "pointer_bits": 8 * struct.calcsize("P"),
        "arena_bytes": size,
        "head_bytes": sizes["head"],
        "tail_bytes": sizes["tail"],
    }


def seconds(request: dict[str, Any]) -> dict[str, Any]:
    """Processor time of an inference, the mean of ``runs`` of them."""
    import numpy as np

    interpreter = _interpreter(request, None)
    shape = interpreter.get_input_details(0)["shape"]
    interpreter.set_input(np.zeros(shape, np.int8), 0)
    interpreter.invoke()
    start = time.process_time()
    for _ in range(request["runs"]):
        interpreter.invoke()
    return {"seconds": (time.process_time() - start) / request["runs"]}


def _interpreter(request: dict[str, Any], arena_size: int | None) -> Any:
    from tflite_micro.python.tflite_micro import runtime

    content = Path(request["model"]).read_bytes()
    return runtime.Interpreter.from_bytes(content, arena_size=arena_size)


def _fits(request: dict[str, Any], size: int, shape: Any) -> bool:
    import numpy as np

    try:
        interpreter = _interpreter(request, size)
        interpreter.set_input(np.zeros(shape, np.int8), 0)
        interpreter.invoke()
    except RuntimeError:
        return False
    return True


def _recorded(interpreter: Any) -> str:
    """Text that ``print_allocations`` writes to standard error from C++."""
    standard_error = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            interpreter.print_allocations()
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
        log.seek(0)
        return log.read().decode("utf-8", "replace")


if __name__ == "__main__":
    main()
