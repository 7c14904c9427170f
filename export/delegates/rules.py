"""Rules that refuse an operator for another reason than its name or types; shapes are NHWC.

``export/delegates/tables.py`` has the devices that each rule applies to. Limits on values of
attributes (strides, dilations, modes, betas) are not checked.
"""

from __future__ import annotations

from network.inspection import TensorInfo
from network.tflite.reader import GraphOperator, Subgraph

_MOST_SOFTMAX = 16_000
_FUSED_NONE = "NONE"


def output_is_a_vector(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Refuse FULLY_CONNECTED on the Edge TPU unless its output has one dimension."""
    shape = graph.tensors[operator.outputs[0]].shape
    return None if _elements(shape[:-1]) == 1 else f"has an output {list(shape)}, not a vector"


def softmax_is_a_vector(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Refuse SOFTMAX on the Edge TPU unless it is over a vector of at most 16,000 elements."""
    shape = graph.tensors[operator.inputs[0]].shape
    fits = _elements(shape[:-1]) == 1 and (shape[-1] or 0) <= _MOST_SOFTMAX
    return None if fits else f"is over {list(shape)}, not a vector of at most {_MOST_SOFTMAX:,}"


def weights_in_eight_bits(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Refuse weights in 4 bits on the Edge TPU."""
    weights = graph.weights(operator)
    return "has weights in 4 bits" if weights is not None and weights.dtype == "int4" else None


def three_dimensions(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Refuse tensors on the Edge TPU with dimensions above one outside the innermost three."""
    for index in (*operator.inputs, *operator.outputs):
        tensor = graph.tensors[index] if index >= 0 else None
        if tensor is not None and not tensor.constant and _elements(tensor.shape[:-3]) > 1:
            return f"has a tensor {list(tensor.shape)}, with more than three dimensions above one"
    return None


def no_fused_activation(_: Subgraph, operator: GraphOperator) -> str | None:
    """Refuse a fused activation in pools and concatenations on the Edge TPU and in Core ML."""
    return None if operator.fused == _FUSED_NONE else f"has {operator.fused} inside"


def channels_reduce_in_fours(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Refuse MEAN over channels on the Edge TPU unless their number is a multiple of 4."""
    before = graph.tensors[operator.inputs[0]].shape
    after = graph.tensors[operator.outputs[0]].shape
    channels = (before[-1] if before else None) or 1
    channels_remain = (
        after[-1:] == before[-1:]
        if len(after) == len(before)
        else (_elements(after) % channels == 0)
    )
    if channels_remain or channels % 4 == 0:
        return None
    return f"reduces over {channels} channels, not a multiple of 4"


def slope_is_per_channel(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Refuse PRELU on the Edge TPU unless it has one slope per channel (``shared_axes=[1, 2]``)."""
    shape = graph.tensors[operator.inputs[1]].shape
    return None if _elements(shape[:-1]) == 1 else f"has slopes {list(shape)}, not one per channel"


def rank_at_most_four(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Refuse tensors of more than four axes in NNAPI and the GPU delegate."""
    for index in (*operator.inputs, *operator.outputs):
        if index >= 0 and len(graph.tensors[index].shape) > 4:
            return f"has a tensor of rank {len(graph.tensors[index].shape)}, above four"
    return None


def rank_three_or_four(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Refuse slices and pads in the GPU delegate unless the input has three or four axes."""
    rank = len(graph.tensors[operator.inputs[0]].shape)
    return None if rank in (3, 4) else f"has an input of rank {rank}, not three or four"


def rank_four(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Refuse PAD and MEAN in Core ML unless the input has four axes."""
    rank = len(graph.tensors[operator.inputs[0]].shape)
    return None if rank == 4 else f"has an input of rank {rank}, not four"


def rank_is_kept(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Refuse MEAN in Core ML unless the reduced axes remain with size 1 (``keepdims=True``)."""
    before, after = (len(graph.tensors[i].shape) for i in (operator.inputs[0], operator.outputs[0]))
    return None if before == after else f"drops axes: {before} before, {after} after"


def batch_and_channels_stay(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Refuse pads and means in Core ML over other axes than height and width."""
    before, after = (graph.tensors[i].shape for i in (operator.inputs[0], operator.outputs[0]))
    if (before[0], before[-1]) == (after[0], after[-1]):
        return None
    return f"changes batch or channels: {list(before)} to {list(after)}"


def joins_channels(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Refuse CONCATENATION in Core ML unless it joins the channels of three or four axes."""
    before, after = (graph.tensors[i].shape for i in (operator.inputs[0], operator.outputs[0]))
    if len(before) in (3, 4) and before[:-1] == after[:-1]:
        return None
    return f"joins {list(before)} to {list(after)}, not along the channels of an image"


def input_is_a_vector(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Refuse FULLY_CONNECTED in Core ML unless its input is one vector."""
    shape = graph.tensors[operator.inputs[0]].shape
    return None if _elements(shape[:-1]) == 1 else f"has an input {list(shape)}, not one vector"


def two_inputs(_: Subgraph, operator: GraphOperator) -> str | None:
    """Refuse ADD_N in the GPU delegate unless it adds two tensors."""
    return None if len(operator.inputs) == 2 else f"has {len(operator.inputs)} inputs, not two"


def weights_are_constant(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Refuse convolutions and matrix products in Core ML with computed weights."""
    weights = graph.tensors[operator.inputs[1]]
    return None if weights.constant or _from_constant(graph, weights) else "has computed weights"


def has_a_bias(_: Subgraph, operator: GraphOperator) -> str | None:
    """Refuse CONV_2D in NNAPI without a bias."""
    return None if len([i for i in operator.inputs if i >= 0]) == 3 else "has no bias"


def weights_have_one_scale(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Refuse FULLY_CONNECTED in NNAPI with several weight scales."""
    weights = graph.weights(operator)
    if weights is None or len(weights.scale) <= 1:
        return None
    return f"has {len(weights.scale)} weight scales, one per channel"


def input_is_not_int16(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Refuse DEQUANTIZE in the GPU delegate from int16; it takes 8-bit integers and float16."""
    kind = graph.tensors[operator.inputs[0]].dtype
    return f"is from {kind}" if kind == "int16" else None


def input_is_constant(graph: Subgraph, operator: GraphOperator) -> str | None:
    """Refuse DENSIFY in NNAPI and DEQUANTIZE in Core ML of computed tensors."""
    return None if graph.tensors[operator.inputs[0]].constant else "has a computed input"


def _from_constant(graph: Subgraph, tensor: TensorInfo) -> bool:
    """Whether a tensor is the DEQUANTIZE of a stored one, as the weights of float16 files."""
    for operator in graph.operators:
        if any(graph.tensors[i] is tensor for i in operator.outputs):
            return operator.name == "DEQUANTIZE" and graph.tensors[operator.inputs[0]].constant
    return False


def _elements(shape: tuple[int | None, ...]) -> int:
    product = 1
    for size in shape:
        product *= size or 1
    return product
