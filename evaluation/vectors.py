"""Test vectors: exact inputs and outputs of a file in a named runtime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from calibration_data.detection import DETECTIONS
from calibration_data.preprocessing import Preprocessing
from evaluation.litert_child import run_file, tflite_inputs
from evaluation.session import runtime_for
from export.bundles.target import Vectors, is_classifier
from foundation.errors import InvalidInputError
from network.tflite.reader import read_flat_model

if TYPE_CHECKING:
    import numpy as np


def make_vectors(
    path: Path,
    pixels: np.ndarray,
    contract: Preprocessing,
    runtime_name: str,
    *,
    masks: bool = False,
) -> Vectors:
    """Run pixels through a file.

    A uint8 input gets the unchanged pixels, as from an Android task; another input gets the images
    that the contract prepares.

    Args:
        path: path of the file.
        pixels: ``[n, *shape]`` as ``Preprocessing.pixels`` returns them.
        contract: preprocessing contract of the file.
        runtime_name: registered runtime.
        masks: whether the outputs are to be classes of places in the place of a .tflite's scores.

    Raises:
        InvalidInputError: a file that the runtime cannot run, or outputs that are not finite.
    """
    import numpy as np

    if path.suffix == ".tflite":
        inputs = tflite_inputs(path, pixels, contract)
        run = run_file(path, inputs, runtime_name, masks=masks)
        if run.outputs is None:
            raise InvalidInputError(
                f"a file that ships runs in {runtime_name}",
                received=f"{path.name}, on which it fails ({run.error or run.missing})",
                remedy="use trained weights and representative calibration images: scales that no "
                "multiplier can hold end the kernels",
            )
        outputs, runtime = run.outputs, run.runtime
        main = read_flat_model(path).subgraphs[0]
        shapes = [main.tensors[index].shape[1:] for index in main.outputs]
        names = [main.tensors[index].name for index in main.outputs]
    else:
        session = runtime_for(path, runtime_name).open(path, 1)
        inputs = contract.normalize(pixels)
        rows = session.run(inputs)
        outputs = np.concatenate([row.reshape(len(row), -1) for row in rows], axis=1)
        shapes, names = [row.shape[1:] for row in rows], list(session.outputs)
        info = session.info
        runtime = f"{info.runtime} {info.version} ({info.kernels})"
    if outputs.dtype == np.float32 and not np.isfinite(outputs).all():
        raise InvalidInputError(
            "a file that ships gives finite scores",
            received=f"NaN or infinity from {path.name}",
            remedy="look at the weights, and at the preprocessing contract",
        )
    detector = contract.detector
    inside = detector is not None and set(names) == set(DETECTIONS)
    most = detector.most if detector is not None and inside else 0
    return Vectors(inputs, outputs, runtime, is_classifier(shapes, contract), most, masks)
