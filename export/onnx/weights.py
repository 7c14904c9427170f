"""Integer weights of ONNX files: scales, ranges, and where x86 kernels saturate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.onnx.graph import WEIGHTED, Node, OnnxGraph
from foundation.errors import InvalidInputError
from network.affine import weight_reach
from quantize.rounding.second_order import neighbours, pair_reach
from quantize.settings import Granularity, WeightRange

if TYPE_CHECKING:
    import numpy as np

FULL_BOUND = 127
"""Largest magnitude of an int8 weight: symmetric, so that the zero point is 0."""


def is_depthwise(node: Node, weight: np.ndarray) -> bool:
    """Whether a convolution has one input and one output channel per group.

    ONNX Runtime has special kernels for these, which widen to 16 bits before they multiply, and
    add in 32: MlasConvDepthwiseKernelAvx2 (qdwconv_avx2.cpp) with PMULLW, PMULHW and PADDD, and
    the AVX2 kernel of ConvSymDepthwise with VPMADDWD. With more output channels per group it
    takes the matrix kernels, as for ordinary convolutions.
    """
    groups = node.attributes.get("group", 1)
    return (
        node.op_type == "Conv" and groups > 1 and weight.shape[1] == 1 and weight.shape[0] == groups
    )


def must_not_saturate(node: Node, weight: np.ndarray, weight_range: WeightRange) -> bool:
    """Whether the weights of a node must be safe in kernels that add in 16 bits."""
    return weight_range is WeightRange.SATURATION_SAFE and not is_depthwise(node, weight)


def pair_sums(node: Node, weight: np.ndarray) -> np.ndarray:
    """Largest magnitude of the sum of two neighbouring weights of one sign, per channel.

    Neighbours are weights that a kernel may multiply in one pair
    (``quantize.rounding.second_order.neighbours``).
    A single weight is a pair with zero.

    Args:
        node: operator that reads the weight.
        weight: float32, or integers.

    Returns:
        float64 ``[channels]``.
    """
    import numpy as np

    rows = np.moveaxis(weight.astype(np.float64), channel_axis(node), 0)  # [channels, ...]
    if rows.ndim == 4:
        rows = rows.transpose(0, 2, 3, 1)  # [o, i, h, w] -> [o, h, w, i]
    return pair_reach(rows.reshape(len(rows), -1), neighbours(rows.shape))


def channel_axis(node: Node) -> int:
    """Axis of a node's weight along which the output channels are."""
    if node.op_type == "Conv" or node.attributes.get("transB", 0):
        return 0
    return 1


def weight_scales(
    node: Node, weight: np.ndarray, weight_range: WeightRange, granularity: Granularity
) -> np.ndarray:
    """Symmetric scales, ``reach / 127`` (Jacob et al. 2018, arXiv:1712.05877, section 3).

    The reach is ``max |w|``. Where 16-bit sums must not saturate it is the largest sum of
    neighbours, which holds every weight and leaves one step for the rounding of both.

    A channel of zeros gets the scale that ``weight_reach`` has for it.

    Args:
        node: operator that reads the weight.
        weight: float32.
        weight_range: whether the file must be safe on x86 without VNNI.
        granularity: one scale per tensor, or per channel.

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
    if must_not_saturate(node, weight, weight_range):
        channel = pair_sums(node, weight)
    else:
        axis = channel_axis(node)
        others = tuple(i for i in range(weight.ndim) if i != axis)
        channel = np.abs(np.float64(weight)).max(axis=others)
    per_channel = granularity is Granularity.PER_CHANNEL
    reach = weight_reach(channel, per_channel=per_channel)
    return np.asarray(reach / FULL_BOUND, np.float32)[: None if per_channel else 1]


def stored_weight(graph: OnnxGraph, node: Node) -> np.ndarray | None:
    """Stored weight of a convolution or matrix product; None for every other node."""
    if node.op_type not in WEIGHTED:
        return None
    return graph.constants.get(node.inputs[1])
