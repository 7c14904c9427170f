"""The graph of a built Keras model: any family, any size, or a user's own file."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import TYPE_CHECKING, Any

from foundation.errors import UnsupportedError
from models.cost.graph import LayerGraph, Operator, Role, Shape, fused

if TYPE_CHECKING:
    import keras

_VIEWS = frozenset(
    {"ActivityRegularization", "Dropout", "Flatten", "GaussianNoise", "Identity", "Reshape"}
    | {"SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"}
)
"""Layers that move no data at inference: the output is the input, perhaps in another shape."""

_CONVOLUTIONS = frozenset({"Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D"})
_TRANSPOSED = frozenset({"Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"})
_SEPARABLE = frozenset({"SeparableConv1D", "SeparableConv2D"})
_KERNELS = _CONVOLUTIONS | _TRANSPOSED | _SEPARABLE | {"Dense"}
_ELEMENTWISE = frozenset(
    {"Add", "Subtract", "Multiply", "Divide", "AveragePooling2D", "MaxPooling2D"}
)
_WITHOUT_PRODUCTS = frozenset(
    {"BatchNormalization", "GroupNormalization", "LayerNormalization", "Normalization", "PReLU"}
)
"""Layers with weights whose cost, an operation an element, nobody counts as multiply-adds."""


def graph_of(model: keras.Model) -> LayerGraph:
    """The operators of a functional or sequential model, fused as in an exported file.

    Batch norm goes into the convolution or dense layer before it; ReLU and ReLU6 into that, an
    addition, a multiplication or a pooling; reshapes and dropout vanish. Other activations
    (swish, hard swish, sigmoid) stay operators of their own, as in a .tflite.

    Raises:
        UnsupportedError: a model without a graph (subclassed, or a SavedModel), a free size
            besides the batch, or a layer whose multiply-adds are not known.
    """
    return fused(unfused_graph(model))


def unfused_graph(model: keras.Model) -> LayerGraph:
    """``graph_of`` with an operator for each layer, batch norms and activations included.

    Raises:
        UnsupportedError: see ``graph_of``.
    """
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        raise _no_graph(model.name)
    trace = _Trace()
    inputs = [trace.tensor(tensor.shape, model.name) for tensor in model.inputs]
    outputs = trace.run(model, inputs)
    return LayerGraph(tuple(trace.operators), tuple(trace.tensors), tuple(inputs), tuple(outputs))


def nodes_of(model: keras.Model) -> list[Any]:
    """Calls of layers between a model's inputs and outputs, each after those it needs."""
    done = {id(tensor) for tensor in model.inputs}
    order: list[Any] = []
    stack = list(reversed(model.outputs))
    while stack:
        if id(stack[-1]) in done:
            stack.pop()
            continue
        history = stack[-1]._keras_history
        node = history.operation._inbound_nodes[history.node_index]
        missing = [tensor for tensor in node.input_tensors if id(tensor) not in done]
        if missing:
            stack += reversed(missing)
            continue
        order.append(node)
        done.update(id(tensor) for tensor in node.output_tensors)
    return order


class _Trace:
    """Collects operators and tensors while a model, and the models in it, are walked."""

    def __init__(self) -> None:
        self.operators: list[Operator] = []
        self.tensors: list[Shape] = []
        self._counted: set[int] = set()

    def tensor(self, shape: Iterable[int | None], where: str) -> int:
        sizes = tuple(shape)[1:]
        if None in sizes:
            raise UnsupportedError(
                "cost is counted at fixed sizes",
                received=f"{where} with a tensor of {[None, *sizes]}",
                remedy="rebuild the model on keras.Input((height, width, channels))",
            )
        self.tensors.append(tuple(int(size) for size in sizes if size is not None))
        return len(self.tensors) - 1

    def run(self, model: Any, inputs: list[int]) -> list[int]:
        """Walk a model on these tensors; gives those of its outputs."""
        known = {id(tensor): index for tensor, index in zip(model.inputs, inputs, strict=True)}
        for node in nodes_of(model):
            takes = [known[id(tensor)] for tensor in node.input_tensors]
            gives = self._call(node, takes)
            known.update({id(t): g for t, g in zip(node.output_tensors, gives, strict=True)})
        return [known[id(tensor)] for tensor in model.outputs]

    def _call(self, node: Any, takes: list[int]) -> list[int]:
        layer, kind = node.operation, type(node.operation).__name__
        if hasattr(layer, "layers") and getattr(layer, "inputs", None):
            return self.run(layer, takes)
        if kind in _VIEWS or _activation(layer, kind) == "linear":
            return takes[:1]
        shapes = [tensor.shape for tensor in node.output_tensors]
        if kind in _SEPARABLE:
            takes = [self._depthwise_half(layer, takes, shapes[0])]
        gives = [self.tensor(shape, layer.name) for shape in shapes]
        kernel = _kernel(layer, kind)
        sites = self.tensors[takes[0] if kind in _TRANSPOSED else gives[0]][:-1]
        params = self._params(layer, without=_depthwise_kernel(layer, kind))
        self.operators.append(
            Operator(
                layer.name,
                kind,
                _role(layer, kind),
                tuple(takes),
                tuple(gives),
                macs=prod(sites) * prod(kernel) if kernel else 0,
                kernel=kernel,
                params=params,
                norm_params=params if kind == "BatchNormalization" else 0,
                layers=(layer.name,),
            )
        )
        return self._own_activation(layer, kind, gives)

    def _params(self, layer: Any, without: Shape) -> int:
        """Weights of a layer at its first call; later calls share them."""
        if id(layer) in self._counted:
            return 0
        self._counted.add(id(layer))
        held = sum(int(prod(weight.shape)) for weight in getattr(layer, "weights", ()))
        return held - (prod(without) if without else 0)

    def _depthwise_half(self, layer: Any, takes: list[int], shape: Any) -> int:
        """A separable convolution is two operators; this is its first."""
        kernel = _depthwise_kernel(layer, type(layer).__name__)
        middle = self.tensor((*tuple(shape)[:-1], kernel[-2] * kernel[-1]), layer.name)
        fresh = id(layer) not in self._counted
        self.operators.append(
            Operator(
                f"{layer.name}/depthwise",
                "DepthwiseConv2D",
                Role.KERNEL,
                tuple(takes),
                (middle,),
                macs=prod(self.tensors[middle][:-1]) * prod(kernel),
                kernel=kernel,
                params=prod(kernel) if fresh else 0,
            )
        )
        return middle

    def _own_activation(self, layer: Any, kind: str, gives: list[int]) -> list[int]:
        """An activation that a layer applies itself and that no exported operator carries."""
        if kind not in _KERNELS or _applied(layer) in ("linear", "relu", "relu6"):
            return gives
        result = self.tensor((None, *self.tensors[gives[0]]), layer.name)
        name = f"{layer.name}/{_applied(layer)}"
        self.operators.append(
            Operator(name, "Activation", Role.OTHER, (gives[0],), (result,), layers=(layer.name,))
        )
        return [result]


def _kernel(layer: Any, kind: str) -> Shape:
    if kind in _SEPARABLE:
        return tuple(layer.pointwise_kernel.shape)
    if kind in _KERNELS:
        return tuple(layer.kernel.shape)
    if kind == "TFSMLayer":
        raise _no_graph(layer.name)
    if getattr(layer, "weights", ()) and kind not in _WITHOUT_PRODUCTS:
        raise UnsupportedError(
            "multiply-adds are counted of convolutions and dense layers",
            received=f"{layer.name}, a {kind} with weights",
            remedy="build the model of these, or count the part without that layer",
        )
    return ()


def _depthwise_kernel(layer: Any, kind: str) -> Shape:
    return tuple(layer.depthwise_kernel.shape) if kind in _SEPARABLE else ()


def _role(layer: Any, kind: str) -> Role:
    if kind in _KERNELS:
        return Role.KERNEL if _applied(layer) == "linear" else Role.OTHER
    if kind in _ELEMENTWISE:
        return Role.ELEMENTWISE
    if kind == "BatchNormalization":
        return Role.NORM
    return Role.RECTIFIER if _activation(layer, kind) in ("relu", "relu6") else Role.OTHER


def _applied(layer: Any) -> str:
    """Name of the activation that a layer of weights applies to what it gives."""
    return str(getattr(layer.activation, "__name__", type(layer.activation).__name__))


def _activation(layer: Any, kind: str) -> str | None:
    """Name of the activation that a layer is; None for other layers."""
    if kind == "Activation":
        return _applied(layer)
    if kind == "ReLU":
        plain = not layer.negative_slope and not layer.threshold
        limits = {None: "relu", 6.0: "relu6"}
        return limits.get(layer.max_value, "clipped") if plain else "leaky"
    return {"Relu": "relu", "Relu6": "relu6"}.get(kind)


def _no_graph(name: str) -> UnsupportedError:
    return UnsupportedError(
        "cost is counted over the graph of a functional or sequential Keras model",
        received=f"{name}, whose layers cannot be seen",
        remedy="save it as a functional model (.keras)",
    )
