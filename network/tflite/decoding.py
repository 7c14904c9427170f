"""Constants of a .tflite as float32, whatever type the file stores them in.

Works in place on the schema's object form (``ModelT``), before the canonical graph is read from it.
Source of the quantized types: LiteRT 8-bit quantization specification
(https://ai.google.dev/edge/litert/models/quantization_spec): value = (integer - zero point) scale.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from foundation.errors import UnsupportedError

_FLOAT32, _FLOAT16 = 0, 1
_INTEGERS: dict[int, Any] = {2: np.int32, 3: np.uint8, 4: np.int64, 7: np.int16, 9: np.int8}
"""Integer element types that may stand for real numbers, by the schema's numbers."""

_ACTIVATIONS = frozenset({3, 7, 9})
"""Element types of the activations of quantized networks."""


def halves_to_float(model: Any) -> None:
    """Give float16 constants as float32, and leave out the DEQUANTIZE that reads them."""
    graph = model.subgraphs[0]
    constant = set()
    for number, tensor in enumerate(graph.tensors):
        data = model.buffers[tensor.buffer].data
        if data is None or len(data) == 0:
            continue
        constant.add(number)
        if int(tensor.type) == _FLOAT16:
            values = np.frombuffer(bytes(data), np.float16).astype(np.float32)
            _store(model, tensor, values)
    _leave_out(model, lambda kind, source: kind == "DEQUANTIZE" and source in constant)


def integers_to_float(model: Any) -> None:
    """Give quantized constants as the float32 numbers that they stand for.

    QUANTIZE and DEQUANTIZE are left out, so that the graph reads as that of a float network.

    Raises:
        UnsupportedError: constants with a scale in a type that is not read, such as int4.
        ValueError: another number of scales than the axis has channels.
    """
    halves_to_float(model)
    for tensor in model.subgraphs[0].tensors:
        data = model.buffers[tensor.buffer].data
        if data is not None and len(data) and _scales(tensor).size:
            _store(model, tensor, _real(tensor, bytes(data)))
    _leave_out(model, lambda kind, _: kind in ("QUANTIZE", "DEQUANTIZE"))


def quantized_part(model: Any) -> str:
    """Name and type of the first tensor in integers that stand for real numbers; empty if none."""
    from ai_edge_litert.schema_py_generated import TensorType

    names = {code: str(name).lower() for name, code in vars(TensorType).items()
             if isinstance(code, int)}  # fmt: skip
    graph = model.subgraphs[0]
    for tensor in graph.tensors:
        kind = int(tensor.type)
        if kind not in (_FLOAT32, _FLOAT16) and _scales(tensor).size:
            name = (tensor.name or b"").decode("utf-8", "replace")
            return f"{name} in {names.get(kind, 'an unknown type')}"
    return ""


def _scales(tensor: Any) -> np.ndarray:
    parameters = tensor.quantization
    stored = None if parameters is None else parameters.scale
    return np.zeros(0, np.float32) if stored is None else np.asarray(stored, np.float32).reshape(-1)


def _real(tensor: Any, data: bytes) -> np.ndarray:
    """Numbers that the integers of a constant stand for, float32 in the tensor's shape."""
    dtype = _INTEGERS.get(int(tensor.type))
    name = (tensor.name or b"").decode("utf-8", "replace")
    if dtype is None:
        raise UnsupportedError(
            "quantized weights are int8, uint8, int16 or int32",
            received=f"{name} of TFLite's type {int(tensor.type)}",
            remedy="give the float file",
        )
    shape = tuple(int(size) for size in (tensor.shape if tensor.shape is not None else ()))
    integers = np.frombuffer(data, dtype).reshape(shape).astype(np.float64)
    scales, stored = _scales(tensor), tensor.quantization.zeroPoint
    zeros = np.zeros(1) if stored is None or not len(stored) else np.asarray(stored, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused as a weight
        return _scaled(integers, scales, zeros, tensor)


def _scaled(integers: np.ndarray, scales: np.ndarray, zeros: np.ndarray, tensor: Any) -> np.ndarray:
    """``(integers - zeros) scales`` in float32, along the tensor's quantized axis."""
    if scales.size == 1:
        return np.asarray((integers - zeros[0]) * float(scales[0]), np.float32)
    axis = int(tensor.quantization.quantizedDimension)
    channels = integers.shape[axis]
    along = [1] * integers.ndim
    along[axis] = channels
    if scales.size != channels or zeros.size not in (1, scales.size):
        raise ValueError(f"{scales.size} scales for {channels} channels")
    zeros = np.broadcast_to(zeros, scales.shape).reshape(along)
    return np.asarray((integers - zeros) * scales.astype(np.float64).reshape(along), np.float32)


def _store(model: Any, tensor: Any, values: np.ndarray) -> None:
    """Put float32 values in the place of a tensor's; a buffer may be of several tensors."""
    from ai_edge_litert.schema_py_generated import BufferT

    model.buffers.append(BufferT(data=np.frombuffer(values.tobytes(), np.uint8)))
    tensor.buffer, tensor.type, tensor.quantization = len(model.buffers) - 1, _FLOAT32, None


def _leave_out(model: Any, chosen: Any) -> None:
    """Remove operators of one input and output, whose readers then read the input.

    Args:
        model: object form of the file.
        chosen: function of an operator's name and the number of its input.
    """
    from network.tflite.canonical import builtin_name

    graph, source = model.subgraphs[0], dict[int, int]()
    remaining = []
    for operator in graph.operators:
        operator.inputs = [source.get(int(i), int(i)) for i in operator.inputs]
        kind = builtin_name(model.operatorCodes[operator.opcodeIndex])
        if len(operator.inputs) == 1 and chosen(kind, operator.inputs[0]):
            source[int(operator.outputs[0])] = operator.inputs[0]
        else:
            remaining.append(operator)
    graph.operators = remaining
    graph.outputs = [source.get(int(i), int(i)) for i in graph.outputs]
