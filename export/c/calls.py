"""Calls of the C kernels, and the operator that one is made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from export.c.windows import Window
from foundation.errors import UnsupportedError
from network.activation_limits import activation_limits
from network.graph import Op
from network.oracle.call import Call as OracleCall
from network.oracle.fixed_point import Multiplier
from network.oracle.model import IntegerTensor

AXES = 6
"""Axes of the kernels on arrays of any rank; fewer are filled up with ones in front."""
_MOST = 2**31 - 1


@dataclass(frozen=True)
class Constant:
    """Numbers in flash.

    Attributes:
        ctype: type in C: ``int8_t`` or ``int32_t``.
        values: numbers, in the order of the memory.
    """

    ctype: str
    values: np.ndarray = field(repr=False)

    @classmethod
    def of(cls, values: np.ndarray | tuple[int, ...], ctype: str) -> Constant:
        """Numbers of any shape and integer type, which fit the type in C."""
        array = np.asarray(values).reshape(-1).astype(np.int64)
        return cls(ctype, array)


Field = int | tuple[int, ...] | Constant | tuple[Constant, ...]
"""Value of a field of a kernel's parameters."""


@dataclass(frozen=True)
class KernelCall:
    """One call of a kernel.

    Attributes:
        kernel: name of the function, without prefix.
        params: name of the type of its parameters, without prefix.
        fields: values of the parameters, by name.
        sources: names of the tensors that it reads; a constant where an operand is stored.
        result: name of the tensor that it writes.
        rows: windows along the rows of the sources; None for a kernel on whole tensors.
        height: rows of the result, for a kernel on rows.
        in_chain: the call in a chain that runs by rows; None where it is this one.
    """

    kernel: str
    params: str
    fields: Mapping[str, Field] = field(repr=False)
    sources: tuple[str | Constant, ...]
    result: str
    rows: Window | None = None
    height: int = 0
    in_chain: KernelCall | None = None


@dataclass(frozen=True)
class Site:
    """An operator of an int8 network with its tensors.

    Attributes:
        op: kind, options and names.
        tensors: tensors of the network by name.
    """

    op: Op
    tensors: Mapping[str, IntegerTensor] = field(repr=False)

    @property
    def call(self) -> OracleCall:
        """The operator with the values of its constants, as the integer interpreter has it."""
        inputs = [self.tensors[name] if name else None for name in self.op.inputs]
        results = [self.tensors[name] for name in self.op.outputs]
        return OracleCall(
            self.op,
            tuple(tensor.value if tensor else None for tensor in inputs),
            tuple(tensor.params if tensor else None for tensor in inputs),
            tuple(tensor.params for tensor in results),
            tuple(tensor.shape for tensor in results),
        )

    def input(self, position: int = 0) -> IntegerTensor:
        """Tensor of an input."""
        return self.tensors[self.op.inputs[position]]

    def source(self, position: int = 0) -> str | Constant:
        """Input as an argument of a kernel: the name of an activation, or stored numbers."""
        tensor = self.input(position)
        return tensor.name if tensor.value is None else Constant.of(tensor.value, "int8_t")

    @property
    def result(self) -> IntegerTensor:
        """Tensor of the first result."""
        return self.tensors[self.op.outputs[0]]

    def limits(self) -> dict[str, Field]:
        """Zero point of the result and the integers that the fused activation lets through."""
        params = self.call.result
        low, high = activation_limits(self.op.fused, params)
        return {"out_zero": params.zero_point[0], "low": low, "high": high}

    def refused(self, received: str) -> UnsupportedError:
        """Error for a form of an operator that no kernel computes."""
        return UnsupportedError(
            f"C kernels compute {self.op.kind} in int8 and in its usual forms alone",
            received=f"{self.op.name} with {received}",
            remedy="replace that layer, or ship for microcontroller",
        )

    def require_int8(self) -> None:
        """Refuse activations of another type than int8, or without one scale."""
        names = [self.op.inputs[i] for i in self.op.data_positions if i < len(self.op.inputs)]
        for name in (*names, *self.op.outputs):
            tensor = self.tensors[name] if name else None
            if tensor is None or (tensor.value is not None and self.op.is_weighted):
                continue
            if tensor.dtype != "int8" or tensor.params is None or tensor.params.per_axis:
                raise self.refused(f"{name} in {tensor.dtype}")


Lowering = Callable[[Site], tuple[KernelCall, ...]]
"""Operator -> calls in order; none for an operator whose result is its input's memory."""


def scaled(name: str, multiplier: Multiplier) -> dict[str, Field]:
    """Fields ``multiplierNAME`` and ``shiftNAME`` of one real number."""
    return {f"multiplier{name}": multiplier.mantissa[0], f"shift{name}": multiplier.shift[0]}


def negated(multiplier: Multiplier) -> Multiplier:
    """Multiplier of the opposite number."""
    return replace(multiplier, mantissa=tuple(-mantissa for mantissa in multiplier.mantissa))


def six(values: tuple[int, ...], filling: int) -> tuple[int, ...]:
    """Sizes or strides of ``AXES`` axes, filled up in front.

    Raises:
        ValueError: more axes.
    """
    if len(values) > AXES:
        raise ValueError(f"{len(values)} axes")
    return (filling,) * (AXES - len(values)) + tuple(int(v) for v in values)


def strides_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Distances of neighbours along each axis, in numbers."""
    steps = [1]
    for size in reversed(shape[1:]):
        steps.append(steps[-1] * size)
    return tuple(reversed(steps))[-len(shape) :] if shape else ()


def require_int32(site: Site, largest: np.ndarray) -> None:
    """Refuse sums that may leave int32, as damaged weights give them.

    Args:
        site: operator.
        largest: largest magnitude of each sum.
    """
    if (largest > _MOST).any():
        raise site.refused(f"sums of up to {int(largest.max()):,}")
