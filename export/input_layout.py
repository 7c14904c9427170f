"""Order of the axes of a file's input, which no file format states.

Only inputs of four axes have two orders: ``[batch, height, width, channels]`` (NHWC) and ``[batch,
channels, height, width]`` (NCHW). The contract in a file that we wrote decides. In other files
three channels come first to mind, then the end that is as short as channels usually are (1 to 4);
where neither end is, or both are, .onnx files are NCHW, as PyTorch exports them, and all others
NHWC.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quantize.settings import Layout

_COLOURS = 3
_FEW = 4
"""Largest number of channels that tells an end of the shape from height and width."""


def file_layout(path: Path, shape: Sequence[int | None]) -> Layout:
    """Layout of the input of a .tflite, .onnx or Keras file.

    Args:
        path: path of the file; the contract in it is read where there is one.
        shape: shape of its input with the batch; None for a free axis.

    Raises:
        InvalidInputError: a damaged file.
    """
    if len(shape) != 4:
        return Layout.NHWC
    from export.target import target_of

    if path.suffix in (".tflite", ".onnx"):
        card = target_of(path).read_card(path)
        if card is not None:
            height, width, channels = (*card.preprocessing.shape, None, None)[:3]
            if tuple(shape[1:]) == (height, width, channels):
                return Layout.NHWC
            if tuple(shape[1:]) == (channels, height, width):
                return Layout.NCHW
    default = Layout.NCHW if path.suffix == ".onnx" else Layout.NHWC
    return likely_layout(shape, default)


def likely_layout(shape: Sequence[int | None], default: Layout = Layout.NHWC) -> Layout:
    """Layout that the sizes of an input of four axes suggest.

    Args:
        shape: shape with the batch; None for a free axis.
        default: layout where both ends of the shape may be channels, or neither.
    """
    if len(shape) != 4:
        return Layout.NHWC
    first, last = shape[1], shape[3]
    if last == _COLOURS:
        return Layout.NHWC
    if first == _COLOURS:
        return Layout.NCHW
    few = [size is not None and size <= _FEW for size in (first, last)]
    if few[0] == few[1]:
        return default
    return Layout.NCHW if few[0] else Layout.NHWC


def channels_last(shape: Sequence[int | None], layout: Layout) -> tuple[int | None, ...]:
    """Shape of one example, without the batch, with channels last."""
    if len(shape) == 4 and layout is Layout.NCHW:
        return shape[2], shape[3], shape[1]
    return tuple(shape[1:])
