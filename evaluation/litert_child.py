"""LiteRT in a child process: integers in, integers out, and an abort ends only the child.

The reference kernels end the process on scales that no multiplier can represent, which random
weights can have.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from calibration_data.preprocessing import Preprocessing
from evaluation.proofs.proof import ProofRequest, run_worker
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
    """Result of a run in a child process.

    Attributes:
        outputs: ``[n, numbers]`` in the file's type, or uint8 classes of places; None when the run
            failed.
        error: reason of the failure, or None.
        missing: package that is not installed, or None.
        runtime: name, version, kernels and machine.
    """

    outputs: np.ndarray | None
    error: str | None
    missing: str | None
    runtime: str


def tflite_inputs(path: Path, pixels: np.ndarray, contract: Preprocessing) -> np.ndarray:
    """Inputs for a file: uint8 pixels as they are, or what the contract prepares.

    Args:
        path: path of a .tflite.
        pixels: ``[n, *shape]`` as ``Preprocessing.pixels`` returns them.
        contract: preprocessing contract of the file.
    """
    main = read_flat_model(path).subgraphs[0]
    tensor = main.tensors[main.inputs[0]]
    if tensor.dtype == "uint8" and not contract.plain:
        return pixels
    images = contract.normalize(pixels)
    if not tensor.scale:
        return images
    from network.affine import IntType, QuantParams

    params = QuantParams(tensor.scale[:1], tensor.zero_point[:1], IntType(tensor.dtype))
    return params.quantize(images)


def run_file(
    path: Path,
    inputs: np.ndarray,
    runtime: str,
    interpreter: Path | None = None,
    *,
    masks: bool = False,
) -> ChildRun:
    """Run inputs through a file, one image per call.

    Args:
        path: path of a .tflite.
        inputs: ``[n, *shape]`` in the file's type.
        runtime: ``litert-reference`` or ``litert-xnnpack``.
        interpreter: Python interpreter with ai-edge-litert; None for this one.
        masks: return the class of each place, uint8, in the place of a map's scores.
    """
    import numpy as np

    with temporary_scratch() as scratch:
        inputs_file, outputs = scratch / "inputs.bin", scratch / "outputs.bin"
        inputs_file.write_bytes(np.ascontiguousarray(inputs).tobytes())
        values = {
            "model": str(path.absolute()),
            "resolver": RESOLVERS[runtime],
            "inputs": str(inputs_file),
            "dtype": inputs.dtype.name,
            "shape": list(inputs.shape),
            "outputs": str(outputs),
            "masks": masks,
        }
        reply = run_worker("litert_run", ProofRequest(scratch, scratch, interpreter), values)
        if reply.missing or reply.error:
            return ChildRun(None, reply.error, reply.missing, runtime)
        answer = reply.values
        with reading(path, "a runtime gives one row of outputs per image", "look at its version"):
            result = np.frombuffer(outputs.read_bytes(), np.dtype(answer["dtype"]))
            result = result.reshape(len(inputs), -1)
    name = f"{runtime} {answer['version']} ({_WORDS[runtime]}, {answer['machine']})"
    return ChildRun(result, None, None, name)
