"""Batch norms with the same numbers on any CPU.

TensorFlow folds a batch norm into its convolution through ``rsqrt``, which Eigen computes from the
CPU's approximation (RSQRTPS) and one Newton step. Processors of AMD and Intel approximate
differently, and every fifth result differs in its last bit, so each would quantize another float
network. Square root, division, product and sum are exact on all of them, so inverse
roots that do not depend on the image are stored as constants before the converter sees them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_SUMS = ("Add", "AddV2")
_PASSES = ("Identity", "ReadVariableOp")
_NORMS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")


def exact_norms(frozen: Any) -> Any:
    """Same function, with the inverse roots of its batch norms computed by NumPy.

    Args:
        frozen: a TensorFlow function without variables.

    Returns:
        Another function of the same inputs and outputs; ``frozen`` itself if it has no batch norm.
    """
    from tensorflow.python.framework.convert_to_constants import _construct_concrete_function

    graph = frozen.graph.as_graph_def()
    constants = _Constants({node.name: node for node in graph.node})
    read = {name for node in graph.node for name in node.input}
    changed = False
    for node in list(graph.node):
        if node.op == "Rsqrt":
            variance = constants.value(node.input[0])
            if variance is not None:
                _become_constant(node, inverse_root(variance))
                changed = True
        elif node.op in _NORMS:
            changed |= _become_affine(graph, node, constants.value, read)
    return _construct_concrete_function(frozen, graph, set()) if changed else frozen


def inverse_root(variance: np.ndarray) -> np.ndarray:
    """``1 / sqrt(variance)`` in float64, rounded to float32 once; zero gives infinity."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((1 / np.sqrt(variance.astype(np.float64))).astype(np.float32))


class _Constants:
    """Values of the nodes of a graph that depend on no input."""

    def __init__(self, nodes: Mapping[str, Any]) -> None:
        self._nodes = nodes

    def value(self, name: str) -> np.ndarray | None:
        """Float32 value of an output; None where it is not constant or of another type."""
        from tensorflow import make_ndarray

        node = self._nodes.get(name.partition(":")[0])
        if node is None or (not name.endswith(node.name) and not name.endswith(":0")):
            return None
        if node.op == "Const":
            stored = make_ndarray(node.attr["value"].tensor)
            return stored if stored.dtype == np.float32 else None
        if node.op in _PASSES:
            return self.value(node.input[0])
        if node.op == "Reshape":
            return self._reshaped(node)
        if node.op in _SUMS:
            first, second = (self.value(text) for text in node.input[:2])
            return None if first is None or second is None else first + second
        return None

    def _reshaped(self, node: Any) -> np.ndarray | None:
        """Value of a reshape: Keras reshapes weights whose axis is counted from the front."""
        from tensorflow import make_ndarray

        shape, stored = self._nodes.get(node.input[1]), self.value(node.input[0])
        if stored is None or shape is None or shape.op != "Const":
            return None
        return stored.reshape(make_ndarray(shape.attr["value"].tensor))


def _become_constant(node: Any, value: np.ndarray) -> None:
    """Replace a node of a GraphDef by a constant, in place, for all its readers."""
    from tensorflow import make_tensor_proto
    from tensorflow.core.framework.types_pb2 import DT_FLOAT

    node.op = "Const"
    del node.input[:]
    node.attr.clear()
    node.attr["dtype"].type = DT_FLOAT
    node.attr["value"].tensor.CopyFrom(make_tensor_proto(value))


def _become_affine(
    graph: Any, node: Any, value: Callable[[str], np.ndarray | None], read: set[str]
) -> bool:
    """Replace a fused batch norm by a product and a sum, in place; False where that is impossible.

        scale = gamma / sqrt(variance + epsilon)        y = x scale + (beta - mean scale)

    Its other outputs (statistics of a batch in training) must not be read.
    """
    from tensorflow.core.framework.types_pb2 import DT_FLOAT

    gamma, beta, mean, variance = (value(name) for name in node.input[1:5])
    if gamma is None or beta is None or mean is None or variance is None or not mean.size:
        return False
    plain = not node.attr["is_training"].b and node.attr["data_format"].s in (b"", b"NHWC")
    if not plain or any(f"{node.name}:{output}" in read for output in range(1, 6)):
        return False
    scale = gamma * inverse_root(variance + np.float32(node.attr["epsilon"].f))
    factor, offset = (graph.node.add(name=f"{node.name}/{end}") for end in ("scale", "offset"))
    _become_constant(factor, scale)
    _become_constant(offset, beta - mean * scale)
    product = graph.node.add(name=f"{node.name}/product", op="Mul")
    product.input.extend([node.input[0], factor.name])
    product.attr["T"].type = DT_FLOAT
    node.op = "AddV2"
    del node.input[:]
    node.input.extend([product.name, offset.name])
    node.attr.clear()
    node.attr["T"].type = DT_FLOAT
    return True
