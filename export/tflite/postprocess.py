"""Post-processing behind the outputs of a .tflite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from calibration_data.preprocessing import Preprocessing
from export.postprocess import class_maps_of, detector_of
from export.tflite.class_maps import with_class_maps
from export.tflite.detections import with_detections
from foundation.errors import UnsupportedError
from network.tflite.reader import read_flat_model
from quantize.settings import Postprocess


def add_postprocess(
    path: Path, postprocess: Postprocess, contract: Preprocessing, names: Sequence[str]
) -> None:
    """Add operators to a written and checked file, in place.

    Args:
        path: path of the file.
        postprocess: operators to add.
        contract: contract of the network.
        names: names of the file's outputs, in its order.

    Raises:
        UnsupportedError: a network that has nothing for them, or no such operators in this format.
    """
    if postprocess is Postprocess.ARGMAX:
        content = path.read_bytes()
        graph = read_flat_model(path).subgraphs[0]
        sizes = (graph.tensors[index].shape for index in graph.outputs)
        maps = class_maps_of(contract, dict(zip(names, sizes, strict=True)))
        path.write_bytes(with_class_maps(content, names, maps))
        return
    if postprocess is not Postprocess.TFLITE:
        raise UnsupportedError(
            "a .tflite file has the post-processing tflite or argmax",
            received=postprocess.value,
            remedy="use --postprocess tflite, argmax, or none",
        )
    detector = detector_of(postprocess, contract)
    path.write_bytes(with_detections(path.read_bytes(), detector, names))
