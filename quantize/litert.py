"""The float graph, or one operator of it, run by LiteRT from files in memory.

XNNPACK takes a quarter to a half of the time of TensorFlow's convolutions, and adds up each result
in one order, whatever the number of cores. A run takes one core: images are shared among threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from quantize.affine import QuantParams
from quantize.flatbuffer import FlatFile
from quantize.graph import Graph, Op, OpKind

_REDUCTIONS = ("REDUCE_MIN", "REDUCE_MAX")


@dataclass(frozen=True)
class Network:
    """A .tflite of a batch of one, and its interpreters that no thread is using at the moment."""

    content: bytes = field(repr=False)
    idle: SimpleQueue[Any] = field(default_factory=SimpleQueue, repr=False)

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Run image by image; may be called from many threads at once.

        Args:
            inputs: ``[batch, ...]`` in the order and types of the file.

        Returns:
            ``[batch, ...]`` for each output of the file, its own first axis of one left out.
        """
        interpreter = self._interpreter()
        sources = [end["index"] for end in interpreter.get_input_details()]
        ends = interpreter.get_output_details()
        results = [np.empty((len(inputs[0]), *e["shape"][1:]), e["dtype"]) for e in ends]
        for number in range(len(inputs[0])):
            for source, value in zip(sources, inputs, strict=True):
                interpreter.set_tensor(source, value[number : number + 1])
            interpreter.invoke()
            for end, result in zip(ends, results, strict=True):
                result[number] = interpreter.tensor(end["index"])()[0]
        self.idle.put(interpreter)
        return results

    def _interpreter(self) -> Any:
        from ai_edge_litert.interpreter import Interpreter

        try:
            return self.idle.get_nowait()
        except Empty:
            interpreter = Interpreter(model_content=self.content, num_threads=1)
            interpreter.allocate_tensors()
            return interpreter


@dataclass
class _Writing:
    """A float file while it is built.

    Attributes:
        graph: whose operators are written.
        value: gives stored tensors by name.
        file: what is written so far.
        index: number of a tensor by name.
    """

    graph: Graph
    value: Callable[[str], np.ndarray]
    file: FlatFile = field(default_factory=FlatFile)
    index: dict[str, int] = field(default_factory=lambda: {"": -1})

    def activation(self, name: str) -> int:
        self.index[name] = self.file.tensor(name, self.graph.tensors[name].shape, "float32")
        return self.index[name]

    def operator(self, op: Op) -> None:
        for name in op.inputs:
            if name not in self.index:
                value = self.value(name)
                self.index[name] = self.file.tensor(
                    name, value.shape, str(value.dtype), value=value
                )
        self.file.operator(
            op.kind,
            op.version,
            [self.index[name] for name in op.inputs],
            [self.activation(name) for name in op.outputs],
            op.options_type,
            op.options,
        )


def operator(
    graph: Graph,
    op: Op,
    value: Callable[[str], np.ndarray],
    params: Mapping[str, QuantParams],
) -> Network:
    """One operator, computed in float.

    Args:
        graph: where it stands.
        op: one that has an integer form.
        value: gives its constants by name.
        params: of activations that are read and given as integers.

    Returns:
        A network of the operator's activations, each named once in the order of its inputs.
    """
    writing = _Writing(graph, value)
    file = writing.file
    sources = []
    for name in dict.fromkeys(n for n in op.inputs if n and not graph.is_constant(n)):
        sources.append(writing.activation(name))
        if name in params:
            sources[-1] = _integers(file, graph, name, params[name])
            file.operator("DEQUANTIZE", 2, sources[-1:], [writing.index[name]])
    writing.operator(op)
    sinks = []
    for name in op.outputs:
        sinks.append(writing.index[name])
        if name in params:
            sinks[-1] = _integers(file, graph, name, params[name])
            file.operator("QUANTIZE", 2, [writing.index[name]], sinks[-1:])
    return Network(file.content(sources, sinks))


def _integers(file: FlatFile, graph: Graph, name: str, params: QuantParams) -> int:
    return file.tensor(f"{name}_integers", graph.tensors[name].shape, params.dtype.value, params)


@dataclass(frozen=True)
class Spans:
    """The float graph, which tells what the channels of every activation span.

    Each reduction stands behind the operator that it reads, while the values are in fast memory.

    Attributes:
        graph: canonical, of operators that have an integer form.
        network: its two outputs are the smallest and the largest values of all channels, one
            activation after the other.
    """

    graph: Graph
    network: Network

    @classmethod
    def of(cls, graph: Graph) -> Spans:
        """Write the file."""
        writing = _Writing(graph, graph.value)
        reduced: dict[str, list[int]] = {kind: [] for kind in _REDUCTIONS}
        source = writing.activation(graph.input)
        _reduce(writing, graph.input, reduced)
        for op in graph.ops:
            writing.operator(op)
            for name in op.outputs:
                _reduce(writing, name, reduced)
        channels = sum(graph.tensors[name].shape[-1] for name in graph.activations)
        sinks = []
        for kind, results in reduced.items():
            sinks.append(writing.file.tensor(f"all_{kind}", (1, channels), "float32"))
            writing.file.operator(
                OpKind.CONCATENATION, 1, results, sinks[-1:], "ConcatenationOptions", {"axis": 1}
            )
        return cls(graph, Network(writing.file.content([source], sinks)))

    def over(self, images: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Smallest and largest value of each channel over a batch.

        Args:
            images: float32 ``[batch, height, width, 3]``.

        Returns:
            Float32 ``[channels]`` by activation, the input included.
        """
        low, high = self.network.run([images])
        return self._apart(low.min(axis=0)), self._apart(high.max(axis=0))

    def _apart(self, values: np.ndarray) -> dict[str, np.ndarray]:
        names = self.graph.activations
        ends = np.cumsum([self.graph.tensors[name].shape[-1] for name in names])
        return dict(zip(names, np.split(values, ends[:-1]), strict=True))


def _reduce(writing: _Writing, name: str, reduced: Mapping[str, list[int]]) -> None:
    """Add the reductions of an activation to ``[1, channels]``, if it has other axes."""
    shape, file = writing.graph.tensors[name].shape, writing.file
    axes = f"axes of {len(shape)}"
    if axes not in writing.index:
        value = np.arange(1, len(shape) - 1, dtype=np.int32)
        writing.index[axes] = file.tensor(axes, value.shape, "int32", value=value)
    for kind, results in reduced.items():
        results.append(writing.index[name])
        if len(shape) > 2:
            read = (writing.index[name], writing.index[axes])
            results[-1] = file.tensor(f"{name}_{kind}", (1, shape[-1]), "float32")
            file.operator(kind, 1, read, results[-1:], "ReducerOptions")
