"""Reader of an int8 .tflite file as a network of integers, with every scale and zero point."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from foundation.errors import InvalidInputError, UnsupportedError
from foundation.foreign import reading
from network.affine import IntType, QuantParams
from network.graph import Op
from network.operators import traits_of
from network.oracle.call import MOST_ELEMENTS
from network.oracle.model import IntegerModel, IntegerTensor, Operators
from network.tflite.canonical import builtin_name
from network.tflite.four_bits import INT4, unpacked
from network.tflite.reader import WHOLE, read_flat_model

_DTYPES = {
    0: "float32", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 8: "complex64",
    9: "int8", 17: "int4",
}  # fmt: skip
"""NumPy's names of the element types, and 4-bit integers, by their numbers in the schema."""


def read_integers(path: Path) -> IntegerModel:
    """Read a file for the integer interpreter.

    Tensors have the names of the file; where a name repeats, the index of the tensor is added.

    Raises:
        InvalidInputError: no such file, or a damaged one.
        UnsupportedError: an operator or a type without an integer kernel, several graphs or
            inputs, or no output.
    """
    with _reading(path):
        return _network(path)


def read_operators(path: Path) -> Operators:
    """Read a file with any number of inputs and outputs; raises the errors of read_integers."""
    with _reading(path):
        model, graph = _opened(path)
        tensors = _tensors(model, graph, path.name)
        return Operators(_ops(model, graph, tensors), {tensor.name: tensor for tensor in tensors})


def _reading(path: Path) -> AbstractContextManager[None]:
    return reading(path, WHOLE, "write or download it again")


def _network(path: Path) -> IntegerModel:
    model, graph = _opened(path)
    if len(graph.inputs) != 1 or len(graph.outputs) == 0:
        raise UnsupportedError(
            "the integer interpreter runs a network of one input and at least one output",
            received=f"{path.name} with {len(graph.inputs)} and {len(graph.outputs)}",
            remedy="export the part of one input alone",
        )
    tensors = _tensors(model, graph, path.name)
    return IntegerModel(
        _ops(model, graph, tensors),
        {tensor.name: tensor for tensor in tensors},
        tensors[int(graph.inputs[0])].name,
        tuple(tensors[int(index)].name for index in graph.outputs),
    )


def _opened(path: Path) -> tuple[Any, Any]:
    """The file and its only graph, in the object API of the schema."""
    from ai_edge_litert.tools import flatbuffer_utils

    read_flat_model(path)  # the object API trusts its input: the bounds are checked first
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(path.read_bytes()))
    if len(model.subgraphs) != 1:
        raise UnsupportedError(
            "the integer interpreter runs one graph",
            received=f"{path.name} with {len(model.subgraphs)}",
            remedy="export the network without control flow",
        )
    return model, model.subgraphs[0]


def _ops(model: Any, graph: Any, tensors: list[IntegerTensor]) -> tuple[Op, ...]:
    names = [tensor.name for tensor in tensors]
    return tuple(_op(model, operator, names) for operator in graph.operators)


def _op(model: Any, operator: Any, names: list[str]) -> Op:
    options = operator.builtinOptions
    code = model.operatorCodes[operator.opcodeIndex]
    kind = builtin_name(code)
    return Op(
        kind=kind,
        inputs=traits_of(kind).from_file_order(
            tuple(names[int(i)] if i >= 0 else "" for i in operator.inputs)
        ),
        outputs=tuple(names[int(i)] for i in operator.outputs),
        options={} if options is None else dict(vars(options)),
        options_type="" if options is None else type(options).__name__.removesuffix("T"),
        version=int(code.version),
    )


def _tensors(model: Any, graph: Any, source: str) -> list[IntegerTensor]:
    names: set[str] = set()
    flats: dict[tuple[int, str], np.ndarray] = {}  # one copy of a buffer that tensors share
    tensors = []
    for index, tensor in enumerate(graph.tensors):
        name = _text(tensor.name) or f"tensor_{index}"
        if name in names:
            name = f"{name}#{index}"
        names.add(name)
        dtype = _DTYPES.get(int(tensor.type))
        stored = model.buffers[tensor.buffer].data
        empty = stored is None or not len(stored)
        if dtype is None or (dtype == INT4 and empty):
            raise UnsupportedError(
                "the integer interpreter takes tensors of 8-, 16- and 32-bit integers and float32, "
                "and constants of 4-bit integers",
                received=f"{source} with TFLite's type {int(tensor.type)} in {name}",
                remedy="export an int8 file",
            )
        shape = tuple(int(size) for size in _list(tensor.shape))
        if math.prod(max(size, 1) for size in shape) > MOST_ELEMENTS:
            raise UnsupportedError(
                f"the integer interpreter takes tensors of at most {MOST_ELEMENTS:,} numbers",
                received=f"{source} with {name} of shape {list(shape)}",
                remedy="run the file in litert-reference",
            )
        key, value = (int(tensor.buffer), dtype), None
        if not empty:
            if dtype == INT4:  # the number of integers is known from the shape alone
                flats[key] = unpacked(np.frombuffer(bytes(stored), np.uint8), math.prod(shape))
            elif key not in flats:
                flats[key] = _flat(stored, dtype)
            value = _shaped(flats[key], shape, name)
        tensors.append(IntegerTensor(name, shape, dtype, _params(tensor, dtype), value))
    return tensors


def _flat(data: Any, dtype: str) -> np.ndarray:
    return np.frombuffer(bytes(data), np.dtype(dtype).newbyteorder("<")).astype(dtype)


def _shaped(flat: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    if flat.size != np.prod(shape, dtype=np.int64):
        raise InvalidInputError(
            "a constant has as many elements as its shape says",
            received=f"{flat.size} of {name} for {list(shape)}",
            remedy="write the file again",
        )
    return flat.reshape(shape)


def _params(tensor: Any, dtype: str) -> QuantParams | None:
    quantization = tensor.quantization
    scales = [] if quantization is None else _list(quantization.scale)
    if not scales or dtype not in [kind.value for kind in IntType]:
        return None
    zeros = _list(quantization.zeroPoint) or [0] * len(scales)
    axis = int(quantization.quantizedDimension) if len(scales) > 1 else None
    return QuantParams(tuple(scales), tuple(int(z) for z in zeros), IntType(dtype), axis)


def _list(values: Any) -> list[Any]:
    return [] if values is None else np.asarray(values).tolist()


def _text(name: Any) -> str:
    return name if isinstance(name, str) else bytes(name or b"").decode("utf-8", "replace")
