"""An ONNX graph that can be rewritten: nodes in order, constants by name.

The clean-ups of the ONNX target work on this form, and the written file is built from it anew,
so that nothing of the converter (counters in names, paths, dates) gets into the file.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

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
OUTPUT_NAME = "scores"
BATCH_NAME = "batch"

WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})
"""Operators whose second input is a weight."""

Axes = tuple[int | str, ...]
"""Sizes of a tensor; a name stands for a free axis."""


@dataclass
class Node:
    """One operator.

    Attributes:
        op_type: ONNX's name of it.
        inputs: tensor names; empty for an input that is left out.
        outputs: tensor names.
        attributes: plain values.
        name: of the node; made by ``named`` for the file.
    """

    op_type: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    name: str = ""


@dataclass
class Graph:
    """One input, one output, nodes in an order in which they can run.

    Attributes:
        nodes: operators.
        constants: stored values by tensor name.
        input: name and axes of the input.
        output: name and axes of the output.
    """

    nodes: list[Node]
    constants: dict[str, np.ndarray]
    input: tuple[str, Axes]
    output: tuple[str, Axes]

    def producers(self) -> dict[str, Node]:
        """The node that makes each tensor."""
        return {name: node for node in self.nodes for name in node.outputs}

    def uses(self) -> Counter[str]:
        """How often each tensor is read, the graph's output counted as a read."""
        counts = Counter(name for node in self.nodes for name in node.inputs if name)
        counts[self.output[0]] += 1
        return counts

    def constant(self, name: str, value: np.ndarray) -> str:
        """Store a value under a name that is free; give that name."""
        while name in self.constants:
            name += "_"
        self.constants[name] = value
        return name

    def replace_tensor(self, old: str, new: str) -> None:
        """Let every reader of ``old`` read ``new``."""
        for node in self.nodes:
            node.inputs = [new if name == old else name for name in node.inputs]
        if self.output[0] == old:
            self.output = (new, self.output[1])

    def remove(self, nodes: Iterable[Node]) -> None:
        """Take nodes out; their outputs must have no readers any more."""
        gone = {id(node) for node in nodes}
        self.nodes = [node for node in self.nodes if id(node) not in gone]

    def drop_unused(self) -> None:
        """Take out nodes and constants that the output does not depend on."""
        needed = {self.output[0]}
        kept = []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                needed.update(node.inputs)
                kept.append(node)
        self.nodes = kept[::-1]
        self.constants = {k: v for k, v in self.constants.items() if k in needed}

    def shapes(self) -> dict[str, tuple[int | str | None, ...]]:
        """Sizes of all tensors that ONNX's shape inference finds."""
        import onnx

        inferred = onnx.shape_inference.infer_shapes(to_model(self), data_prop=True).graph
        known = [*inferred.value_info, *inferred.input, *inferred.output]
        found = {v.name: axes_of(v) for v in known if v.type.tensor_type.HasField("shape")}
        return found | {name: tuple(v.shape) for name, v in self.constants.items()}


def axes_of(value: onnx.ValueInfoProto) -> tuple[int | str | None, ...]:
    """Sizes that a value info states: a number, a name, or None for an unknown axis."""
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None
        for dim in value.type.tensor_type.shape.dim
    )


def from_model(model: onnx.ModelProto) -> Graph:
    """Read a model with one input and one output; Constant and Identity nodes are resolved."""
    from onnx import helper, numpy_helper

    proto = model.graph
    constants = {t.name: numpy_helper.to_array(t) for t in proto.initializer}
    graph_input = next(value for value in proto.input if value.name not in constants)
    graph = Graph(
        [],
        constants,
        (graph_input.name, _sizes(graph_input)),
        (proto.output[0].name, _sizes(proto.output[0])),
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
    graph.output = (alias.get(graph.output[0], graph.output[0]), graph.output[1])
    return graph


def _sizes(value: onnx.ValueInfoProto) -> Axes:
    return tuple(BATCH_NAME if size is None else size for size in axes_of(value))


def to_model(graph: Graph) -> onnx.ModelProto:
    """Build the model; the order of nodes, constants and attributes is that of the graph."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node(
            n.op_type, n.inputs, n.outputs, n.name, **dict(sorted(n.attributes.items()))
        )
        for n in graph.nodes
    ]
    proto = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(graph.input[0], TensorProto.FLOAT, graph.input[1])],
        [helper.make_tensor_value_info(graph.output[0], TensorProto.FLOAT, graph.output[1])],
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


def named(graph: Graph, layer_names: Iterable[str]) -> Graph:
    """The same graph with short names that do not depend on what ran before in the process.

    A node gets the name of the Keras layer that it comes from, or, where that is unknown, its
    type and number; a tensor gets the name of its node; constants get the name of the first
    reader and their role.

    Args:
        graph: the network.
        layer_names: of the model's layers, without names that Keras counted up by itself.
    """
    layers = frozenset(layer_names)
    tensors = {graph.input[0]: INPUT_NAME}
    taken = {INPUT_NAME, OUTPUT_NAME}
    constants: dict[str, np.ndarray] = {}
    nodes = []
    for number, node in enumerate(graph.nodes):
        name = _free(_layer_of(node, layers) or f"{node.op_type}_{number}", node.op_type, taken)
        for position, tensor in enumerate(node.inputs):
            if tensor in graph.constants and tensor not in tensors:
                tensors[tensor] = f"{name}.{_role(node, position)}"
                constants[tensors[tensor]] = graph.constants[tensor]
        for position, tensor in enumerate(node.outputs):
            tensors[tensor] = name if position == 0 else f"{name}.{position}"
        nodes.append(
            Node(
                node.op_type,
                [tensors.get(tensor, "") for tensor in node.inputs],
                [tensors[tensor] for tensor in node.outputs],
                node.attributes,
                name,
            )
        )
    result = Graph(nodes, constants, (INPUT_NAME, graph.input[1]), (OUTPUT_NAME, graph.output[1]))
    last = tensors[graph.output[0]]
    for node in nodes:
        node.outputs = [OUTPUT_NAME if t == last else t for t in node.outputs]
        node.inputs = [OUTPUT_NAME if t == last else t for t in node.inputs]
    return result


def _free(name: str, op_type: str, taken: set[str]) -> str:
    candidate, number = name, 1
    while candidate in taken:
        candidate = f"{name}/{op_type}" if number == 1 else f"{name}/{op_type}_{number}"
        number += 1
    taken.add(candidate)
    return candidate


def _role(node: Node, position: int) -> str:
    if node.op_type in WEIGHTED:
        return "weight" if position == 1 else "bias"
    if node.op_type == "Clip":
        return "min" if position == 1 else "max"
    return f"const{position}"


def _layer_of(node: Node, layers: frozenset[str]) -> str | None:
    """The layer in a node's name: Keras writes ``model_1/layer_1/operation``."""
    # After batch norm folding TensorFlow names a convolution after the norm; its weight keeps
    # the convolution's own name.
    sources = [node.inputs[1], node.name] if node.op_type in WEIGHTED else [node.name]
    for part in [part for source in sources for part in reversed(source.split("/"))]:
        part = part.split(":")[0]
        stem, _, count = part.rpartition("_")
        if count.isdigit() and stem in layers:
            return stem
        if part in layers:
            return part
    return None
