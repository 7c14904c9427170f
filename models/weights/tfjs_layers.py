"""Convolutions and dense layers of a TensorFlow.js graph, as layers that are assigned by shape.

The graph is a frozen TensorFlow graph, of which converters fold as much as they can: a batch norm
is an operator with four tensors, a product and a sum with constants, or part of the kernel. All of
them become a kernel and a bias. Operators: tensorflow/core/ops/nn_ops.cc; fused ones
(``_FusedConv2D``): tensorflow/core/grappler/optimizers/remapper.cc.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from foundation.foreign import reading
from models.weights.by_shape import StoredLayer
from models.weights.tfjs import TfjsModel, read_tfjs

_CONVOLUTIONS = {"Conv2D", "_FusedConv2D"}
_DEPTHWISE = {"DepthwiseConv2dNative", "FusedDepthwiseConv2dNative"}
_DENSE = {"MatMul", "_FusedMatMul"}
_KERNELS = _CONVOLUTIONS | _DEPTHWISE | _DENSE
_NORMS = {"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"}
_SUMS = {"Add", "AddN", "AddV2", "BiasAdd"}
"""Sums; AddN joins the shift of a batch norm with the shortcut behind it."""
_EPSILON = 1e-4
"""Epsilon of a batch norm that says none (tensorflow/core/ops/nn_ops.cc)."""
_Affine = tuple[np.ndarray, np.ndarray]
"""Scale and addend of each channel, float64."""
_RULE = "the graph of a TensorFlow.js model is one of operators and constants of fitting shapes"
_REMEDY = "convert the model again, with tensorflowjs_converter --output_format tfjs_graph_model"


@dataclass(frozen=True)
class _Node:
    """An operator: what it reads, without its control inputs, and its attributes."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(repr=False)


def tfjs_layers(path: Path) -> tuple[StoredLayer, ...]:
    """Layers of a graph model, batch norms folded.

    Args:
        path: model.json, or the folder that holds it.

    Raises:
        InvalidInputError: as ``read_tfjs``; operators and weights that do not fit each other.
    """
    model = read_tfjs(path)
    with reading(model.path, _RULE, _REMEDY):
        return _Graph(model).layers()


class _Graph:
    """Nodes of a graph by name, and the nodes that read each."""

    def __init__(self, model: TfjsModel) -> None:
        self._weights = model.weights
        self._nodes = {node.name: node for node in map(_node, model.nodes)}
        if len(self._nodes) < len(model.nodes):
            raise ValueError("two nodes have one name")
        self._readers: dict[str, list[_Node]] = defaultdict(list)
        self._folded: set[str] = set()  # nodes whose constants are part of a layer
        for node in self._nodes.values():
            for name in node.inputs:
                # A shape is read for sizes alone.
                if node.op != "Shape":
                    self._readers[name].append(node)

    def layers(self) -> tuple[StoredLayer, ...]:
        """Layers in an order in which each follows those that it reads."""
        depths: dict[str, int] = {}
        sources: dict[str, frozenset[str]] = {}
        layers: dict[str, StoredLayer] = {}
        for node in self._ordered():
            before = [n for n in node.inputs if n in depths]
            depth = max((depths[name] for name in before), default=0)
            read = frozenset().union(*(sources[name] for name in before))
            kernel = self._kernel(node)
            if kernel is not None:
                layers[node.name] = self._layer(node, kernel, depth + 1, tuple(sorted(read)))
                depth, read = depth + 1, frozenset({node.name})
            depths[node.name], sources[node.name] = depth, read
        for name, read in sources.items():
            self._require_folded(self._nodes[name], {layers[n].bias.size for n in read})
        return tuple(layers.values())

    def _require_folded(self, node: _Node, channels: set[int]) -> None:
        """Refuse a number per channel that is part of no layer: the function would be another.

        Args:
            node: any node.
            channels: numbers of channels of the layers before it.
        """
        affine = node.op in _NORMS or node.op == "Mul" or node.op in _SUMS
        if not affine or node.name in self._folded or len(self._variables(node)) != 1:
            return
        if any(size > 1 and self._constant(node, size) is not None for size in channels) or (
            node.op in _NORMS and channels
        ):
            raise ValueError(f"{node.name} is part of no convolution or dense layer before it")

    def _ordered(self) -> Iterator[_Node]:
        """Nodes, each after what it reads; a loop is entered at its first node."""
        done, begun = set[str](), set[str]()
        for start in self._nodes.values():
            stack = [start]
            while stack:
                node = stack[-1]
                if node.name not in begun:
                    begun.add(node.name)
                    missing = (self._nodes[n] for n in node.inputs if n in self._nodes)
                    stack += [n for n in missing if n.name not in begun]
                    continue
                stack.pop()
                if node.name not in done:
                    done.add(node.name)
                    yield node

    def _kernel(self, node: _Node) -> np.ndarray | None:
        """Stored kernel of a layer; None for a node that has none."""
        if node.op not in _KERNELS or len(node.inputs) < 2:
            return None
        kernel = self._weights.get(node.inputs[1])
        if kernel is None:
            return None
        if kernel.ndim != (2 if node.op in _DENSE else 4) or kernel.dtype != np.float32:
            raise ValueError(f"{node.name} with a kernel {list(kernel.shape)} of {kernel.dtype}")
        if node.op in _DENSE and node.attributes.get("transpose_b", {}).get("b"):
            kernel = kernel.T
        return kernel

    def _layer(
        self, node: _Node, kernel: np.ndarray, depth: int, sources: tuple[str, ...]
    ) -> StoredLayer:
        deep = node.op in _DEPTHWISE
        channels = kernel.shape[2] * kernel.shape[3] if deep else kernel.shape[-1]
        scale, bias = self._affine(node, channels)
        wide = scale.reshape(kernel.shape[2:]) if deep else scale
        folded = (kernel * wide).astype(np.float32)
        dilations = node.attributes.get("dilations", {}).get("list", {}).get("i") or [1]
        return StoredLayer(
            node.name,
            folded,
            bias.astype(np.float32),
            deep,
            depth,
            sources,
            dilation=max(map(int, dilations)),
        )

    def _affine(self, node: _Node, channels: int) -> _Affine:
        """Scale and bias of each channel of what follows a layer, up to the first other operator.

        Only constants with a number for each channel count: a single number belongs to an
        activation, such as the 3 in a hard swish.
        """
        fused = _texts(node.attributes)
        if fused:
            step = self._fused(node, fused)
            return _identity(channels) if step is None else _fitting(step, channels, node.name)
        scale, bias = _identity(channels)
        joined = False
        while len(readers := self._readers[node.name]) == 1:
            (reader,) = readers
            if reader.op in _SUMS:
                # Behind a sum with another layer's result, only an addition is still a bias.
                joined |= len(self._variables(reader)) > 1
                bias = bias + self._addend(reader, node.name, channels)
            elif reader.op != "Identity":
                step = None if joined else self._step(reader, node.name, channels)
                if step is None:
                    break
                factor, addend = _fitting(step, channels, reader.name)
                scale, bias = scale * factor, bias * factor + addend
            node = reader
        return scale, bias

    def _fused(self, node: _Node, fused: list[str]) -> _Affine | None:
        """What a fused operator does after its product and before its activation."""
        if "FusedBatchNorm" in fused:
            return self._norm(node, node.inputs[2:6])
        if "BiasAdd" in fused:
            bias = self._weights[node.inputs[2]].astype(np.float64)
            return np.ones_like(bias), bias
        return None

    def _step(self, reader: _Node, source: str, channels: int) -> _Affine | None:
        """What a norm or product does to each channel of ``source``; None for other operators."""
        if reader.op in _NORMS and reader.inputs[0] == source:
            return self._norm(reader, reader.inputs[1:5])
        constant = self._constant(reader, channels) if reader.op == "Mul" else None
        if constant is None:
            return None
        self._folded.add(reader.name)
        return constant, np.zeros(channels)

    def _addend(self, reader: _Node, source: str, channels: int) -> np.ndarray:
        """Constant that a sum adds to each channel; zeros if a layer has it already."""
        constant = self._constant(reader, channels)
        if constant is None or reader.name in self._folded or reader.inputs.count(source) != 1:
            return np.zeros(channels)
        self._folded.add(reader.name)
        return constant

    def _variables(self, node: _Node) -> list[str]:
        """Inputs that are no constants."""
        return [name for name in node.inputs if name not in self._weights]

    def _constant(self, node: _Node, channels: int) -> np.ndarray | None:
        """Sole constant of an operator, if it has a number for each channel, as float64."""
        found = [self._weights[name] for name in node.inputs if name in self._weights]
        if len(found) != 1 or found[0].shape[-1:] != (channels,) or found[0].size != channels:
            return None
        return found[0].reshape(-1).astype(np.float64)

    def _norm(self, node: _Node, names: tuple[str, ...]) -> _Affine:
        """Batch norm at inference: ``(x - mean) / sqrt(variance + epsilon) * gamma + beta``."""
        self._folded.add(node.name)
        gamma, beta, mean, variance = (self._weights[n].astype(np.float64) for n in names)
        epsilon = float(node.attributes.get("epsilon", {}).get("f", _EPSILON))
        if not (variance + epsilon > 0).all():
            raise ValueError(f"{node.name} with a variance that is not positive")
        scale = gamma / np.sqrt(variance + epsilon)
        return scale, beta - mean * scale


def _identity(channels: int) -> _Affine:
    return np.ones(channels), np.zeros(channels)


def _fitting(step: _Affine, channels: int, name: str) -> _Affine:
    if any(values.shape != (channels,) for values in step):
        raise ValueError(f"{name} has {step[0].size} channels, the layer before it {channels}")
    return step


def _node(entry: Mapping[str, Any]) -> _Node:
    inputs = tuple(name.partition(":")[0] for name in entry.get("input") or [] if name[0] != "^")
    return _Node(str(entry["name"]), str(entry["op"]), inputs, entry.get("attr") or {})


def _texts(attributes: Mapping[str, Any]) -> list[str]:
    """Names in ``fused_ops``: base64, or lists of characters in files of old converters."""
    found = []
    for text in attributes.get("fused_ops", {}).get("list", {}).get("s") or []:
        content = bytes(text) if isinstance(text, list) else base64.b64decode(text, validate=True)
        found.append(content.decode("ascii"))
    return found
