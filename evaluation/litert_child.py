"""LiteRT in a child process: integers in, integers out, and no abort of ours.

The reference kernels end the process on scales that no multiplier can hold, as random weights
give them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from calibration_data.preprocessing import Preprocessing
from evaluation.proofs.proof import ProofRequest, run_worker
from evaluation.sessions.tensor_io import Quantization
from foundation.foreign import reading
from foundation.scratch import temporary_scratch
from network.tflite.reader import read_flat_model

if TYPE_CHECKING:
    import numpy as np

RESOLVERS = {"litert-reference": "BUILTIN_REF", "litert-xnnpack": "BUILTIN"}
"""Member of OpResolverType by registered runtime."""
_WORDS = {"litert-reference": "reference kernels", "litert-xnnpack": "XNNPACK delegate"}


@dataclass(frozen=True)
class ChildRun:
    """What a child gave.

    Attributes:
        outputs: ``[n, classes]`` in the file's type; None when it failed.
        error: why, or None.
        missing: package that is not there, or None.
        runtime: name, version, kernels and machine.
    """

    outputs: np.ndarray | None
    error: str | None
    missing: str | None
    runtime: str


def tflite_inputs(path: Path, pixels: np.ndarray, contract: Preprocessing) -> np.ndarray:
    """What a file takes: uint8 pixels as they are, else what the contract makes of them.

    Args:
        path: of a .tflite.
        pixels: uint8 ``[n, height, width, 3]``, RGB.
        contract: of the file.
    """
    main = read_flat_model(path).subgraphs[0]
    tensor = main.tensors[main.inputs[0]]
    if tensor.dtype == "uint8":
        return pixels
    images = contract.normalize(pixels)
    if not tensor.scale:
        return images
    return Quantization(tensor.scale[0], tensor.zero_point[0], tensor.dtype).quantize(images)


def run_file(
    path: Path, inputs: np.ndarray, runtime: str, interpreter: Path | None = None
) -> ChildRun:
    """Run inputs through a file, one image a call.

    Args:
        path: of a .tflite.
        inputs: ``[n, height, width, 3]`` in the file's type.
        runtime: ``litert-reference`` or ``litert-xnnpack``.
        interpreter: Python that has ai-edge-litert; None for this one.
    """
    import numpy as np

    with temporary_scratch() as scratch:
        placed, outputs = scratch / "inputs.bin", scratch / "outputs.bin"
        placed.write_bytes(np.ascontiguousarray(inputs).tobytes())
        values = {
            "model": str(path.absolute()),
            "resolver": RESOLVERS[runtime],
            "inputs": str(placed),
            "dtype": inputs.dtype.name,
            "shape": list(inputs.shape),
            "outputs": str(outputs),
        }
        reply = run_worker("litert_run", ProofRequest(scratch, scratch, interpreter), values)
        if reply.missing or reply.error:
            return ChildRun(None, reply.error, reply.missing, runtime)
        told = reply.values
        with reading(path, "a runtime gives one row of outputs an image", "look at its version"):
            result = np.frombuffer(outputs.read_bytes(), np.dtype(told["dtype"]))
            result = result.reshape(len(inputs), -1)
    name = f"{runtime} {told['version']} ({_WORDS[runtime]}, {told['machine']})"
    return ChildRun(result, None, None, name)
