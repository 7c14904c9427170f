"""Read a .tflite file as plain values, without trusting a byte of it.

The interpreter does not verify what it loads and can take the process down with a damaged file, so
everything here goes through the generated FlatBuffer accessors in Python, with additional bounds.
Source of the layout: tensorflow/lite/schema/schema.fbs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.errors import InvalidInputError
from foundation.foreign import read_bytes, reading
from network.inspection import TensorInfo
from network.operators import traits_of

if TYPE_CHECKING:
    import numpy as np

FILE_IDENTIFIER = b"TFL3"

WHOLE = "a .tflite file is a whole FlatBuffer of the TFLite schema"

QUANTIZE = "QUANTIZE"
DEQUANTIZE = "DEQUANTIZE"


@dataclass(frozen=True)
class GraphOperator:
    """One operator of a subgraph.

    Attributes:
        name: builtin name, or the custom code.
        inputs: indexes of tensors; -1 for an optional one that is absent.
        outputs: indexes of tensors.
        version: version of the operator, from 1 on, which a kernel must support.
        fused: activation inside a pool or a concatenation; NONE for other operators.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    version: int = 1
    fused: str = "NONE"


@dataclass(frozen=True)
class Subgraph:
    """Tensors and the operators on them, in order of execution.

    Attributes:
        tensors: all tensors; a constant's ``size_bytes`` is the size of its buffer.
        operators: operators, in order of execution.
        inputs: indexes of tensors.
        outputs: indexes of tensors.
    """

    tensors: tuple[TensorInfo, ...]
    operators: tuple[GraphOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def compute(self, operator: GraphOperator) -> str:
        """Type that an operator computes in: NumPy's name, or ``hybrid``.

        It is the type of the first activation; for QUANTIZE, that of the result. ``hybrid`` is a
        float32 activation with an integer weight tensor: the kernel quantizes the activation as it
        runs.
        """
        tensors = [self.tensors[i] for i in operator.inputs if i >= 0]
        if operator.name == QUANTIZE or not tensors:
            return self.tensors[operator.outputs[0]].dtype if operator.outputs else "none"
        activation = next((t for t in tensors if not t.constant), tensors[0])
        weights = self.weights(operator)
        if activation.dtype == "float32" and weights is not None and "int" in weights.dtype:
            return "hybrid"
        return activation.dtype

    def weights(self, operator: GraphOperator) -> TensorInfo | None:
        """Constant weight tensor of a convolution or matrix product; None without one."""
        if (
            not traits_of(operator.name).weighted
            or len(operator.inputs) < 2
            or operator.inputs[1] < 0
        ):
            return None
        tensor = self.tensors[operator.inputs[1]]
        return tensor if tensor.constant else None


@dataclass(frozen=True)
class FlatModel:
    """A .tflite file as plain values.

    Attributes:
        size_bytes: size of the file.
        schema_version: version in the model table.
        subgraphs: at least one; the first is the one that runs.
        metadata: content by name.
        weights_bytes: bytes of the distinct buffers that tensors use.
        quantization_bytes: bytes of the scales (float32) and zero points (int64).
        names_bytes: bytes of the tensor names.
    """

    size_bytes: int
    schema_version: int
    subgraphs: tuple[Subgraph, ...]
    metadata: dict[str, bytes]
    weights_bytes: int
    quantization_bytes: int
    names_bytes: int


def read_flat_model(path: Path) -> FlatModel:
    """Read a .tflite file as plain values.

    Raises:
        InvalidInputError: no such file, a file of another format, or a damaged one.
    """
    data = read_bytes(path, "a .tflite file can be read", "give the path of such a file")
    if data[4:8] != FILE_IDENTIFIER:
        raise InvalidInputError(
            "a .tflite file has the FlatBuffer identifier TFL3",
            received=f"{path.name} with {len(data)} bytes and another beginning",
            remedy="give a TFLite file",
        )
    with reading(path, WHOLE, "write or download it again"):
        return _Reader(data).model()


class _Reader:
    """Walks one file; its accessors raise any exception where an offset or a length is wrong."""

    def __init__(self, data: bytes) -> None:
        from ai_edge_litert.schema_py_generated import Model

        self.data = data
        self.root: Any = Model.GetRootAs(data, 0)
        # Tables and vectors of a written file hardly ever share bytes, so all visited ones together
        # are about its size. This bounds the work and the memory that a damaged or hostile file can
        # ask for.
        self.left = 2 * len(data)
        self.quantization_bytes = 0
        self.addresses: set[int] = set()
        self.names_bytes = 0

    def model(self) -> FlatModel:
        self._spend_unread()
        codes = self._operator_codes()
        buffers = self._buffers()
        used: set[int] = set()
        subgraphs = tuple(
            self._subgraph(self.root.Subgraphs(i), codes, buffers, used)
            for i in range(self._count(self.root.SubgraphsLength()))
        )
        if not subgraphs:
            raise ValueError("no subgraph")
        return FlatModel(
            size_bytes=len(self.data),
            schema_version=self.root.Version(),
            subgraphs=subgraphs,
            metadata=self._metadata(buffers),
            weights_bytes=sum(len(buffers[i]) for i in used),
            quantization_bytes=self.quantization_bytes,
            names_bytes=self.names_bytes,
        )

    def _spend(self, size: int) -> int:
        self.left -= size
        if size < 0 or self.left < 0:
            raise ValueError("parts overlap, or reach beyond the end")
        return size

    def _count(self, length: int) -> int:
        """Length of a vector of tables, each of which takes an offset of at least 4 bytes."""
        self._spend(4 * length)
        return length

    def _text(self, value: bytes | None) -> str:
        self._spend(len(value or b""))
        return (value or b"").decode("utf-8", "replace")

    def _vector(self, value: np.ndarray | int) -> list[Any]:
        """A vector of numbers; the accessors give 0 for an absent one."""
        if isinstance(value, int):
            return []
        self._spend(value.nbytes)
        return list(value.tolist())

    def _spend_unread(self) -> None:
        """Bound the size of signatures, which only the object API reads."""
        for i in range(self._count(self.root.SignatureDefsLength())):
            signature = self.root.SignatureDefs(i)
            self._text(signature.SignatureKey())
            for j in range(self._count(signature.InputsLength())):
                self._text(signature.Inputs(j).Name())
            for j in range(self._count(signature.OutputsLength())):
                self._text(signature.Outputs(j).Name())

    def _operator_codes(self) -> list[tuple[str, int]]:
        """Name and version of each code."""
        names = builtin_operators()
        codes = []
        for i in range(self._count(self.root.OperatorCodesLength())):
            code = self.root.OperatorCodes(i)
            # Codes above 127 did not fit the first field; the larger of the two counts.
            builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            custom = self._text(code.CustomCode())
            name = custom if names[builtin] == "CUSTOM" and custom else names[builtin]
            codes.append((name, int(code.Version())))
        return codes

    def _buffers(self) -> list[memoryview]:
        whole = memoryview(self.data)
        buffers = []
        for i in range(self._count(self.root.BuffersLength())):
            buffer = self.root.Buffers(i)
            if buffer.Offset() > 1:  # of models above 2 GB: the bytes lie behind the FlatBuffer
                if buffer.Offset() + buffer.Size() > len(self.data):
                    raise ValueError("a buffer reaches beyond the end")
                content = whole[buffer.Offset() : buffer.Offset() + buffer.Size()]
            else:
                values = buffer.DataAsNumpy()
                content = memoryview(b"" if isinstance(values, int) else values)
            self._spend(len(content))
            buffers.append(content)
        return buffers

    def _metadata(self, buffers: list[memoryview]) -> dict[str, bytes]:
        entries = {}
        for i in range(self._count(self.root.MetadataLength())):
            entry = self.root.Metadata(i)
            entries[self._text(entry.Name())] = bytes(buffers[entry.Buffer()])
        return entries

    def _subgraph(
        self,
        graph: Any,
        codes: list[tuple[str, int]],
        buffers: list[memoryview],
        used: set[int],
    ) -> Subgraph:
        tensors = tuple(
            self._tensor(graph.Tensors(i), buffers, used)
            for i in range(self._count(graph.TensorsLength()))
        )
        operators = tuple(
            self._operator(graph.Operators(i), codes, len(tensors))
            for i in range(self._count(graph.OperatorsLength()))
        )
        inputs = self._indexes(graph.InputsAsNumpy(), 0, len(tensors))
        outputs = self._indexes(graph.OutputsAsNumpy(), 0, len(tensors))
        return Subgraph(tensors, operators, inputs, outputs)

    def _operator(self, operator: Any, codes: list[tuple[str, int]], tensors: int) -> GraphOperator:
        code = operator.OpcodeIndex()
        if not 0 <= code < len(codes):
            raise ValueError("an operator of no known code")
        name, version = codes[code]
        return GraphOperator(
            name,
            self._indexes(operator.InputsAsNumpy(), -1, tensors),
            self._indexes(operator.OutputsAsNumpy(), 0, tensors),
            version,
            _fused(name, operator.BuiltinOptions()),
        )

    def _indexes(self, value: np.ndarray | int, low: int, high: int) -> tuple[int, ...]:
        indexes = tuple(self._vector(value))
        if not all(low <= i < high for i in indexes):
            raise ValueError("an index of no tensor")
        return indexes

    def _tensor(self, tensor: Any, buffers: list[memoryview], used: set[int]) -> TensorInfo:
        shape = self._vector(tensor.ShapeAsNumpy())
        signature = self._vector(tensor.ShapeSignatureAsNumpy())
        if signature and len(signature) != len(shape):
            raise ValueError("a shape and its signature differ in rank")
        size = len(buffers[tensor.Buffer()])
        if size:
            used.add(tensor.Buffer())
        name = self._text(tensor.Name())
        self.names_bytes += len(tensor.Name() or b"")
        if tensor.Sparsity() is not None:
            self._count(tensor.Sparsity().DimMetadataLength())
        self._count(tensor.VariantTensorsLength())
        scale, zero_point, axis = self._quantization(tensor.Quantization())
        return TensorInfo(
            name=name,
            dtype=_tensor_types()[tensor.Type()],
            shape=tuple(None if s < 0 else s for s in signature or shape),
            scale=scale,
            zero_point=zero_point,
            axis=axis if len(scale) > 1 else None,
            constant=size > 0,
            size_bytes=size,
        )

    def _quantization(self, values: Any) -> tuple[tuple[float, ...], tuple[int, ...], int]:
        if values is None:
            return (), (), 0
        scale = tuple(self._vector(values.ScaleAsNumpy()))
        zero_point = tuple(self._vector(values.ZeroPointAsNumpy()))
        for vector in (values.ScaleAsNumpy(), values.ZeroPointAsNumpy()):
            if not isinstance(vector, int):  # tensors may share one
                address = int(vector.__array_interface__["data"][0])
                self.quantization_bytes += 0 if address in self.addresses else vector.nbytes
                self.addresses.add(address)
        return scale, zero_point, values.QuantizedDimension()


def _fused(name: str, table: Any) -> str:
    """Activation in the options of a pool or a concatenation."""
    from ai_edge_litert import schema_py_generated as schema

    kinds = {
        "AVERAGE_POOL_2D": schema.Pool2DOptions,
        "MAX_POOL_2D": schema.Pool2DOptions,
        "CONCATENATION": schema.ConcatenationOptions,
    }
    if name not in kinds or table is None:
        return "NONE"
    options = kinds[name]()
    options.Init(table.Bytes, table.Pos)
    return _activations()[options.FusedActivationFunction()]


@cache
def _activations() -> dict[int, str]:
    from ai_edge_litert.schema_py_generated import ActivationFunctionType

    values = vars(ActivationFunctionType).items()
    return {code: name for name, code in values if isinstance(code, int)}


@cache
def builtin_operators() -> dict[int, str]:
    """Names of the operators of the schema by their codes."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    return {code: name for name, code in vars(BuiltinOperator).items() if isinstance(code, int)}


@cache
def _tensor_types() -> dict[int, str]:
    """NumPy's name of each element type (``float32``, ``int8``, ...)."""
    from ai_edge_litert.schema_py_generated import TensorType

    return {code: name.lower() for name, code in vars(TensorType).items() if isinstance(code, int)}
