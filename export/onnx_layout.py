"""Channels first throughout: the transposes that a converter leaves, taken out.

Keras computes on NHWC, ONNX's convolutions on NCHW. tf2onnx sets a pair of Transposes around
every convolution and cancels most of them, but not all (tensorflow-onnx#938, onnx2tf#584), and
gives up on a bias-free convolution that is followed by a scalar addition, which is what
hard-swish begins with. Here every NHWC tensor of rank 4 gets a channels-first twin instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from export.onnx_graph import Graph, Node
from export.onnx_shuffle import SHUFFLE, channels_first_shuffle, deals, with_shuffles
from foundation.errors import UnsupportedError
from quantize.recipes import Layout

if TYPE_CHECKING:
    import numpy as np

TO_NCHW = [0, 3, 1, 2]
TO_NHWC = [0, 2, 3, 1]

ELEMENTWISE = frozenset(
    {
        "Abs", "Add", "Clip", "Div", "Elu", "Erf", "Exp", "HardSigmoid", "HardSwish", "LeakyRelu",
        "Max", "Min", "Mul", "Neg", "Relu", "Sigmoid", "Softplus", "Sqrt", "Sub", "Tanh",
    }
)  # fmt: skip
"""Operators whose result at one place depends on the inputs at that place only."""


@dataclass
class _Twins:
    """What is known while the nodes are walked.

    Attributes:
        graph: the network that is rewritten.
        shapes: sizes of the tensors before the rewriting.
        nodes: the result so far.
        first: NHWC tensor -> its channels-first twin.
        last: NHWC tensors that exist as such.
    """

    graph: Graph
    shapes: dict[str, Any]
    nodes: list[Node] = field(default_factory=list)
    first: dict[str, str] = field(default_factory=dict)
    last: set[str] = field(default_factory=set)

    def emit(self, node: Node) -> None:
        """Append a node."""
        self.nodes.append(node)

    def twin(self, node: Node, inputs: list[str], attributes: dict[str, Any]) -> None:
        """Append a node's channels-first form."""
        output = f"{node.outputs[0]}:nchw"
        self.emit(Node(node.op_type, inputs, [output], attributes, node.name))
        self.first[node.outputs[0]] = output

    def is_last(self, name: str) -> bool:
        """Whether a tensor is an NHWC activation that has a twin."""
        return name in self.first

    def as_nhwc(self, name: str) -> str:
        """The tensor in NHWC, transposed where it exists channels first only."""
        if name in self.first and name not in self.last:
            self.emit(Node("Transpose", [self.first[name]], [name], {"perm": TO_NHWC}))
            self.last.add(name)
        return name


def channels_first(graph: Graph, layout: Layout) -> None:
    """Rewrite the graph to NCHW; an NHWC input keeps one Transpose, at the input.

    Args:
        graph: a network with a fixed batch whose input is NHWC.
        layout: of the file's input; with NCHW the input's axes are exchanged.

    Raises:
        UnsupportedError: NCHW was asked for, and an operator needs NHWC in its place.
    """
    name, axes = graph.input
    twins = _Twins(graph, graph.shapes())
    twins.first[name] = f"{name}:nchw"
    if layout is Layout.NHWC:
        twins.emit(Node("Transpose", [name], [twins.first[name]], {"perm": TO_NCHW}))
        twins.last.add(name)
    graph.nodes = with_shuffles(graph, twins.shapes)
    for node in graph.nodes:
        _rewrite(node, twins)
    twins.as_nhwc(graph.output[0])
    graph.nodes = twins.nodes
    graph.drop_unused()
    if layout is Layout.NHWC:
        return
    graph.input = (twins.first[name], (axes[0], axes[3], axes[1], axes[2]))
    stray = [
        node.outputs[0] for node in graph.nodes if node.op_type == "Transpose" and not deals(node)
    ]
    if stray:
        raise UnsupportedError(
            "an NCHW file has no Transpose but those of channel shuffles, so each operator must "
            "have a channels-first form",
            received=f"a network that needs NHWC at {', '.join(stray[:3])}",
            remedy="use the layout nhwc for it",
        )


def _rewrite(node: Node, twins: _Twins) -> None:
    source = node.inputs[0] if node.inputs else ""
    if node.op_type == "Transpose":
        _transpose(node, twins)
    elif node.op_type in ELEMENTWISE and _all_have_twins(node, twins):
        inputs = [_elementwise_input(name, twins) for name in node.inputs]
        twins.twin(node, inputs, node.attributes)
    elif node.op_type == SHUFFLE and not twins.is_last(source):
        for part in node.attributes["parts"]:
            _rewrite(part, twins)
    elif not _special(node, source, twins):
        inputs = [twins.as_nhwc(name) for name in node.inputs]
        twins.emit(Node(node.op_type, inputs, node.outputs, node.attributes, node.name))


def _transpose(node: Node, twins: _Twins) -> None:
    source, output = node.inputs[0], node.outputs[0]
    perm = list(node.attributes["perm"])
    if perm == TO_NCHW and twins.is_last(source):
        # Readers of the transposed tensor read the twin: the name stays, as an alias.
        twins.graph.replace_tensor(output, twins.first[source])
    elif perm == TO_NHWC:
        twins.first[output] = source
    else:
        twins.emit(Node("Transpose", [twins.as_nhwc(source)], [output], {"perm": perm}, node.name))


def _all_have_twins(node: Node, twins: _Twins) -> bool:
    activations = [name for name in node.inputs if name and name not in twins.graph.constants]
    return bool(activations) and all(twins.is_last(name) for name in activations)


def _elementwise_input(name: str, twins: _Twins) -> str:
    """Channels-first name of an input; a constant that broadcasts over NHWC is reshaped."""
    if name not in twins.graph.constants:
        return twins.first.get(name, name)
    value = twins.graph.constants[name]
    if value.size == 1:
        return name
    spread: np.ndarray = value.reshape((1,) * (4 - value.ndim) + value.shape)
    return twins.graph.constant(f"{name}:nchw", spread.transpose(TO_NCHW))


def _special(node: Node, source: str, twins: _Twins) -> bool:
    """Rewrite an operator that knows axes; False when it has no channels-first form here."""
    if not twins.is_last(source):
        return node.op_type == "Reshape" and _one_pixel_from_vector(node, source, twins)
    rewriter = {
        "Pad": _pad,
        "ReduceMean": _reduce,
        "ReduceMax": _reduce,
        "Squeeze": _flatten_one_pixel,
        "Reshape": _reshape,
        "Concat": _concat,
        "Split": _split,
        SHUFFLE: _shuffle,
    }.get(node.op_type)
    return rewriter is not None and rewriter(node, source, twins)


def _shuffle(node: Node, source: str, twins: _Twins) -> bool:
    output = f"{node.outputs[0]}:nchw"
    for part in channels_first_shuffle(node, twins.first[source], twins.graph, output):
        twins.emit(part)
    twins.first[node.outputs[0]] = output
    return True


def _concat(node: Node, _: str, twins: _Twins) -> bool:
    """Joined along the channels, which come second; other axes are left to NHWC."""
    if node.attributes["axis"] % 4 != 3 or not all(twins.is_last(name) for name in node.inputs):
        return False
    twins.twin(node, [twins.first[name] for name in node.inputs], {"axis": 1})
    return True


def _split(node: Node, source: str, twins: _Twins) -> bool:
    """Cut along the channels, which come second; other axes are left to NHWC."""
    if node.attributes.get("axis", 0) % 4 != 3:
        return False
    outputs = [f"{name}:nchw" for name in node.outputs]
    inputs = [twins.first[source], *node.inputs[1:]]
    twins.emit(Node("Split", inputs, outputs, {"axis": 1}, node.name))
    twins.first.update(zip(node.outputs, outputs, strict=True))
    return True


def _pad(node: Node, source: str, twins: _Twins) -> bool:
    import numpy as np

    pads = twins.graph.constants.get(node.inputs[1])
    if pads is None:
        return False
    moved = np.array([*pads[:4][TO_NCHW], *pads[4:][TO_NCHW]], np.int64)
    name = twins.graph.constant(f"{node.inputs[1]}:nchw", moved)
    twins.twin(node, [twins.first[source], name, *node.inputs[2:]], node.attributes)
    return True


def _reduce(node: Node, source: str, twins: _Twins) -> bool:
    """Mean or maximum over height and width: ONNX has global pooling for it."""
    axes = sorted(axis % 4 for axis in node.attributes.get("axes", (0,)))
    if axes != [1, 2]:
        return False
    op_type = "GlobalAveragePool" if node.op_type == "ReduceMean" else "GlobalMaxPool"
    pooled = Node(op_type, [], node.outputs, {}, node.name)
    if node.attributes.get("keepdims", 1):
        twins.twin(pooled, [twins.first[source]], {})
        return True
    inner = f"{node.outputs[0]}:pooled"
    twins.emit(Node(op_type, [twins.first[source]], [inner], {}, node.name))
    twins.emit(Node("Flatten", [inner], node.outputs, {"axis": 1}, node.name))
    return True


def _flatten_one_pixel(node: Node, source: str, twins: _Twins) -> bool:
    if list(twins.shapes.get(source, ()))[1:3] != [1, 1]:
        return False
    if len(twins.shapes.get(node.outputs[0], ())) != 2:
        return False
    twins.emit(Node("Flatten", [twins.first[source]], node.outputs, {"axis": 1}, node.name))
    return True


def _reshape(node: Node, source: str, twins: _Twins) -> bool:
    """A reshape of one pixel keeps the order of the values in either layout."""
    import numpy as np

    after = twins.shapes.get(node.outputs[0], ())
    if _flatten_one_pixel(node, source, twins):
        return True
    if list(twins.shapes.get(source, ()))[1:3] != [1, 1] or len(after) != 4 or after[1:3] != (1, 1):
        return False
    shape = twins.graph.constant(
        f"{node.outputs[0]}:shape", np.array([0, after[3], 1, 1], np.int64)
    )
    twins.twin(node, [twins.first[source], shape], {})
    return True


def _one_pixel_from_vector(node: Node, source: str, twins: _Twins) -> bool:
    """``[b, c] -> [b, 1, 1, c]``, as in squeeze-and-excitation: ``[b, c, 1, 1]`` instead."""
    import numpy as np

    after = twins.shapes.get(node.outputs[0], ())
    if len(twins.shapes.get(source, ())) != 2 or len(after) != 4 or after[1:3] != (1, 1):
        return False
    shape = twins.graph.constant(
        f"{node.outputs[0]}:shape", np.array([0, after[3], 1, 1], np.int64)
    )
    twins.twin(node, [source, shape], {})
    return True
