"""TFLite files of one operator, and LiteRT's reference kernels to compare with."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from network.affine import QuantParams
from network.operators import traits_of
from network.oracle.reader import read_operators

Options = tuple[str, Mapping[str, Any]] | None
Test = TypeVar("Test", bound=Callable[..., None])

_TYPES = {"float32": 0, "int32": 2, "uint8": 3, "int64": 4, "int16": 7, "int8": 9}


@dataclass(frozen=True)
class Slot:
    """A tensor of the file; without a value it is an activation."""

    shape: tuple[int, ...]
    dtype: str = "int8"
    params: QuantParams | None = None
    value: np.ndarray | None = None


def constant(value: np.ndarray, params: QuantParams | None = None) -> Slot:
    return Slot(value.shape, value.dtype.name, params, value)


def write_operator(
    path: Path,
    kind: str,
    inputs: Sequence[Slot],
    outputs: Sequence[Slot],
    options: Options = None,
) -> Path:
    """A file whose graph is the one operator; its input is the first activation.

    Two activations share the file's one input: the second is a reshaped copy of it.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = schema.ModelT()
    model.version = 3
    model.buffers = [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.tensors, graph.operators = [], []
    for index, slot in enumerate((*inputs, *outputs)):
        graph.tensors.append(_tensor(schema, model, f"t{index}", slot))
    operator = schema.OperatorT()
    operator.opcodeIndex = 0
    operator.inputs = list(range(len(inputs)))
    operator.outputs = [len(inputs) + i for i in range(len(outputs))]
    if options is not None:
        table = getattr(schema, f"{options[0]}T")()
        for name, value in options[1].items():
            assert hasattr(table, name), name
            setattr(table, name, value)
        operator.builtinOptions = table
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, options[0])
    graph.operators.append(operator)
    graph.inputs = [i for i, slot in enumerate(inputs) if slot.value is None]
    graph.outputs = operator.outputs
    code = schema.OperatorCodeT()
    number = getattr(schema.BuiltinOperator, kind)
    code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
    code.version = _version(kind, inputs)
    model.operatorCodes = [code]
    model.subgraphs = [graph]
    path.write_bytes(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))
    return path


@dataclass(frozen=True)
class Compared:
    """Kinds of operators that the tests of a file compare with the reference kernels.

    They are said when the file is read: what has run in one process tells nothing of the tests
    that ran in another, or later.
    """

    kinds: set[str] = field(default_factory=set)

    def of(self, *kinds: str) -> Callable[[Test], Test]:
        """Decorate the test that compares these kinds."""
        self.kinds.update(kinds)
        return lambda test: test

    def differing(
        self,
        kind: str,
        inputs: Sequence[Slot],
        outputs: Sequence[Slot],
        options: Options,
        feeds: Sequence[np.ndarray],
    ) -> list[str]:
        """Call ``differing`` for a kind that a test of the file says it compares."""
        assert kind in self.kinds, f"{kind} is compared and not said to be"
        return differing(kind, inputs, outputs, options, feeds)


def differing(
    kind: str,
    inputs: Sequence[Slot],
    outputs: Sequence[Slot],
    options: Options,
    feeds: Sequence[np.ndarray],
) -> list[str]:
    """Differences between our results and those of LiteRT's reference kernels; empty if equal."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_operator(Path(folder) / "one.tflite", kind, inputs, outputs, options)
        expected = reference(path, feeds)
        operators = read_operators(path)
    names = [f"t{i}" for i, slot in enumerate(inputs) if slot.value is None]
    found = operators.run(dict(zip(names, feeds, strict=True)))
    parts = []
    for position, array in enumerate(expected):
        result = found[f"t{len(inputs) + position}"]
        if result.dtype != array.dtype:
            parts.append(f"{kind}: {result.dtype} in the place of {array.dtype}")
        elif not np.array_equal(result, array):
            parts.append(f"{kind}: output {position} at {np.argwhere(result != array)[:5]}")
    return parts


def reference(path: Path, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Results of LiteRT's reference kernels."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1
    )
    interpreter.allocate_tensors()
    for details, value in zip(interpreter.get_input_details(), feeds, strict=True):
        interpreter.set_tensor(details["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def _version(kind: str, inputs: Sequence[Slot]) -> int:
    """Version of an operator on these inputs; 2 for one without a row."""
    row = traits_of(kind)
    wide = any(slot.dtype == "int16" for slot in inputs)
    return (row.int16_version if wide else row.int8_version) or 2


def _tensor(schema: Any, model: Any, name: str, slot: Slot) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type = name, list(slot.shape), _TYPES[slot.dtype]
    tensor.buffer = 0
    if slot.value is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(slot.value.tobytes(), np.uint8)
        tensor.buffer = len(model.buffers)
        model.buffers.append(buffer)
    if slot.params is not None:
        quantization = schema.QuantizationParametersT()
        quantization.scale = list(slot.params.scale)
        quantization.zeroPoint = list(slot.params.zero_point)
        quantization.quantizedDimension = slot.params.axis or 0
        tensor.quantization = quantization
    return tensor
