"""Exact rewrites of a channels-first network into the fewest operators that runtimes fuse.

Everything here leaves the function of the network as it is, up to rounding in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from export.onnx_graph import BATCH_NAME, Graph, Node

if TYPE_CHECKING:
    import numpy as np


def clean(graph: Graph, batch: int) -> None:
    """All rewrites, in the order in which one makes room for the next.

    Args:
        graph: a channels-first network.
        batch: fixed batch that it was traced with.
    """
    fold_padding(graph)
    fold_scale_and_shift(graph)
    fuse_hard_sigmoid(graph)
    dense_as_gemm(graph)
    free_batch(graph, batch)
    graph.drop_unused()


def fold_padding(graph: Graph) -> None:
    """Move zero padding of height and width into the convolution that reads it.

    A quantizer between the two would keep ONNX Runtime from doing so itself.
    """
    producers, uses = graph.producers(), graph.uses()
    for node in graph.nodes:
        pad = producers.get(node.inputs[0]) if node.op_type == "Conv" else None
        if pad is None or pad.op_type != "Pad" or uses[pad.outputs[0]] != 1:
            continue
        amounts = graph.constants.get(pad.inputs[1])
        if amounts is None or not _pads_pixels_with_zero(graph, pad, amounts):
            continue
        own = node.attributes.get("pads", [0, 0, 0, 0])
        if node.attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
            continue
        node.attributes.pop("auto_pad", None)
        extra = [*amounts[2:4].tolist(), *amounts[6:8].tolist()]
        node.attributes["pads"] = [a + b for a, b in zip(own, extra, strict=True)]
        node.inputs[0] = pad.inputs[0]
    graph.drop_unused()


def _pads_pixels_with_zero(graph: Graph, pad: Node, amounts: np.ndarray) -> bool:
    value = graph.constants.get(pad.inputs[2]) if len(pad.inputs) > 2 and pad.inputs[2] else None
    zero = len(pad.inputs) < 3 or not pad.inputs[2] or (value is not None and not value.any())
    mode = pad.attributes.get("mode", b"constant")
    batch_or_channels = amounts[[0, 1, 4, 5]]
    return zero and mode == b"constant" and not batch_or_channels.any() and amounts.min() >= 0


def fold_scale_and_shift(graph: Graph) -> None:
    """Move batch norms, and constants per channel, into the weights and biases before them.

    ``s * (w * x + b) + t`` is ``(s * w) * x + (s * b + t)`` for each output channel, whatever
    the number of groups (Jacob et al. 2018, arXiv:1712.05877, section 3.2). tf2onnx does it for
    ordinary convolutions and leaves the depthwise ones. Computed in float64.
    """
    producers, uses = graph.producers(), graph.uses()
    for node in list(graph.nodes):
        conv = producers.get(_activation_input(graph, node))
        if conv is None or conv.op_type != "Conv" or uses[conv.outputs[0]] != 1:
            continue
        weight = graph.constants.get(conv.inputs[1])
        if weight is None:
            continue
        affine = _affine(graph, node, len(weight))
        if affine is None:
            continue
        _absorb(graph, conv, *affine)
        conv.outputs = [node.outputs[0]]
        producers[node.outputs[0]] = conv
        graph.remove([node])


def _activation_input(graph: Graph, node: Node) -> str:
    """The first input that is no constant; empty when there is none."""
    return next((name for name in node.inputs if name and name not in graph.constants), "")


def _affine(graph: Graph, node: Node, channels: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Scale and shift per channel that a node applies; None when it does something else."""
    import numpy as np

    if node.op_type == "BatchNormalization":
        parameters = [graph.constants.get(name) for name in node.inputs[1:5]]
        if any(p is None for p in parameters):
            return None
        gamma, beta, mean, variance = (np.float64(p) for p in parameters)
        scale = gamma / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
        return scale, beta - mean * scale
    if node.op_type not in ("Add", "Sub", "Mul", "Div") or len(node.inputs) != 2:
        return None
    constant = graph.constants.get(node.inputs[1], graph.constants.get(node.inputs[0]))
    constant_first = node.inputs[1] not in graph.constants
    if constant is None or (constant_first and node.op_type in ("Sub", "Div")):
        return None
    if constant.size != 1 and constant.shape[-3:] != (channels, 1, 1):
        return None
    value = np.broadcast_to(np.float64(constant).reshape(-1), (channels,))
    one, zero = np.ones(channels), np.zeros(channels)
    return {
        "Add": (one, value),
        "Sub": (one, -value),
        "Mul": (value, zero),
        "Div": (one / np.where(value == 0, np.nan, value), zero),
    }[node.op_type]


def _absorb(graph: Graph, conv: Node, scale: np.ndarray, shift: np.ndarray) -> None:
    """Apply scale and shift to a convolution's outputs: new weight and bias for it."""
    import numpy as np

    weight = graph.constants[conv.inputs[1]]
    has_bias = len(conv.inputs) > 2 and bool(conv.inputs[2])
    bias = graph.constants[conv.inputs[2]] if has_bias else np.zeros(len(weight))
    scaled = np.float64(weight) * scale.reshape(-1, 1, 1, 1)
    moved = np.float64(bias) * scale + shift
    conv.inputs = [
        conv.inputs[0],
        graph.constant(conv.inputs[1] + "_", scaled.astype(np.float32)),
        graph.constant(f"{conv.inputs[1]}:bias", moved.astype(np.float32)),
    ]


def fuse_hard_sigmoid(graph: Graph) -> None:
    """``relu6(x + 3) / 6`` is HardSigmoid with slope 1/6 and offset 1/2: one node for three.

    Source: Howard et al. 2019, arXiv:1905.02244, section 5.2, and ONNX's HardSigmoid.
    """
    producers, uses = graph.producers(), graph.uses()
    for last in list(graph.nodes):
        clip = producers.get(_activation_input(graph, last))
        if clip is None or clip.op_type != "Clip" or uses[clip.outputs[0]] != 1:
            continue
        add = producers.get(clip.inputs[0])
        if add is None or add.op_type != "Add" or uses[add.outputs[0]] != 1:
            continue
        if (
            _sixth(graph, last)
            and _scalars(graph, clip) == [0.0, 6.0]
            and _scalars(graph, add) == [3.0]
        ):
            source = _activation_input(graph, add)
            last.op_type, last.inputs = "HardSigmoid", [source]
            last.attributes = {"alpha": 1 / 6, "beta": 0.5}
    graph.drop_unused()


def _sixth(graph: Graph, node: Node) -> bool:
    """Whether a node multiplies by 1/6 or divides by 6."""
    scalars = _scalars(graph, node)
    if len(scalars) != 1 or len(node.inputs) != 2:
        return False
    if node.op_type == "Mul":
        return abs(scalars[0] - 1 / 6) < 1e-6
    return node.op_type == "Div" and node.inputs[1] in graph.constants and scalars == [6.0]


def _scalars(graph: Graph, node: Node) -> list[float]:
    """Values of the constant inputs that hold one number each."""
    found: list[Any] = [graph.constants[name] for name in node.inputs if name in graph.constants]
    return [float(value.reshape(-1)[0]) for value in found if value.size == 1]


def dense_as_gemm(graph: Graph) -> None:
    """A matrix product and the addition of its bias as one Gemm, whose bias can be int32."""
    uses, shapes = graph.uses(), graph.shapes()
    readers = {name: node for node in graph.nodes for name in node.inputs}
    for node in list(graph.nodes):
        weight = graph.constants.get(node.inputs[1]) if node.op_type == "MatMul" else None
        if weight is None or weight.ndim != 2 or len(shapes.get(node.inputs[0], ())) != 2:
            continue
        node.op_type = "Gemm"
        add = readers.get(node.outputs[0])
        if add is None or add.op_type != "Add" or uses[node.outputs[0]] != 1:
            continue
        bias_name = next((name for name in add.inputs if name in graph.constants), "")
        bias = graph.constants.get(bias_name)
        if bias is None or bias.size != weight.shape[1]:
            continue
        flat = graph.constant(f"{bias_name}:bias", bias.reshape(-1))
        node.inputs, node.outputs = [*node.inputs[:2], flat], [add.outputs[0]]
        graph.remove([add])


def free_batch(graph: Graph, batch: int) -> None:
    """Let every operator take any batch, where ``batch`` is written into the shapes."""
    import numpy as np

    shapes = graph.shapes()
    for node in graph.nodes:
        if node.op_type != "Reshape" or node.inputs[1] not in graph.constants:
            continue
        before, after = shapes.get(node.inputs[0], ()), shapes.get(node.outputs[0], ())
        if not before or not after or before[0] != batch or after[0] != batch:
            continue
        if len(after) == 2:
            node.op_type, node.inputs, node.attributes = "Flatten", node.inputs[:1], {"axis": 1}
        else:
            target = np.array([0, *after[1:]], np.int64)  # 0 copies the size of the input
            node.inputs = [node.inputs[0], graph.constant(f"{node.outputs[0]}:shape", target)]
    graph.input = (graph.input[0], (BATCH_NAME, *graph.input[1][1:]))
    graph.output = (graph.output[0], (BATCH_NAME, *graph.output[1][1:]))
