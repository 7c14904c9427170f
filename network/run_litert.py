"""The float graph, or one operator of it, run by LiteRT from files in memory.

XNNPACK takes a quarter to a half of the time of TensorFlow's convolutions, and adds up each result
in one order, whatever the number of cores. A run takes one core; several images run in threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from network.affine import QuantParams
from network.graph import Graph, Op
from network.integer_forms import measured
from network.operators import OpKind
from network.tflite.writer import FlatFile

_REDUCTIONS = ("REDUCE_MIN", "REDUCE_MAX")


@dataclass(frozen=True)
class Network:
    """A .tflite of a batch of one, and interpreters of it.

    Attributes:
        content: bytes of the file.
        sources: names that its inputs have in the graph, in order.
        idle: interpreters that no thread is using.
    """

    content: bytes = field(repr=False)
    sources: tuple[str, ...]
    idle: SimpleQueue[Any] = field(default_factory=SimpleQueue, repr=False)

    def run(self, values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run image by image; may be called from many threads at once.

        Args:
            values: ``[batch, ...]`` for each of the sources at least, in the types of the file.

        Returns:
            ``[batch, ...]`` for each output of the file, without the file's first axis where that
            is one, the batch.
        """
        interpreter = self._interpreter()
        ends = interpreter.get_output_details()
        count = len(values[self.sources[0]])
        results = [np.empty((count, *_of_each(end)), end["dtype"]) for end in ends]
        inputs = [
            (end, values[name])
            for end, name in zip(interpreter.get_input_details(), self.sources, strict=True)
        ]
        for number in range(count):
            for end, value in inputs:
                one = value[number : number + 1] if _is_batched(end) else value[number]
                interpreter.set_tensor(end["index"], one)
            interpreter.invoke()
            for end, result in zip(ends, results, strict=True):
                _copy_output(interpreter, end, result, number)
        self.idle.put(interpreter)
        return results

    def load(self) -> None:
        """Prepare an interpreter; raises RuntimeError or ValueError where LiteRT cannot."""
        self.idle.put(self._interpreter())

    def _interpreter(self) -> Any:
        from ai_edge_litert.interpreter import Interpreter

        try:
            return self.idle.get_nowait()
        except Empty:
            interpreter = Interpreter(model_content=self.content, num_threads=1)
            interpreter.allocate_tensors()
            return interpreter


def _copy_output(interpreter: Any, end: Mapping[str, Any], result: np.ndarray, number: int) -> None:
    """Copy an output to its place among those of all images.

    No view of the interpreter's memory outlives this function: the next thread that takes the
    interpreter could not run it.
    """
    one = interpreter.tensor(end["index"])()
    result[number] = one[0] if _is_batched(end) else one


def _is_batched(end: Mapping[str, Any]) -> bool:
    """Whether the first axis of an input or output is the batch of one."""
    return len(end["shape"]) > 0 and end["shape"][0] == 1


def _of_each(end: Mapping[str, Any]) -> tuple[int, ...]:
    """Shape of an input or output for each image."""
    shape = tuple(int(size) for size in end["shape"])
    return shape[1:] if _is_batched(end) else shape


@dataclass
class _Writing:
    """A float file while it is built.

    Attributes:
        graph: graph whose operators are written.
        value: function from a constant's name to its value.
        file: file with the tensors and operators so far.
        index: number of each tensor by name.
    """

    graph: Graph
    value: Callable[[str], np.ndarray]
    file: FlatFile = field(default_factory=FlatFile)
    index: dict[str, int] = field(default_factory=lambda: {"": -1})

    def rounded(self, name: str, params: QuantParams) -> None:
        """Let all that reads an activation from now on read what its integers stand for."""
        self.dequantized(name, self.quantized(name, params))

    def quantized(self, name: str, params: QuantParams) -> int:
        """Number of the tensor with an activation's integers."""
        integers = _integers(self.file, self.graph, name, params)
        self.file.operator("QUANTIZE", 2, [self.index[name]], [integers])
        return integers

    def dequantized(self, name: str, integers: int) -> None:
        """Let all that reads an activation from now on read what these integers stand for."""
        shape = self.graph.tensors[name].shape
        self.index[name] = self.file.tensor(f"{name}_rounded", shape, "float32")
        self.file.operator("DEQUANTIZE", 2, [integers], [self.index[name]])

    def activation(self, name: str) -> int:
        tensor = self.graph.tensors[name]
        self.index[name] = self.file.tensor(name, tensor.shape, tensor.dtype)
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
            [self.index[name] for name in op.file_inputs],
            [self.activation(name) for name in op.outputs],
            op.options_type,
            op.options,
        )


def network_of(
    graph: Graph,
    ops: Sequence[Op],
    *,
    results: Sequence[str] = (),
    value: Callable[[str], np.ndarray] | None = None,
    params: Mapping[str, QuantParams] | None = None,
) -> Network:
    """Network of some consecutive operators, computed in float.

    Args:
        graph: graph of the operators.
        ops: at least one operator, of any kind that LiteRT runs.
        results: names of the activations that it gives; empty for the results of the last operator.
        value: function from a constant's name to its value; None for the graph's values.
        params: parameters of the activations that are integers in the inputs and outputs; between
            operators stands what their integers stand for.

    Returns:
        A network from the activations that they read to these results.
    """
    writing = _Writing(graph, value or graph.value)
    file, params = writing.file, params or {}
    computed = {name for op in ops for name in op.outputs}
    read = dict.fromkeys(name for op in ops for name in op.inputs if name)
    names = tuple(n for n in read if n not in computed and not graph.is_constant(n))
    sources = []
    for name in names:
        sources.append(writing.activation(name))
        if name in params:
            sources[-1] = _integers(file, graph, name, params[name])
            file.operator("DEQUANTIZE", 2, sources[-1:], [writing.index[name]])
    wanted = tuple(results or ops[-1].outputs)
    read_inside = {name for op in ops for name in op.inputs}
    integers = {}
    for op in ops:
        writing.operator(op)
        for name in op.outputs:
            if name in params and (name in wanted or name in read_inside):
                integers[name] = writing.quantized(name, params[name])
            if name in params and name in read_inside:
                writing.dequantized(name, integers[name])
    sinks = [integers.get(name, writing.index[name]) for name in wanted]
    return Network(file.content(sources, sinks), names)


def rounded_network(graph: Graph, params: Mapping[str, QuantParams]) -> Network:
    """The whole network, with activations replaced by the numbers that their integers stand for.

    Args:
        graph: canonical; its constants are the numbers that are computed with.
        params: parameters of these activations, of one scale each; others stay as they are.

    Returns:
        A network from float input to float outputs.
    """
    writing = _Writing(graph, graph.value)
    source = writing.activation(graph.input)
    if graph.input in params:
        writing.rounded(graph.input, params[graph.input])
    for op in graph.ops:
        writing.operator(op)
        for name in op.outputs:
            if name in params:
                writing.rounded(name, params[name])
    sinks = [writing.index[name] for name in graph.outputs]
    return Network(writing.file.content([source], sinks), (graph.input,))


def constant_results(graph: Graph, op: Op) -> list[np.ndarray]:
    """Results of an operator that reads stored values alone."""
    writing = _Writing(graph, graph.value)
    writing.operator(op)
    content = writing.file.content([], [writing.index[name] for name in op.outputs])
    interpreter = Network(content, ())._interpreter()
    interpreter.invoke()
    ends = interpreter.get_output_details()
    return [np.array(interpreter.get_tensor(end["index"])) for end in ends]


def rounding(graph: Graph, name: str, params: QuantParams) -> Network:
    """Network from an activation to the numbers that its integers stand for."""
    writing = _Writing(graph, graph.value)
    source = writing.activation(name)
    writing.rounded(name, params)
    return Network(writing.file.content([source], [writing.index[name]]), (name,))


def _integers(file: FlatFile, graph: Graph, name: str, params: QuantParams) -> int:
    return file.tensor(f"{name}_integers", graph.tensors[name].shape, params.dtype.value, params)


@dataclass(frozen=True)
class Spans:
    """The float graph with reductions that give the extremes of every activation's channels.

    Each reduction follows the operator that it reads, while the values are in fast memory.

    Attributes:
        graph: canonical.
        network: its two outputs are the smallest and the largest values of all channels, one
            activation after the other.
    """

    graph: Graph
    network: Network

    @classmethod
    def of(cls, graph: Graph) -> Spans:
        """Network that measures the activations of a graph."""
        writing = _Writing(graph, graph.value)
        reduced: dict[str, list[int]] = {kind: [] for kind in _REDUCTIONS}
        source = writing.activation(graph.input)
        names = frozenset(measured(graph))
        _reduce(writing, graph.input, reduced)
        for op in graph.ops:
            writing.operator(op)
            for name in op.outputs:
                if name in names:
                    _reduce(writing, name, reduced)
        channels = sum(_channels(graph, name) for name in names)
        sinks = []
        for kind, results in reduced.items():
            sinks.append(writing.file.tensor(f"all_{kind}", (1, channels), "float32"))
            writing.file.operator(
                OpKind.CONCATENATION, 1, results, sinks[-1:], "ConcatenationOptions", {"axis": 1}
            )
        return cls(graph, Network(writing.file.content([source], sinks), (graph.input,)))

    def over(self, images: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Smallest and largest value of each channel over a batch.

        Args:
            images: float32 ``[batch, height, width, 3]``.

        Returns:
            Float32 ``[channels]`` by activation, the input included.
        """
        low, high = self.network.run({self.graph.input: images})
        return self._by_activation(low.min(axis=0)), self._by_activation(high.max(axis=0))

    def _by_activation(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Values of all channels ``[all channels]`` as ``[channels]`` by activation."""
        names = measured(self.graph)
        ends = np.cumsum([_channels(self.graph, name) for name in names])
        return dict(zip(names, np.split(values, ends[:-1]), strict=True))


def _reduce(writing: _Writing, name: str, reduced: Mapping[str, list[int]]) -> None:
    """Add the reductions of an activation to ``[1, channels]``, if it has other axes."""
    tensor, file = writing.graph.tensors[name], writing.file
    shape, first = tensor.shape, int(tensor.batched)
    axes = f"axes of {len(shape)} from {first}"
    if axes not in writing.index:
        value = np.arange(first, len(shape) - 1, dtype=np.int32)
        writing.index[axes] = file.tensor(axes, value.shape, "int32", value=value)
    for kind, results in reduced.items():
        results.append(writing.index[name])
        if len(shape) > 1 + first:
            read = (writing.index[name], writing.index[axes])
            left = (*shape[:first], shape[-1])
            results[-1] = file.tensor(f"{name}_{kind}", left, "float32")
            file.operator(kind, 1, read, results[-1:], "ReducerOptions")
        if not (tensor.batched and len(shape) > 1):
            results[-1] = _as_row(
                writing, f"{name}_{kind}_row", results[-1], _channels(writing.graph, name)
            )


def _as_row(writing: _Writing, name: str, values: int, channels: int) -> int:
    """Number of a tensor ``[1, channels]`` with values that have no batch axis, or no other."""
    file = writing.file
    value = np.array([1, channels], np.int32)
    stored = file.tensor(f"{name}_shape", value.shape, "int32", value=value)
    row = file.tensor(name, (1, channels), "float32")
    file.operator(OpKind.RESHAPE, 1, [values, stored], [row], "ReshapeOptions")
    return row


def _channels(graph: Graph, name: str) -> int:
    """Number of channels of an activation: size of its last axis, 1 for a single number."""
    return (graph.tensors[name].shape or (1,))[-1]
