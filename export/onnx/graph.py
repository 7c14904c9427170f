"""An ONNX graph as plain values: nodes in order, constants by name.

Files are built from it, and written files are read into it to be checked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import onnx

OPSET = 15
"""Opset of the written files.

Per-channel QuantizeLinear came with 13, and 15 is the newest that the prebuilt ONNX Runtime
Mobile packages take from release 1.11 on; nothing here needs a later one.
https://onnxruntime.ai/docs/reference/operators/mobile_package_op_type_support_1.11.html
"""

IR_VERSION = 8
"""File format that goes with opset 15 (ONNX 1.10)."""

INPUT_NAME = "image"
BATCH_NAME = "batch"

WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})
"""Operator types whose second input is a weight."""

Axes = tuple[int | str, ...]
"""Sizes of a tensor; a name stands for a free axis."""


@dataclass
class Node:
    """One operator.

    Attributes:
        op_type: ONNX's name of the operator.
        inputs: tensor names; empty for an input that is left out.
        outputs: tensor names.
        attributes: plain values.
        name: name of the node; empty for one that belongs to another.
    """

    op_type: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    name: str = ""


@dataclass
class OnnxGraph:
    """A graph with one input.

    The canonical graph, from which it is rendered, is ``network.graph.Graph``.

    Attributes:
        nodes: operators, in an order in which they can run.
        constants: stored values by tensor name.
        input: name and axes of the input.
        outputs: name and axes of each output.
    """

    nodes: list[Node]
    constants: dict[str, np.ndarray]
    input: tuple[str, Axes]
    outputs: tuple[tuple[str, Axes], ...]

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return tuple(name for name, _ in self.outputs)

    def producers(self) -> dict[str, Node]:
        """Node that computes each tensor."""
        return {name: node for node in self.nodes for name in node.outputs}

    def drop_unused(self) -> None:
        """Remove nodes and constants that no output depends on."""
        needed = set(self.output_names)
        reversed_nodes = []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                needed.update(node.inputs)
                reversed_nodes.append(node)
        self.nodes = reversed_nodes[::-1]
        self.constants = {k: v for k, v in self.constants.items() if k in needed}


_CHANNELS_LAST = [0, 2, 3, 1]
"""Order of the axes of ``[b, c, h, w]`` in ``[b, h, w, c]``."""

_CHANGES_OF_TYPE = ("Cast", "QuantizeLinear", "DequantizeLinear")

_SHUFFLE_ORDER = [0, 2, 1, 3]
"""Order of the axes ``[b, groups, n, h*w]`` after a channel shuffle."""


_PARTS = ("Add", "Div", "Erf", "Mul", "Sqrt", "Sub", "Tanh")


def composed_parts(graph: OnnxGraph) -> frozenset[str]:
    """Results of the nodes of an operator that is several in ONNX, GELU for example, but the last.

    They have no names and stay in float: the quantizers are around the operator as a whole.
    """
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    return frozenset(
        node.outputs[0]
        for node in graph.nodes
        if not node.name
        and node.op_type in _PARTS
        and node.outputs[0] in readers
        and all(reader.op_type != "QuantizeLinear" for reader in readers[node.outputs[0]])
    )


def is_shuffle_transpose(transpose: Node) -> bool:
    """Whether a Transpose belongs to a channel shuffle, and exchanges no layouts."""
    return list(transpose.attributes.get("perm", ())) == _SHUFFLE_ORDER


def leads_out(graph: OnnxGraph, transpose: Node) -> bool:
    """Whether a Transpose gives an output channels last, and nothing but that output."""
    if list(transpose.attributes.get("perm", ())) != _CHANNELS_LAST:
        return False
    name = transpose.outputs[0]
    while name not in graph.output_names:
        readers = [node for node in graph.nodes if name in node.inputs]
        if len(readers) != 1 or readers[0].op_type not in _CHANGES_OF_TYPE:
            return False
        name = readers[0].outputs[0]
    return not any(name in node.inputs for node in graph.nodes)


def axes_of(value: onnx.ValueInfoProto) -> tuple[int | str | None, ...]:
    """Sizes in a value info: a number, a name, or None for an unknown axis."""
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None
        for dim in value.type.tensor_type.shape.dim
    )


def from_model(model: onnx.ModelProto) -> OnnxGraph:
    """Read a model with one input; Constant and Identity nodes are resolved."""
    from onnx import helper, numpy_helper

    proto = model.graph
    constants = {t.name: numpy_helper.to_array(t) for t in proto.initializer}
    graph_input = next(value for value in proto.input if value.name not in constants)
    graph = OnnxGraph(
        [],
        constants,
        (graph_input.name, _sizes(graph_input)),
        tuple((value.name, _sizes(value)) for value in proto.output),
    )
    alias: dict[str, str] = {}
    for node in proto.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        inputs = [alias.get(name, name) for name in node.input]
        if node.op_type == "Constant":
            constants[node.output[0]] = numpy_helper.to_array(attributes["value"])
        elif node.op_type == "Identity":
            alias[node.output[0]] = inputs[0]
        else:
            graph.nodes.append(Node(node.op_type, inputs, list(node.output), attributes, node.name))
    graph.outputs = tuple((alias.get(name, name), sizes) for name, sizes in graph.outputs)
    return graph


def _sizes(value: onnx.ValueInfoProto) -> Axes:
    return tuple(BATCH_NAME if size is None else size for size in axes_of(value))


def to_model(graph: OnnxGraph) -> onnx.ModelProto:
    """Build the model; the order of nodes, constants and attributes is that of the graph."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node(
            n.op_type, n.inputs, n.outputs, n.name, **dict(sorted(n.attributes.items()))
        )
        for n in graph.nodes
    ]
    whole = {name for n in graph.nodes if n.op_type == "ArgMax" for name in n.outputs}
    proto = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(graph.input[0], TensorProto.FLOAT, graph.input[1])],
        [
            helper.make_tensor_value_info(
                name, TensorProto.INT64 if name in whole else TensorProto.FLOAT, sizes
            )
            for name, sizes in graph.outputs
        ],
        [numpy_helper.from_array(_contiguous(v), name) for name, v in graph.constants.items()],
    )
    model: onnx.ModelProto = helper.make_model(
        proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    model.producer_name = "edgequant"
    return model


def _contiguous(value: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.array(value, order="C", copy=None)
