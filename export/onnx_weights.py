"""Integer weights of ONNX files: scales, ranges and what x86 kernels do with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from calibration_data.errors import InvalidInputError
from export.onnx_graph import WEIGHTED, Graph, Node
from quantize.recipes import Granularity, WeightRange

if TYPE_CHECKING:
    import numpy as np

FULL_BOUND = 127
"""Largest magnitude of an int8 weight: symmetric, so that the zero point is 0."""

SAFE_BOUND = 63
"""Largest magnitude where x86 cores add pairs of products in 16 bits, within [-64, 63].

VPMADDUBSW multiplies unsigned activations with signed weights and adds two products with
saturation at 32,767 (Intel SDM, volume 2); 255 * 64 * 2 is 32,640.
"""

SMALLEST_RELATIVE_SCALE = 2.0**-24
"""Scale of a channel relative to the widest channel's, below which float32 cannot tell."""


def is_depthwise(node: Node, weight: np.ndarray) -> bool:
    """Whether a convolution has one input and one output channel a group.

    ONNX Runtime computes these with kernels of their own, which widen to 16 bits before they
    multiply and add in 32: MlasConvDepthwiseKernelAvx2 (qdwconv_avx2.cpp) with PMULLW, PMULHW
    and PADDD, and the AVX2 kernel of ConvSymDepthwise with VPMADDWD. With more output
    channels a group it takes the matrix kernels, as it does for ordinary convolutions.
    """
    groups = node.attributes.get("group", 1)
    return (
        node.op_type == "Conv" and groups > 1 and weight.shape[1] == 1 and weight.shape[0] == groups
    )


def bound_of(node: Node, weight: np.ndarray, weight_range: WeightRange) -> int:
    """Largest magnitude that an int8 weight of a node may have."""
    if weight_range is WeightRange.FULL or is_depthwise(node, weight):
        return FULL_BOUND
    return SAFE_BOUND


def channel_axis(node: Node) -> int:
    """Axis of a weight that counts the output channels."""
    if node.op_type == "Conv" or node.attributes.get("transB", 0):
        return 0
    return 1


def weight_scales(
    weight: np.ndarray, axis: int, bound: int, granularity: Granularity
) -> np.ndarray:
    """Symmetric scales, ``max |w| / bound`` (Jacob et al. 2018, arXiv:1712.05877, section 3).

    A channel of zeros, or of weights too small to matter, has no scale of its own: it gets one
    that leaves its bias, whose step is the product of the scales of input and weight, fine
    enough to be stored in 32 bits.

    Args:
        weight: float32.
        axis: of the channels.
        bound: largest integer.
        granularity: one scale, or one a channel.

    Returns:
        float32, ``[channels]`` or ``[1]``.

    Raises:
        InvalidInputError: weights that are not finite.
    """
    import numpy as np

    if not np.isfinite(weight).all():
        raise InvalidInputError(
            "weights are finite numbers",
            received="NaN or infinity in a weight tensor",
            remedy="check the training that made them",
        )
    widest = float(np.abs(weight).max(initial=0.0)) or float(bound)
    if granularity is Granularity.PER_TENSOR:
        return np.array([widest / bound], np.float32)
    others = tuple(i for i in range(weight.ndim) if i != axis)
    channel = np.abs(np.float64(weight)).max(axis=others)
    channel = np.where(channel == 0, widest, np.maximum(channel, widest * SMALLEST_RELATIVE_SCALE))
    return np.asarray(channel / bound, np.float32)


def weighted_nodes(graph: Graph) -> list[tuple[Node, np.ndarray]]:
    """Convolutions and matrix products with their stored weights."""
    return [
        (node, graph.constants[node.inputs[1]])
        for node in graph.nodes
        if node.op_type in WEIGHTED and node.inputs[1] in graph.constants
    ]
