"""Merging of summed branches into one equal convolution.

Convolutions and batch norms at inference are linear, so that a sum of them over one input is again
a convolution: with kernels padded to one size,

    sum over i of (kernel_i * x + bias_i) = (sum over i of kernel_i) * x + (sum over i of bias_i)

RepVGG (Ding et al. 2021, arXiv:2101.03697, section 3.3) and MobileOne (Vasu et al. 2022,
arXiv:2206.04040, section 3.2) are trained with branches and deployed without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models.cost.keras_graph import nodes_of
from models.rewriting.rebuild import folded, norm_affine, rewritten, with_weights

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Branch:
    """A convolution, a batch norm, or a convolution followed by a batch norm.

    Attributes:
        conv: a Conv2D or a DepthwiseConv2D; None for a batch norm alone.
        norm: batch norm; None for a convolution alone.
        source: input of the branch, a tensor of the original model.
        nodes: calls of its layers.
    """

    conv: Any
    norm: Any
    source: Any
    nodes: tuple[Any, ...]


def plain_form(model: keras.Model) -> keras.Model:
    """Copy of a network with its branches merged and its batch norms folded into convolutions.

    Outputs are equal up to the order of sums, for inputs of the model's size: with a stride and an
    even size, ``same`` padding is one-sided, which shifts small kernels inside large ones.

    A sum is merged if all its terms are convolutions of one stride and kind, or batch norms, of
    one input, and nothing else reads them; other sums stay unchanged.
    """
    uses: dict[int, int] = {}
    producers: dict[int, Any] = {}
    nodes = nodes_of(model)
    for node in nodes:
        producers.update({id(tensor): node for tensor in node.output_tensors})
        for tensor in node.input_tensors:
            uses[id(tensor)] = uses.get(id(tensor), 0) + 1
    for tensor in model.outputs:
        uses[id(tensor)] = uses.get(id(tensor), 0) + 1

    # The last node of a group is replaced by the merged convolution; the others do nothing.
    groups: dict[int, list[Branch]] = {}
    bypassed: set[int] = set()

    def merge(node: Any, branches: list[Branch]) -> None:
        groups[id(node)] = branches
        bypassed.update(id(n) for branch in branches for n in branch.nodes if n is not node)

    # Sums of branches.
    for node in nodes:
        if _kind(node) == "Add":
            terms = [_branch(tensor, producers, uses) for tensor in node.input_tensors]
            branches = [branch for branch in terms if branch is not None]
            if len(branches) == len(terms) and _can_merge(branches):
                merge(node, branches)
    # Remaining convolutions that are followed by a batch norm.
    for node in nodes:
        if _kind(node) == "BatchNormalization" and id(node) not in bypassed:
            branch = _ending_in(node, producers, uses)
            if branch.conv is not None:
                merge(node, [branch])

    def emit(node: Any, inputs: list[Any]) -> list[Any] | None:
        if id(node) in bypassed:
            return inputs
        branches = groups.get(id(node))
        if branches is None:
            return None
        name = node.operation.name if len(branches) > 1 else branches[0].conv.name
        return [_merged(inputs[0], branches, name)]

    return rewritten(model, emit)


def _kind(node: Any) -> str:
    return type(node.operation).__name__


def _branch(tensor: Any, producers: dict[int, Any], uses: dict[int, int]) -> Branch | None:
    """Branch that computes a term of a sum; None if it is not one or something else reads it."""
    node = producers.get(id(tensor))
    if node is None or uses[id(tensor)] != 1:
        return None
    if _is_convolution(node):
        return Branch(node.operation, None, node.input_tensors[0], (node,))
    return _ending_in(node, producers, uses) if _kind(node) == "BatchNormalization" else None


def _ending_in(norm: Any, producers: dict[int, Any], uses: dict[int, int]) -> Branch:
    """Branch that ends in a batch norm, with the convolution before it if there is one."""
    (source,) = norm.input_tensors
    node = producers.get(id(source))
    if node is not None and uses[id(source)] == 1 and _is_convolution(node):
        return Branch(node.operation, norm.operation, node.input_tensors[0], (node, norm))
    return Branch(None, norm.operation, source, (norm,))


def _is_convolution(node: Any) -> bool:
    layer = node.operation
    return (
        _kind(node) in ("Conv2D", "DepthwiseConv2D")
        and layer.data_format == "channels_last"
        and getattr(layer.activation, "__name__", "") == "linear"
        and len(layer._inbound_nodes) == 1  # a layer that is called twice would be folded twice
    )


def _can_merge(branches: list[Branch]) -> bool:
    """Whether the sum of the branches is one convolution of their common input."""
    convs = [branch.conv for branch in branches if branch.conv is not None]
    if not convs or len({id(branch.source) for branch in branches}) != 1:
        return False
    shapes = {
        (
            type(conv).__name__,
            tuple(conv.strides),
            tuple(conv.dilation_rate),
            getattr(conv, "groups", None),
            getattr(conv, "depth_multiplier", None),
            conv.output.shape[-1],
        )
        for conv in convs
    }
    padded = all(conv.padding == "same" or set(conv.kernel_size) == {1} for conv in convs)
    undilated = all(set(conv.dilation_rate) == {1} for conv in convs)
    if len(shapes) != 1 or not padded or not undilated:
        return False
    # A batch norm alone is a 1x1 convolution only if the convolutions keep the input's shape.
    has_lone_norm = len(convs) < len(branches)
    keeps_shape = set(convs[0].strides) == {1} and (
        convs[0].output.shape[-1] == branches[0].source.shape[-1]
    )
    return keeps_shape or not has_lone_norm


def _merged(x: Any, branches: list[Branch], name: str) -> Any:
    """Apply the branches as one convolution with a bias: ``[b, h, w, c] -> [b, h/s, w/s, f]``."""
    convs = [branch.conv for branch in branches if branch.conv is not None]
    widest = max(convs, key=lambda conv: conv.kernel_size)
    size = tuple(max(conv.kernel_size[axis] for conv in convs) for axis in (0, 1))
    padding = "same" if len(branches) > 1 else widest.padding
    config = {**widest.get_config(), "name": name, "kernel_size": size, "padding": padding}
    layer = type(widest).from_config({**config, "use_bias": True})
    kernel = np.zeros((*size, *widest.kernel.shape[2:]))
    bias = np.zeros(int(widest.output.shape[-1]))
    for branch in branches:
        branch_kernel, branch_bias = _linear(branch, widest)
        height, width = branch_kernel.shape[:2]
        top, left = (
            _shift(int(x.shape[axis + 1]), size[axis], side, widest.strides[axis])
            if padding == "same"
            else 0
            for axis, side in enumerate((height, width))
        )
        kernel[top : top + height, left : left + width] += branch_kernel
        bias += branch_bias
    return with_weights(layer, x, kernel, bias)


def _linear(branch: Branch, like: Any) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of a branch; a batch norm alone becomes a 1x1 kernel that scales."""
    if branch.conv is not None:
        return folded(branch.conv, branch.norm)
    scale, offset = norm_affine(branch.norm)
    shape = tuple(like.kernel.shape)[2:]
    kernel = np.zeros((1, 1, *shape))
    channels = np.arange(len(scale))
    if type(like).__name__ == "DepthwiseConv2D":
        kernel[0, 0, channels, 0] = scale
    else:
        kernel[0, 0, channels % shape[0], channels] = scale
    return kernel, offset


def _shift(side: int, large: int, small: int, stride: int) -> int:
    """Offset of a small kernel inside a large one if both are applied with ``same`` padding."""
    return _padding_before(side, large, stride) - _padding_before(side, small, stride)


def _padding_before(side: int, kernel: int, stride: int) -> int:
    """Zeros that ``same`` padding puts before the first row or column."""
    return max((-(-side // stride) - 1) * stride + kernel - side, 0) // 2
