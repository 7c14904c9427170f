"""Contents of a written file, in terms that fit every format."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class TensorInfo:
    """An input, output, weight or activation.

    Attributes:
        name: name in the file.
        dtype: NumPy's name of the element type.
        shape: sizes; None for a free axis.
        scale: one scale for the tensor or one per channel; empty when not quantized.
        zero_point: one zero point for each scale.
        axis: axis of the channels that the scales belong to; None for one scale per tensor.
        constant: whether the values are stored in the file.
        size_bytes: bytes of the stored values, 0 unless constant.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    scale: tuple[float, ...] = ()
    zero_point: tuple[int, ...] = ()
    axis: int | None = None
    constant: bool = False
    size_bytes: int = 0


@dataclass(frozen=True)
class OperatorInfo:
    """Operators of one kind and type.

    Attributes:
        name: TFLite's builtin name or ONNX's ``op_type``.
        compute: type the operator computes in, NumPy's name (``int8``, ``float32``, ``int16``,
            ``float16``); ``hybrid`` for float activations with int8 weights.
        count: number of such operators.
    """

    name: str
    compute: str
    count: int


@dataclass(frozen=True)
class Inspection:
    """Contents of a file.

    Attributes:
        format: name of the export target.
        size_bytes: size of the file.
        inputs: inputs of the graph.
        outputs: outputs of the graph.
        operators: operators by name and type.
        tensors: tensors of the graph, constants included.
        size_by_part: bytes of ``weights``, ``quantization`` (scales and zero points), ``names``,
            ``metadata`` and ``other``; their sum is ``size_bytes``.
        opset: format or opset version.
    """

    format: str
    size_bytes: int
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    operators: tuple[OperatorInfo, ...]
    tensors: tuple[TensorInfo, ...]
    size_by_part: dict[str, int]
    opset: str

    @property
    def is_float(self) -> bool:
        """Whether every operator computes in floats, so that the file can be quantized."""
        return all(operator.compute.startswith("float") for operator in self.operators)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)
