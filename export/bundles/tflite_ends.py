"""Scale and zero point of a uint8 input that takes raw pixels, for contracts with one mean."""

from __future__ import annotations

from pathlib import Path

from calibration_data.preprocessing import Preprocessing
from export.tflite.metadata import packed
from foundation.errors import UnsupportedError
from network.tflite.reader import QUANTIZE, read_flat_model

_SCALE_TOLERANCE = 1e-3
"""Relative difference of scales that is accepted: a quarter of a step over 255 pixel values."""


def pixel_input(content: bytes, contract: Preprocessing, path: Path) -> bytes:
    """Set scale and zero point of the uint8 input to ``real = (pixel - mean) / std``.

    The converter takes them from the range of the calibration images: after a set without a white
    pixel, raw pixels have another meaning in the file than in the contract. The QUANTIZE from
    uint8 to int8 that the file begins with then does the rest.

    Args:
        content: a .tflite file with uint8 input, without an appended zip.
        contract: contract with one mean and one std.
        path: path from which the content was read.

    Returns:
        The same bytes when the input is right within half a step; otherwise the file with another
        scale and zero point.

    Raises:
        UnsupportedError: no QUANTIZE after the input, or a mean that is not a pixel value.
    """
    graph = read_flat_model(path).subgraphs[0]
    mean, std = contract.mean[0], contract.std[0]
    tensor = graph.tensors[graph.inputs[0]]
    if tensor.dtype != "uint8" or len(tensor.scale) != 1:
        raise UnsupportedError(
            "an Android int8 file takes uint8 pixels",
            received=f"{tensor.dtype} with {len(tensor.scale)} scales",
            remedy="export it with --io uint8",
        )
    if _fits(tensor.scale[0], tensor.zero_point[0], mean, std):
        return content
    readers = [op for op in graph.operators if graph.inputs[0] in op.inputs]
    if [op.name for op in readers] != [QUANTIZE]:
        raise UnsupportedError(
            "a uint8 input goes into one QUANTIZE",
            received=", ".join(op.name for op in readers) or "nothing",
            remedy="export it with --io uint8",
        )
    if not 0 <= round(mean) <= 255:
        raise UnsupportedError(
            "a uint8 input has its mean at a pixel value, 0 to 255",
            received=f"mean {mean:g}",
            remedy="correct mean in the contract: it is of pixels 0..255",
        )
    return _restated(content, graph.inputs[0], 1 / std, round(mean))


def _fits(scale: float, zero_point: int, mean: float, std: float) -> bool:
    return abs(scale * std - 1) < _SCALE_TOLERANCE and abs(zero_point - mean) <= 0.5


def _restated(content: bytes, index: int, scale: float, zero_point: int) -> bytes:
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    tensor = model.subgraphs[0].tensors[index]
    tensor.quantization.scale = [scale]
    tensor.quantization.zeroPoint = [zero_point]
    return packed(model)
