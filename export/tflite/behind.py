"""Operators that are added to a written .tflite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Behind:
    """Operators that are added behind the outputs of a file.

    Attributes:
        model: a ``ModelT`` of the schema's object API, changed in place.
        codes: index of each added operator code, by name and version.
    """

    model: Any
    codes: dict[tuple[str, int], int] = field(default_factory=dict)

    @property
    def graph(self) -> Any:
        """Main graph of the file."""
        return self.model.subgraphs[0]

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Shape of a tensor."""
        return tuple(int(size) for size in self.graph.tensors[tensor].shape)

    def size(self, tensor: int) -> int:
        """Number of values of a tensor."""
        return math.prod(self.shape(tensor))

    def tensor(
        self, name: str, shape: Sequence[int], kind: str | int, quantization: Any = None
    ) -> int:
        """Add a tensor that an operator computes; its index."""
        from ai_edge_litert import schema_py_generated as schema

        number = kind if isinstance(kind, int) else int(getattr(schema.TensorType, kind))
        self.graph.tensors.append(
            schema.TensorT(
                shape=list(shape), type=number, buffer=0, name=name.encode(),
                quantization=quantization, hasRank=True,
            )
        )  # fmt: skip
        return len(self.graph.tensors) - 1

    def constant(self, name: str, value: np.ndarray, kind: str = "FLOAT32") -> int:
        """Add a stored value; the index of its tensor."""
        from ai_edge_litert.schema_py_generated import BufferT

        index = self.tensor(name, value.shape, kind)
        data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
        self.graph.tensors[index].buffer = len(self.model.buffers)
        self.model.buffers.append(BufferT(data=data))
        return index

    def operator(
        self,
        kind: str,
        version: int,
        inputs: Sequence[int],
        outputs: Sequence[int],
        table: str = "",
        **options: Any,
    ) -> None:
        """Add an operator; ``options`` are those of its ``table`` in the schema."""
        from ai_edge_litert import schema_py_generated as schema

        number = int(getattr(schema.BuiltinOperator, kind))
        self.graph.operators.append(
            schema.OperatorT(
                opcodeIndex=self._code(kind, version, number), inputs=list(inputs),
                outputs=list(outputs),
                builtinOptionsType=int(getattr(schema.BuiltinOptions, table or "NONE")),
                builtinOptions=getattr(schema, f"{table}T")(**options) if table else None,
            )
        )  # fmt: skip

    def _code(self, kind: str, version: int, number: int) -> int:
        """Index of an operator code of these, added at first use."""
        from ai_edge_litert.schema_py_generated import OperatorCodeT

        if (kind, version) not in self.codes:
            self.codes[kind, version] = len(self.model.operatorCodes)
            self.model.operatorCodes.append(
                OperatorCodeT(
                    deprecatedBuiltinCode=min(number, 127), builtinCode=number, version=version
                )
            )
        return self.codes[kind, version]
