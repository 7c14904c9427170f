"""ARG_MAX behind the maps of scores of a segmenter, inside a .tflite.

Source: tensorflow/lite/kernels/arg_min_max.cc: of equal scores the first class, as in NumPy.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from export.tflite.behind import Behind
from export.tflite.metadata import packed
from network.tflite.outputs import with_signature

_VERSIONS = {"float32": 1, "uint8": 1, "int8": 2}
"""Version of ARG_MAX by the type of the scores."""


def with_class_maps(content: bytes, names: Sequence[str], maps: Collection[str]) -> bytes:
    """Put ARG_MAX behind outputs ``[1, h, w, classes]``, which are int32 ``[1, h, w]`` then.

    It reads the integers of a quantized file as they are: a DEQUANTIZE at the end falls away.

    Args:
        content: bytes of a .tflite.
        names: names of the file's outputs, in its order; they stay the same.
        maps: names of those that are maps of scores.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    behind, graph = Behind(model), model.subgraphs[0]
    graph.outputs = [
        _class_map(behind, int(tensor), name) if name in maps else int(tensor)
        for tensor, name in zip(graph.outputs, names, strict=True)
    ]
    with_signature(model, names)
    return packed(model)


def _class_map(behind: Behind, scores: int, name: str) -> int:
    """Add the operator behind a tensor; its result."""
    from ai_edge_litert.schema_py_generated import TensorType

    source = _integers(behind, scores)
    known = {int(getattr(TensorType, kind.upper())): kind for kind in _VERSIONS}
    version = _VERSIONS[known[int(behind.graph.tensors[source].type)]]
    result = behind.tensor(f"{name}_class", behind.shape(source)[:-1], "INT32")
    axis = behind.constant(f"{name}_class_axis", np.array(-1, np.int32), "INT32")
    behind.operator(
        "ARG_MAX", version, [source, axis], [result], "ArgMaxOptions", outputType=TensorType.INT32
    )
    return result


def _integers(behind: Behind, tensor: int) -> int:
    """What a DEQUANTIZE that gives a tensor reads, if ARG_MAX can; the operator is removed."""
    from ai_edge_litert.schema_py_generated import TensorType

    graph = behind.graph
    for operator in graph.operators:
        source = int(operator.inputs[0]) if len(operator.inputs) else -1
        if list(operator.outputs) != [tensor] or not _is_dequantize(behind.model, operator):
            continue
        read = any(tensor in list(other.inputs) for other in graph.operators)
        if not read and graph.tensors[source].type in (TensorType.INT8, TensorType.UINT8):
            graph.operators.remove(operator)
            return source
    return tensor


def _is_dequantize(model: Any, operator: Any) -> bool:
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    code = model.operatorCodes[operator.opcodeIndex]
    numbers = (code.builtinCode, code.deprecatedBuiltinCode)
    return int(BuiltinOperator.DEQUANTIZE) == max(int(number) for number in numbers)
