"""Post-processing behind the outputs of an .onnx."""

from __future__ import annotations

from calibration_data.preprocessing import Preprocessing
from export.onnx.class_maps import with_class_maps
from export.onnx.detections import with_detections
from export.onnx.graph import OnnxGraph
from export.postprocess import class_maps_of, detector_of
from foundation.errors import UnsupportedError
from quantize.settings import Postprocess


def postprocessed(graph: OnnxGraph, postprocess: Postprocess, contract: Preprocessing) -> OnnxGraph:
    """Graph with operators behind its outputs.

    Args:
        graph: graph of the network in any recipe, with outputs in float32.
        postprocess: operators to add.
        contract: contract of the network.

    Raises:
        UnsupportedError: a network that has nothing for them, or no such operators in this format.
    """
    if postprocess is Postprocess.ARGMAX:
        return with_class_maps(graph, class_maps_of(contract, dict(graph.outputs)))
    if postprocess is not Postprocess.ONNX:
        raise UnsupportedError(
            "an .onnx file has the post-processing onnx or argmax",
            received=postprocess.value,
            remedy="use --postprocess onnx, argmax, or none",
        )
    return with_detections(graph, detector_of(postprocess, contract))
