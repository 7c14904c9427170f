"""Make the uint8 input of an int8 .tflite file mean raw pixels under a contract of one pair."""

from __future__ import annotations

from pathlib import Path

from calibration_data.preprocessing import Preprocessing
from export.tflite.metadata import packed
from foundation.errors import UnsupportedError
from network.tflite.reader import QUANTIZE, read_flat_model

_SCALE_TOLERANCE = 1e-3
"""Relative: a quarter of a step over 255 pixels."""


def pixel_input(content: bytes, contract: Preprocessing, path: Path) -> bytes:
    """State ``real = (pixel - mean) / std`` as the scale and zero point of the uint8 input.

    The converter chooses them from what the calibration images held, so that a set without a
    white pixel gives an input on which raw pixels are not what they should be. The file begins
    with a QUANTIZE from uint8 to int8, which goes on to do the rest.

    Args:
        content: a .tflite file with uint8 input, no zip appended.
        contract: with one mean and one std.
        path: where the content was read from.

    Returns:
        The same bytes, when the input is right within half a step already; else the file with
        another scale and zero point.

    Raises:
        UnsupportedError: no QUANTIZE after the input, or a mean that is no pixel value.
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
