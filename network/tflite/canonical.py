"""A float32 .tflite as the canonical graph that plans are decided on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from foundation.ends import output_names
from foundation.errors import UnsupportedError
from foundation.foreign import printable, reading
from network.batching import with_batch_axis
from network.folding import folded
from network.graph import INPUT_NAME, Graph, Op, Tensor
from network.idioms import idiomatic
from network.operators import OpKind, traits_of
from network.rewriting import rewritten
from network.tflite.naming import Names, short_name
from network.tflite.outputs import with_own_outputs
from network.tflite.reader import WHOLE, builtin_operators
from network.tflite.writer import TYPE_NAMES

_ROLES = {1: "weight", 2: "bias"}


def canonical_graph(content: bytes, outputs: Sequence[str] = ()) -> Graph:
    """Read the converter's float32 file.

    Activations are named after their operator's first layer, constants after their reader; the
    input is ``image``, a single output ``scores`` (``foundation.ends``). Each weighted operator has
    its own weight and bias, a bias of zeros where the file has none: the file stores equal ones
    once, and integers of two operators differ. A reshape that only drops the batch of one before an
    addition or a product is left out, since it would not hold for other batches. What has no
    good integer form is rewritten (``network.rewriting``).

    Args:
        content: a whole float32 .tflite of one subgraph and one input.
        outputs: names of the outputs in the file's order; empty for those of their tensors.

    Returns:
        The graph, without unused tensors. An output that is the input, or another output, is the
        result of a reshape to the same shape.

    Raises:
        UnsupportedError: several subgraphs or inputs, or a custom operator.
        InvalidInputError: a file that is not a whole FlatBuffer of the TFLite schema.
    """
    with reading("the float32 network", WHOLE, "export the model again"):
        return _read(content, outputs)


def _read(content: bytes, outputs: Sequence[str]) -> Graph:
    graph = graph_of(object_form(content), outputs)
    _refuse_custom(graph)
    return in_canonical_form(graph)


def _refuse_custom(graph: Graph) -> None:
    known = frozenset(builtin_operators().values())
    for op in graph.ops:
        if op.kind not in known:
            raise UnsupportedError(
                "the operators of a network are LiteRT's own",
                received=f"the custom {printable(op.kind)}, which gives {printable(op.name)}",
                remedy="replace that layer by one without custom and TensorFlow (Flex) operators",
            )


def object_form(content: bytes) -> Any:
    """A file as the schema's objects (``ModelT``)."""
    from ai_edge_litert.tools import flatbuffer_utils

    return flatbuffer_utils.read_model_from_bytearray(bytearray(content))


def graph_of(model: Any, outputs: Sequence[str] = ()) -> Graph:
    """Graph of a file in object form, whose constants are float32 or integers, before any rewrite.

    Raises:
        UnsupportedError: several subgraphs or inputs.
    """
    if len(model.subgraphs) != 1 or len(model.subgraphs[0].inputs) != 1:
        raise UnsupportedError(
            "a network to quantize is one graph of one image",
            received=f"{len(model.subgraphs)} graphs",
            remedy="build it without control flow: a recurrent layer (LSTM, GRU) is a loop",
        )
    with_own_outputs(model)
    return _Reading(model, tuple(outputs)).graph()


def in_canonical_form(graph: Graph) -> Graph:
    """Graph from ``graph_of`` with the rewrites that ``canonical_graph`` describes."""
    graph = with_batch_axis(_with_batch(idiomatic(folded(graph))))
    return _with_own_operands(rewritten(_with_vectors_spread(graph)))


@dataclass
class _Reading:
    """One file while it is read."""

    model: Any
    outputs: tuple[str, ...]

    def graph(self) -> Graph:
        source = self.model.subgraphs[0]
        names = self._names(source)
        tensors: dict[str, Tensor] = {}
        for index, tensor in enumerate(source.tensors):
            shape = tuple(int(size) for size in (tensor.shape if tensor.shape is not None else ()))
            value = self._value(tensor, shape)
            dtype = TYPE_NAMES.get(int(tensor.type), f"type {int(tensor.type)}")
            tensors[names[index]] = Tensor(names[index], shape, value, dtype)
        ops = [self._op(operator, names, tensors) for operator in source.operators]
        graph = Graph(
            tuple(ops), tensors, INPUT_NAME, tuple(names[int(index)] for index in source.outputs)
        )
        return graph.pruned(ops)

    def _op(self, operator: Any, names: Mapping[int, str], tensors: dict[str, Tensor]) -> Op:
        code = self.model.operatorCodes[operator.opcodeIndex]
        options = operator.builtinOptions
        file_inputs = tuple(names[int(i)] if i >= 0 else "" for i in operator.inputs)
        outputs = tuple(names[int(i)] for i in operator.outputs)
        kind = builtin_name(code)
        inputs = list(traits_of(kind).from_file_order(file_inputs))
        weighted = traits_of(kind).weighted
        computed = weighted and any(n and tensors[n].value is None for n in inputs[1:3])
        if weighted and not computed:
            inputs = _own_constants(kind, inputs, outputs[0], tensors)
        return Op(
            kind=kind,
            inputs=tuple(inputs),
            outputs=outputs,
            options={} if options is None else _plain(options),
            options_type="" if options is None else type(options).__name__.removesuffix("T"),
            version=int(code.version),
            computed_weight=computed,
        )

    def _value(self, tensor: Any, shape: tuple[int, ...]) -> np.ndarray | None:
        data = self.model.buffers[tensor.buffer].data
        if data is None or len(data) == 0:
            return None
        dtype = TYPE_NAMES.get(int(tensor.type))
        if dtype is None:
            raise UnsupportedError(
                "a network to quantize stores numbers",
                received=f"a constant of TFLite's type {int(tensor.type)}",
                remedy="give the float32 network",
            )
        return np.array(np.frombuffer(bytes(data), dtype)).reshape(shape)

    def _names(self, graph: Any) -> Names[int]:
        """Short unique names by number; a constant is named after its reader and its role."""
        ends = self.outputs or output_names(
            short_name(graph.tensors[int(index)].name) for index in graph.outputs
        )
        results = dict(zip(map(int, graph.outputs), ends, strict=True))
        names = Names({int(graph.inputs[0]): INPUT_NAME, **results})
        for operator in graph.operators:
            for index in operator.outputs:
                names.give(int(index), short_name(graph.tensors[index].name))
        for operator in graph.operators:
            result = names[int(operator.outputs[0])]
            weighted = traits_of(
                builtin_name(self.model.operatorCodes[operator.opcodeIndex])
            ).weighted
            for position, index in enumerate(operator.inputs):
                role = _ROLES.get(position) if weighted else None
                if index >= 0:
                    names.give(int(index), f"{result}.{role or f'const{position}'}")
        for index in range(len(graph.tensors)):
            names.give(index, f"unused_{index}")
        return names


def _own_constants(
    kind: str, inputs: list[str], result: str, tensors: dict[str, Tensor]
) -> list[str]:
    """Inputs of a weighted operator with its own copies of constants."""
    names = inputs[:2]
    weight = tensors[inputs[1]]
    if weight.value is not None:
        names[1] = f"{result}.weight"
        tensors[names[1]] = Tensor(names[1], weight.shape, weight.value)
    channels = weight.shape[traits_of(kind).channel_axis or 0]
    bias = tensors[inputs[2]] if len(inputs) > 2 and inputs[2] else None
    if bias is not None and bias.value is None:
        return [*names, *inputs[2:]]
    value = np.zeros(channels, np.float32) if bias is None else bias.value
    name = f"{result}.bias"
    tensors[name] = Tensor(name, (channels,), value)
    return [*names, name, *inputs[3:]]


def _with_batch(graph: Graph) -> Graph:
    """Graph without reshapes that drop the batch of one before an elementwise operator."""
    remaining: list[Op] = []
    dropped: dict[str, str] = {}
    for op in graph.ops:
        if op.kind == OpKind.RESHAPE and _drops_batch(graph, op):
            dropped[op.name] = dropped.get(op.inputs[0], op.inputs[0])
        else:
            inputs = tuple(dropped.get(name, name) for name in op.inputs)
            remaining.append(replace(op, inputs=inputs) if inputs != op.inputs else op)
    return graph.pruned(remaining) if dropped else graph


def _drops_batch(graph: Graph, op: Op) -> bool:
    """Whether a reshape only drops leading axes of one, for readers that broadcast."""
    before, after = (graph.tensors[name].shape for name in (op.inputs[0], op.name))
    readers = graph.readers[op.name]
    return (
        before[:1] == (1,)
        and before[len(before) - len(after) :] == after
        and len(after) < len(before)
        and set(before[: len(before) - len(after)]) == {1}
        and op.name not in graph.outputs
        and all(
            reader.traits is not None
            and reader.traits.broadcasts
            and len(graph.tensors[reader.name].shape) == len(before)
            for reader in readers
        )
    )


def _with_vectors_spread(graph: Graph) -> Graph:
    """Graph whose vectors ``[1, c]`` are ``[1, 1, 1, c]`` where they meet ``[1, h, w, c]``.

    The converter omits the reshape before such a product, which is right only for a batch of one.
    The same holds for operands of any two ranks.
    """
    ops: list[Op] = []
    tensors = dict(graph.tensors)
    for op in graph.ops:
        rank = len(graph.tensors[op.name].shape)
        if op.traits.broadcasts and rank > 2:
            inputs = []
            for name in op.inputs:
                shape = tensors[name].shape
                if not graph.is_constant(name) and 2 <= len(shape) < rank:
                    shape = (1,) * (rank + 1 - len(shape)) + shape[1:]
                    name = _spread(name, shape, ops, tensors)
                inputs.append(name)
            op = replace(op, inputs=tuple(inputs))
        ops.append(op)
    return replace(graph, ops=tuple(ops), tensors=tensors)


def _with_own_operands(graph: Graph) -> Graph:
    """Graph in which each operator has its own stored operands that share a scale with others.

    The integers of such an operand depend on the operator, and a file may store equal ones once.
    """
    ops: list[Op] = []
    tensors = dict(graph.tensors)
    for op in graph.ops:
        inputs = list(op.inputs)
        for position in op.data_positions if op.traits.tied else ():
            value = tensors[inputs[position]].value
            if value is not None and value.dtype == np.float32:
                inputs[position] = f"{op.name}.operand{position}"
                tensors[inputs[position]] = Tensor(inputs[position], value.shape, value)
        ops.append(replace(op, inputs=tuple(inputs)))
    return replace(graph, ops=tuple(ops), tensors=tensors).pruned(ops)


def _spread(name: str, shape: tuple[int, ...], ops: list[Op], tensors: dict[str, Tensor]) -> str:
    """Name of an operand's reshape, which is added where there is none yet."""
    result = f"{name}_spread" if len(shape) == 4 else f"{name}_spread{len(shape)}"
    if result not in tensors:
        stored = f"{result}.const1"
        tensors[stored] = Tensor(stored, (len(shape),), np.array(shape, np.int32))
        tensors[result] = Tensor(result, shape)
        ops.append(Op(OpKind.RESHAPE, (name, stored), (result,), {}, "ReshapeOptions"))
    return result


def builtin_name(code: Any) -> str:
    """Schema's name of an operator code object; for a custom operator its custom code."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    number = max(int(code.builtinCode), int(code.deprecatedBuiltinCode))
    names = {value: str(k) for k, value in vars(BuiltinOperator).items() if isinstance(value, int)}
    if names[number] == "CUSTOM" and code.customCode:
        return bytes(code.customCode).decode("utf-8", "replace")
    return names[number]


def _plain(options: Any) -> dict[str, Any]:
    """Fields of an options object as plain values."""
    plain: dict[str, Any] = {}
    for key, value in vars(options).items():
        if isinstance(value, np.ndarray):
            plain[key] = tuple(value.tolist())
        elif value is not None:
            plain[key] = value
    return plain
