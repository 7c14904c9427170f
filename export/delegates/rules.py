"""Reasons against an operator that its name and types do not give; shapes are NHWC, batch first.

Each rule names in ``export/delegates/tables.py`` the devices that it holds for. Limits on values of
attributes (strides, dilations, modes, betas) are not checked.
"""

from __future__ import annotations

from network.inspection import TensorInfo
from network.tflite.reader import GraphOperator, Subgraph

_MOST_SOFTMAX = 16_000
_FUSED_NONE = "NONE"


def output_is_a_vector(graph: Subgraph, operator: GraphOperator) -> str | None:
    """The Edge TPU's FULLY_CONNECTED has a one-dimensional output."""
    shape = graph.tensors[operator.outputs[0]].shape
    return None if _elements(shape[:-1]) == 1 else f"has an output {list(shape)}, not a vector"


def softmax_is_a_vector(graph: Subgraph, operator: GraphOperator) -> str | None:
    """The Edge TPU's SOFTMAX takes a vector of at most 16,000 elements."""
    shape = graph.tensors[operator.inputs[0]].shape
    fits = _elements(shape[:-1]) == 1 and (shape[-1] or 0) <= _MOST_SOFTMAX
    return None if fits else f"is over {list(shape)}, not a vector of at most {_MOST_SOFTMAX:,}"


def three_dimensions(graph: Subgraph, operator: GraphOperator) -> str | None:
    """The Edge TPU's tensors have three dimensions larger than one, the innermost."""
    for index in (*operator.inputs, *operator.outputs):
        tensor = graph.tensors[index] if index >= 0 else None
        if tensor is not None and not tensor.constant and _elements(tensor.shape[:-3]) > 1:
            return f"has a tensor {list(tensor.shape)}, with more than three dimensions above one"
    return None


def no_fused_activation(_: Subgraph, operator: GraphOperator) -> str | None:
    """Pools and concatenations of the Edge TPU and of Core ML have no activation inside."""
    return None if operator.fused == _FUSED_NONE else f"has {operator.fused} inside"


def channels_reduce_in_fours(graph: Subgraph, operator: GraphOperator) -> str | None:
    """The Edge TPU's MEAN reduces over channels only where their number is a multiple of 4."""
    inside = graph.tensors[operator.inputs[0]].shape
    outside = graph.tensors[operator.outputs[0]].shape
    channels = (inside[-1] if inside else None) or 1
    kept = (
        outside[-1:] == inside[-1:]
        if len(outside) == len(inside)
        else (_elements(outside) % channels == 0)
    )
    if kept or channels % 4 == 0:
        return None
    return f"reduces over {channels} channels, not a multiple of 4"


def slope_is_per_channel(graph: Subgraph, operator: GraphOperator) -> str | None:
    """The Edge TPU's PRELU has slopes along the innermost axis alone (``shared_axes=[1, 2]``)."""
    shape = graph.tensors[operator.inputs[1]].shape
    return None if _elements(shape[:-1]) == 1 else f"has slopes {list(shape)}, not one a channel"


def rank_at_most_four(graph: Subgraph, operator: GraphOperator) -> str | None:
    """NNAPI's and the GPU delegate's tensors have at most four axes."""
    for index in (*operator.inputs, *operator.outputs):
        if index >= 0 and len(graph.tensors[index].shape) > 4:
            return f"has a tensor of rank {len(graph.tensors[index].shape)}, above four"
    return None


def rank_three_or_four(graph: Subgraph, operator: GraphOperator) -> str | None:
    """The GPU delegate slices and pads tensors of three or four axes."""
    rank = len(graph.tensors[operator.inputs[0]].shape)
    return None if rank in (3, 4) else f"has an input of rank {rank}, not three or four"


def rank_four(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Core ML's PAD and MEAN take four axes."""
    rank = len(graph.tensors[operator.inputs[0]].shape)
    return None if rank == 4 else f"has an input of rank {rank}, not four"


def rank_is_kept(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Core ML's MEAN keeps the axes that it reduces (``keepdims=True``)."""
    inside, outside = (
        len(graph.tensors[i].shape) for i in (operator.inputs[0], operator.outputs[0])
    )
    return None if inside == outside else f"drops axes: {inside} before, {outside} after"


def batch_and_channels_stay(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Core ML pads and averages over height and width alone."""
    inside, outside = (graph.tensors[i].shape for i in (operator.inputs[0], operator.outputs[0]))
    if (inside[0], inside[-1]) == (outside[0], outside[-1]):
        return None
    return f"changes batch or channels: {list(inside)} to {list(outside)}"


def joins_channels(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Core ML concatenates along channels, tensors of three or four axes."""
    inside, outside = (graph.tensors[i].shape for i in (operator.inputs[0], operator.outputs[0]))
    if len(inside) in (3, 4) and inside[:-1] == outside[:-1]:
        return None
    return f"joins {list(inside)} to {list(outside)}, not along the channels of an image"


def input_is_a_vector(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Core ML's FULLY_CONNECTED takes one vector."""
    shape = graph.tensors[operator.inputs[0]].shape
    return None if _elements(shape[:-1]) == 1 else f"has an input {list(shape)}, not one vector"


def two_inputs(_: Subgraph, operator: GraphOperator) -> str | None:
    """The GPU delegate's ADD_N adds two tensors."""
    return None if len(operator.inputs) == 2 else f"has {len(operator.inputs)} inputs, not two"


def weights_are_constant(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Core ML's convolutions and matrix products have constant weights."""
    weights = graph.tensors[operator.inputs[1]]
    return None if weights.constant or _from_constant(graph, weights) else "has computed weights"


def has_a_bias(_: Subgraph, operator: GraphOperator) -> str | None:
    """NNAPI's CONV_2D has a bias."""
    return None if len([i for i in operator.inputs if i >= 0]) == 3 else "has no bias"


def weights_have_one_scale(graph: Subgraph, operator: GraphOperator) -> str | None:
    """NNAPI's FULLY_CONNECTED has one scale for its weights."""
    weights = graph.weights(operator)
    if weights is None or len(weights.scale) <= 1:
        return None
    return f"has {len(weights.scale)} weight scales, one a channel"


def input_is_not_int16(graph: Subgraph, operator: GraphOperator) -> str | None:
    """The GPU delegate dequantizes 8-bit integers and float16, not int16."""
    kind = graph.tensors[operator.inputs[0]].dtype
    return f"is from {kind}" if kind == "int16" else None


def input_is_constant(graph: Subgraph, operator: GraphOperator) -> str | None:
    """NNAPI densifies stored weights; Core ML dequantizes stored float16."""
    return None if graph.tensors[operator.inputs[0]].constant else "has a computed input"


def _from_constant(graph: Subgraph, tensor: TensorInfo) -> bool:
    """Whether a tensor is a stored one behind a DEQUANTIZE, as in float16 files."""
    for operator in graph.operators:
        if any(graph.tensors[i] is tensor for i in operator.outputs):
            return operator.name == "DEQUANTIZE" and graph.tensors[operator.inputs[0]].constant
    return False


def _elements(shape: tuple[int | None, ...]) -> int:
    product = 1
    for size in shape:
        product *= size or 1
    return product
