"""A float32 .tflite as the canonical graph that plans are decided on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibration_data.errors import UnsupportedError
from export.tflite_metadata import INPUT_NAME, OUTPUT_NAME
from quantize.graph import WEIGHTED, Graph, Op, Tensor

_ROLES = {1: "weight", 2: "bias"}


def canonical_graph(content: bytes) -> Graph:
    """Read the converter's float32 file.

    Activations are named after their operator's first layer, constants after their reader; the ends
    are ``image`` and ``scores``. A weighted operator without a bias gets one of zeros, so that
    corrections have a place.

    Args:
        content: a whole float32 .tflite of one subgraph, one input and one output.

    Returns:
        The graph; unused tensors are gone.

    Raises:
        UnsupportedError: another number of subgraphs or ends.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    if len(model.subgraphs) != 1 or len(model.subgraphs[0].inputs) != 1:
        raise UnsupportedError(
            "a network to quantize is one graph of one image",
            received=f"{len(model.subgraphs)} graphs",
            remedy="build it without control flow",
        )
    return _Reading(model).graph()


@dataclass
class _Reading:
    """One file while it is read."""

    model: Any

    def graph(self) -> Graph:
        source = self.model.subgraphs[0]
        names = self._names(source)
        tensors: dict[str, Tensor] = {}
        for index, tensor in enumerate(source.tensors):
            shape = tuple(int(size) for size in (tensor.shape if tensor.shape is not None else ()))
            value = self._value(tensor, shape)
            tensors[names[index]] = Tensor(names[index], shape, value)
        ops = [self._op(operator, names, tensors) for operator in source.operators]
        graph = Graph(tuple(ops), tensors, INPUT_NAME, OUTPUT_NAME)
        return graph.pruned(ops)

    def _op(self, operator: Any, names: dict[int, str], tensors: dict[str, Tensor]) -> Op:
        code = self.model.operatorCodes[operator.opcodeIndex]
        options = operator.builtinOptions
        inputs = [names[int(i)] if i >= 0 else "" for i in operator.inputs]
        outputs = tuple(names[int(i)] for i in operator.outputs)
        kind = builtin_name(code)
        if kind in WEIGHTED and (len(inputs) < 3 or not inputs[2]):
            bias = f"{outputs[0]}.bias"
            channels = tensors[inputs[1]].shape[3 if kind == "DEPTHWISE_CONV_2D" else 0]
            tensors[bias] = Tensor(bias, (channels,), np.zeros(channels, np.float32))
            inputs = [*inputs[:2], bias]
        return Op(
            kind=kind,
            inputs=tuple(inputs),
            outputs=outputs,
            options={} if options is None else _plain(options),
            options_type="" if options is None else type(options).__name__.removesuffix("T"),
            version=int(code.version),
        )

    def _value(self, tensor: Any, shape: tuple[int, ...]) -> np.ndarray | None:
        data = self.model.buffers[tensor.buffer].data
        if data is None or len(data) == 0:
            return None
        dtype = _DTYPES.get(int(tensor.type))
        if dtype is None:
            raise UnsupportedError(
                "a network to quantize has float32 weights",
                received=f"a constant of TFLite's type {int(tensor.type)}",
                remedy="give the float32 network",
            )
        return np.array(np.frombuffer(bytes(data), dtype)).reshape(shape)

    def _names(self, graph: Any) -> dict[int, str]:
        """Short unique names; a constant has its reader's, with its role."""
        names = {int(graph.inputs[0]): INPUT_NAME, int(graph.outputs[0]): OUTPUT_NAME}
        taken = Counter(names.values())

        def name(index: int, wanted: str) -> None:
            if index in names:
                return
            taken[wanted] += 1
            names[index] = wanted if taken[wanted] == 1 else f"{wanted}_{taken[wanted] - 1}"

        for operator in graph.operators:
            for index in operator.outputs:
                name(int(index), short_name(graph.tensors[index].name))
        for operator in graph.operators:
            result = names[int(operator.outputs[0])]
            weighted = builtin_name(self.model.operatorCodes[operator.opcodeIndex]) in WEIGHTED
            for position, index in enumerate(operator.inputs):
                role = _ROLES.get(position) if weighted else None
                if index >= 0:
                    name(int(index), f"{result}.{role or f'const{position}'}")
        for index in range(len(graph.tensors)):
            name(index, f"unused_{index}")
        return names


_DTYPES: dict[int, Any] = {0: np.float32, 2: np.int32, 4: np.int64}
"""Element types of constants in a float32 file, by the schema's numbers."""


def short_name(name: bytes | str | None) -> str:
    """The layer in a converter's name: ``model_1/block_1_add_1/add;...`` gives ``block_1_add``."""
    text = (name or b"").decode("utf-8", "replace") if not isinstance(name, str) else name
    parts = text.partition(";")[0].split("/")
    layer = parts[1] if len(parts) > 1 else parts[0]
    stem, _, count = layer.rpartition("_")
    return (stem if stem and count.isdigit() else layer) or "tensor"


def builtin_name(code: Any) -> str:
    """The schema's name of an operator code object; the custom code of a custom operator."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    number = max(int(code.builtinCode), int(code.deprecatedBuiltinCode))
    names = {value: str(k) for k, value in vars(BuiltinOperator).items() if isinstance(value, int)}
    if names[number] == "CUSTOM" and code.customCode:
        return bytes(code.customCode).decode("utf-8", "replace")
    return names[number]


def _plain(options: Any) -> dict[str, Any]:
    """The fields of an options object as plain values."""
    plain: dict[str, Any] = {}
    for key, value in vars(options).items():
        if isinstance(value, np.ndarray):
            plain[key] = tuple(value.tolist())
        elif value is not None:
            plain[key] = value
    return plain
