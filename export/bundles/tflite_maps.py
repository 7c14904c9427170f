"""Map of a segmenter in float32 at the size of the input, inside a .tflite.

MediaPipe's ImageSegmenter reads float32 alone, and enlarges a map so that the centres of its corner
cells become the photo's corner pixels. The resize in the file is bilinear with half-pixel centres,
as masks are measured, so the task has nothing left to enlarge on a photo of the input's size.

Source: tensorflow/lite/kernels/resize_bilinear.cc; half-pixel centres since version 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from export.tflite.behind import Behind
from export.tflite.metadata import packed
from network.tflite.outputs import with_signature

_DEQUANTIZE_VERSIONS = {"uint8": 1, "int8": 2}
_HALF_PIXEL_VERSION = 3


def with_whole_map(content: bytes, size: tuple[int, int]) -> bytes:
    """Put DEQUANTIZE and RESIZE_BILINEAR behind the only output, as far as they change anything.

    Args:
        content: bytes of a .tflite with one output ``[1, h, w, classes]``.
        size: height and width of the input.

    Returns:
        The same network with an output float32 ``[1, *size, classes]``; equal arguments give equal
        bytes.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    behind = Behind(model)
    (end,) = (int(index) for index in behind.graph.outputs)
    result = _enlarged(behind, _float(behind, end), size)
    if result == end:
        return content
    name = _output_name(model)
    behind.graph.outputs = [result]
    with_signature(model, [name])
    return packed(model)


def _float(behind: Behind, tensor: int) -> int:
    from ai_edge_litert.schema_py_generated import TensorType

    known = {int(getattr(TensorType, kind.upper())): kind for kind in _DEQUANTIZE_VERSIONS}
    kind = known.get(int(behind.graph.tensors[tensor].type))
    if kind is None:
        return tensor
    result = behind.tensor("map_float", behind.shape(tensor), "FLOAT32")
    behind.operator("DEQUANTIZE", _DEQUANTIZE_VERSIONS[kind], [tensor], [result])
    return result


def _enlarged(behind: Behind, tensor: int, size: tuple[int, int]) -> int:
    batch, *sides, classes = behind.shape(tensor)
    if tuple(sides) == size:
        return tensor
    result = behind.tensor("map_whole", (batch, *size, classes), "FLOAT32")
    wanted = behind.constant("map_whole_size", np.array(size, np.int32), "INT32")
    behind.operator(
        "RESIZE_BILINEAR", _HALF_PIXEL_VERSION, [tensor, wanted], [result],
        "ResizeBilinearOptions", alignCorners=False, halfPixelCenters=True,
    )  # fmt: skip
    return result


def _output_name(model: Any) -> str:
    """Name of the only output in the signature of a file that we wrote."""
    name = model.signatureDefs[0].outputs[0].name
    return str(name, "utf-8") if isinstance(name, bytes) else str(name)
