"""The canonical float graph, which plans are made for and int8 files are rendered from.

Batch norms are folded and activations fused, as in the float32 files of TensorFlow Lite's
converter.
Operators keep the converter's names and options (tensorflow/lite/schema/schema.fbs), so that a
graph can be written back without loss; tensors have short names that do not depend on the process.
Shapes are those of a batch of one, ``[1, height, width, channels]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from foundation.ends import INPUT_NAME, OUTPUT_NAME
from network.operators import Fused, OperatorTraits, traits_of

__all__ = ["INPUT_NAME", "OUTPUT_NAME", "Graph", "Op", "Tensor"]


@dataclass(frozen=True)
class Op:
    """One operator.

    Attributes:
        kind: an ``OpKind``, or the converter's name of one that has no integer form here.
        inputs: tensor names; empty for an optional one that is absent.
        outputs: tensor names.
        options: fields of the schema's options table, by the schema's names (``strideH``, ...).
        options_type: name of that table; empty for an operator without options.
        version: version of the operator in the schema.
        computed_weight: whether the network computes the weight or the bias, which are stored in
            other operators of the kind.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    options_type: str = ""
    version: int = 1
    computed_weight: bool = False

    @property
    def name(self) -> str:
        """Operator's name: the name of its first output."""
        return self.outputs[0]

    @property
    def traits(self) -> OperatorTraits:
        """Row of the operator's kind in ``network.operators``."""
        return traits_of(self.kind)

    @property
    def file_inputs(self) -> tuple[str, ...]:
        """Inputs in the order of a .tflite file, which is another one for some weighted kinds."""
        return self.traits.in_file_order(self.inputs)

    @property
    def fused(self) -> Fused:
        """Activation that is fused into the operator."""
        return tuple(Fused)[int(self.options.get("fusedActivationFunction", 0))]

    @property
    def data_positions(self) -> tuple[int, ...]:
        """Positions of its inputs that hold numbers, activations or stored ones."""
        data = self.traits.data
        return tuple(range(len(self.inputs))) if data is None else data

    @property
    def is_weighted(self) -> bool:
        """Whether its second input is a stored weight."""
        return self.traits.weighted and not self.computed_weight

    @property
    def channel_axis(self) -> int:
        """Axis of a weighted operator's weight that counts the output channels."""
        assert self.traits.channel_axis is not None
        return self.traits.channel_axis


@dataclass(frozen=True)
class Tensor:
    """A value of the graph.

    Attributes:
        name: name, unique in the graph.
        shape: shape for a batch of one.
        value: float32, or int32 for shapes and axes; None for an activation.
        dtype: NumPy's name of an activation's type: float32 unless it holds places, comparisons or
            the like, which never become int8.
    """

    name: str
    shape: tuple[int, ...]
    value: np.ndarray | None = field(default=None, repr=False)
    dtype: str = "float32"

    @property
    def batched(self) -> bool:
        """Whether the first axis counts images: it is one for a batch of one."""
        return self.shape[:1] == (1,)


@dataclass(frozen=True)
class Graph:
    """Network of one input, its operators in an order in which they can run.

    Attributes:
        ops: operators.
        tensors: every tensor that an operator reads or computes, by name.
        input: name of the image, ``[1, height, width, 3]``.
        outputs: names of the outputs, in the model's order: different results of operators, of any
            shape. An output may be read by operators as well.

    Raises:
        ValueError: no output, or the same one twice.
    """

    ops: tuple[Op, ...]
    tensors: Mapping[str, Tensor] = field(repr=False)
    input: str
    outputs: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.outputs or len(set(self.outputs)) < len(self.outputs):
            raise ValueError(f"outputs {self.outputs}")

    @property
    def output(self) -> str:
        """Name of the first output; the only one of most networks."""
        return self.outputs[0]

    @cached_property
    def producers(self) -> dict[str, Op]:
        """Operator that computes each activation; the input has none."""
        return {name: op for op in self.ops for name in op.outputs}

    @cached_property
    def readers(self) -> dict[str, tuple[Op, ...]]:
        """Operators that read each tensor, in order; empty only for an output."""
        readers: dict[str, list[Op]] = {name: [] for name in self.tensors}
        for op in self.ops:
            for name in dict.fromkeys(op.inputs):
                if name:
                    readers[name].append(op)
        return {name: tuple(ops) for name, ops in readers.items()}

    def sole_reader(self, name: str) -> Op | None:
        """The only operator that reads an activation; None for an output or with several reads."""
        readers = self.readers[name]
        if name in self.outputs or len(readers) != 1 or readers[0].inputs.count(name) != 1:
            return None
        return readers[0]

    @cached_property
    def activations(self) -> tuple[str, ...]:
        """Names of the float activations, the input first, in the order of computation."""
        computed = (name for op in self.ops for name in op.outputs)
        return (self.input, *(n for n in computed if self.tensors[n].dtype == "float32"))

    @property
    def weighted(self) -> tuple[Op, ...]:
        """Convolutions and matrix products with stored weights."""
        return tuple(op for op in self.ops if op.is_weighted)

    def value(self, name: str) -> np.ndarray:
        """Stored value of a constant.

        Raises:
            KeyError: a name of no tensor, or of an activation.
        """
        value = self.tensors[name].value
        if value is None:
            raise KeyError(name)
        return value

    def is_constant(self, name: str) -> bool:
        """Whether a tensor's value is stored."""
        return bool(name) and self.tensors[name].value is not None

    def weight(self, op: Op) -> np.ndarray:
        """Float32 weight of a weighted operator, in the schema's order of axes."""
        return self.value(op.inputs[1])

    def bias(self, op: Op) -> np.ndarray:
        """Float32 bias ``[channels]``; zeros where the operator has none."""
        if len(op.inputs) > 2 and op.inputs[2]:
            return self.value(op.inputs[2])
        channels = self.weight(op).shape[op.channel_axis]
        return np.zeros(channels, np.float32)

    def with_values(self, values: Mapping[str, np.ndarray]) -> Graph:
        """Same graph with these values of constants, by tensor name."""
        tensors = dict(self.tensors)
        for name, value in values.items():
            tensors[name] = replace(tensors[name], value=value)
        return replace(self, tensors=tensors)

    def pruned(self, ops: Iterable[Op]) -> Graph:
        """Graph of only these operators, without tensors that none of them needs."""
        remaining = tuple(ops)
        names = {self.input, *self.outputs}
        names.update(name for op in remaining for name in (*op.inputs, *op.outputs) if name)
        return replace(
            self, ops=remaining, tensors={n: t for n, t in self.tensors.items() if n in names}
        )
