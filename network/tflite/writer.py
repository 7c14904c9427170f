"""A .tflite file built tensor by tensor, through the schema's object API.

Source of layout and types: tensorflow/lite/schema/schema.fbs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from network.affine import QuantParams
from network.tflite.four_bits import INT4, packed

SCHEMA_VERSION = 3

_IDENTIFIER = b"TFL3"
"""File identifier of the schema."""

_TABLES = 512
"""Bytes that the tables of a tensor, and of the operator that computes it, usually take."""

_TYPES = {
    "float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7,
    "complex64": 8, "int8": 9, "float64": 10, "uint64": 12, "uint32": 15, "uint16": 16,
}  # fmt: skip
"""``TensorType`` of the schema by NumPy's names."""

TYPE_NAMES = {number: name for name, number in _TYPES.items()}
"""NumPy's names of the types that a graph can hold, by the schema's numbers."""

_STORED_TYPES = {**_TYPES, INT4: 17}
"""``TensorType`` of all tensors that are written."""


@dataclass
class FlatFile:
    """One file while it is built.

    Attributes:
        tensors: tensors so far, by number.
        operators: operators so far, in order.
        buffers: content by number; the first is empty by convention.
        codes: (operator, version) by number.
    """

    tensors: list[Any] = field(default_factory=list)
    operators: list[Any] = field(default_factory=list)
    buffers: list[bytes] = field(default_factory=lambda: [b""])
    codes: list[tuple[str, int]] = field(default_factory=list)

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str,
        params: QuantParams | None = None,
        value: np.ndarray | None = None,
    ) -> int:
        """Add a tensor.

        Args:
            name: name of the tensor.
            shape: shape for a batch of one.
            dtype: NumPy's name of the type, or INT4.
            params: parameters of integers; None for float numbers.
            value: value of a constant; None for an activation.

        Returns:
            Number of the tensor.
        """
        from ai_edge_litert import schema_py_generated as schema

        quantization = None
        if params is not None:
            quantization = schema.QuantizationParametersT(
                scale=np.array(params.scale, np.float32),
                zeroPoint=np.array(params.zero_point, np.int64),
                quantizedDimension=params.axis or 0,
            )
        self.tensors.append(
            schema.TensorT(
                shape=list(shape),
                type=_STORED_TYPES[dtype],
                buffer=0 if value is None else self._buffer(value, dtype),
                name=name.encode(),
                quantization=quantization,
                hasRank=True,
            )
        )
        return len(self.tensors) - 1

    def renamed(self, tensor: int, name: str) -> None:
        """Give a tensor another name."""
        self.tensors[tensor].name = name.encode()

    def operator(
        self,
        kind: str,
        version: int,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options_type: str = "",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an operator.

        Args:
            kind: the schema's name of the builtin operator.
            version: version of the operator.
            inputs: numbers of tensors; -1 for an absent one.
            outputs: numbers of tensors.
            options_type: name of the options table; empty for none.
            options: fields of the options table.
        """
        from ai_edge_litert import schema_py_generated as schema

        if (kind, version) not in self.codes:
            self.codes.append((kind, version))
        table = None
        if options_type:
            table = getattr(schema, f"{options_type}T")(
                **{k: list(v) if isinstance(v, tuple) else v for k, v in (options or {}).items()}
            )
        self.operators.append(
            schema.OperatorT(
                opcodeIndex=self.codes.index((kind, version)),
                inputs=list(inputs),
                outputs=list(outputs),
                builtinOptionsType=int(getattr(schema.BuiltinOptions, options_type or "NONE")),
                builtinOptions=table,
            )
        )

    def content(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """Bytes of the whole file with these inputs and outputs; equal files have equal bytes."""
        from ai_edge_litert import schema_py_generated as schema
        from flatbuffers import Builder

        subgraph = schema.SubGraphT(
            tensors=self.tensors, inputs=list(inputs), outputs=list(outputs),
            operators=self.operators, name=b"main",
        )  # fmt: skip
        model = schema.ModelT(
            version=SCHEMA_VERSION,
            operatorCodes=[_code(kind, version) for kind, version in self.codes],
            subgraphs=[subgraph],
            buffers=[_content(buffer) for buffer in self.buffers],
        )
        # Large enough from the start: a builder that grows copies all that it has, time and again.
        builder = Builder(sum(map(len, self.buffers)) + _TABLES * (1 + len(self.tensors)))
        builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
        return bytes(builder.Output())

    def _buffer(self, value: np.ndarray, dtype: str) -> int:
        stored = packed(value) if dtype == INT4 else value
        self.buffers.append(np.ascontiguousarray(stored).tobytes())
        return len(self.buffers) - 1


def _content(buffer: bytes) -> Any:
    """Constant as an array, which the generated packer copies at once (bytes, one by one)."""
    from ai_edge_litert.schema_py_generated import BufferT

    return BufferT(data=np.frombuffer(buffer, np.uint8) if buffer else None)


def _code(kind: str, version: int) -> Any:
    """Operator code; numbers above 127 are only in the newer of the two fields."""
    from ai_edge_litert import schema_py_generated as schema

    number = int(getattr(schema.BuiltinOperator, kind))
    return schema.OperatorCodeT(
        deprecatedBuiltinCode=min(number, 127), builtinCode=number, version=version
    )
