"""Conversion of a built Keras model of any family or file into a ``LayerGraph``."""

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
"""Layers that do nothing at inference but change the shape of a tensor."""

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
"""Layers with weights whose cost, one operation per element, does not count as multiply-adds."""


def graph_of(model: keras.Model) -> LayerGraph:
    """Graph of a functional or sequential model, with operators fused as in an exported file.

    A batch norm is fused into the convolution or dense layer before it; ReLU and ReLU6 into that,
    or into an addition, multiplication or pooling. Reshapes and dropout are omitted. Other
    activations (swish, hard swish, sigmoid) remain separate operators, as in a .tflite.

    Raises:
        UnsupportedError: a model without a graph (subclassed, or a SavedModel), a free size
            besides the batch, or a layer whose multiply-adds are not known.
    """
    return fused(unfused_graph(model))


def unfused_graph(model: keras.Model) -> LayerGraph:
    """Graph of a functional or sequential model, with batch norms and activations as operators.

    Raises:
        UnsupportedError: the same as for ``graph_of``.
    """
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        raise _no_graph(model.name)
    trace = _Trace()
    inputs = [trace.tensor(tensor.shape, model.name) for tensor in model.inputs]
    outputs = trace.run(model, inputs)
    return LayerGraph(tuple(trace.operators), tuple(trace.tensors), tuple(inputs), tuple(outputs))


def nodes_of(model: keras.Model) -> list[Any]:
    """Calls of layers between a model's inputs and outputs, each after the calls it depends on."""
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
    """Collector of operators and tensors during a walk over a model and its nested models."""

    def __init__(self) -> None:
        self.operators: list[Operator] = []
        self.tensors: list[Shape] = []
        self._counted: set[int] = set()

    def tensor(self, shape: Iterable[int | None], where: str) -> int:
        """Add a tensor of this shape, batch included; returns its index."""
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
        """Walk a model on input tensors; returns the indices of its output tensors."""
        indices = {id(tensor): index for tensor, index in zip(model.inputs, inputs, strict=True)}
        for node in nodes_of(model):
            outputs = self._call(node, [indices[id(tensor)] for tensor in node.input_tensors])
            indices.update({id(t): i for t, i in zip(node.output_tensors, outputs, strict=True)})
        return [indices[id(tensor)] for tensor in model.outputs]

    def _call(self, node: Any, inputs: list[int]) -> list[int]:
        """Add the operators of one call; returns the indices of its outputs."""
        layer, kind = node.operation, type(node.operation).__name__
        if hasattr(layer, "layers") and getattr(layer, "inputs", None):
            return self.run(layer, inputs)  # a nested model
        if kind in _VIEWS or _activation(layer, kind) == "linear":
            return inputs[:1]
        shapes = [tensor.shape for tensor in node.output_tensors]
        if kind in _SEPARABLE:
            inputs = [self._depthwise_half(layer, inputs, shapes[0])]
        outputs = [self.tensor(shape, layer.name) for shape in shapes]
        kernel = _kernel(layer, kind)
        # The kernel is applied once per site: of the output, or of the input if transposed.
        sites = self.tensors[inputs[0] if kind in _TRANSPOSED else outputs[0]][:-1]
        params = self._params(layer, without=_depthwise_kernel(layer, kind))
        self.operators.append(
            Operator(
                layer.name,
                kind,
                _role(layer, kind),
                tuple(inputs),
                tuple(outputs),
                macs=prod(sites) * prod(kernel) if kernel else 0,
                kernel=kernel,
                params=params,
                norm_params=params if kind == "BatchNormalization" else 0,
                layers=(layer.name,),
            )
        )
        return self._inner_activation(layer, kind, outputs)

    def _params(self, layer: Any, without: Shape) -> int:
        """Number of weights of a layer at its first call; later calls share them and count 0."""
        if id(layer) in self._counted:
            return 0
        self._counted.add(id(layer))
        total = sum(int(prod(weight.shape)) for weight in getattr(layer, "weights", ()))
        return total - (prod(without) if without else 0)

    def _depthwise_half(self, layer: Any, inputs: list[int], shape: Any) -> int:
        """Add the first of the two operators of a separable convolution; returns its output."""
        kernel = _depthwise_kernel(layer, type(layer).__name__)
        middle = self.tensor((*tuple(shape)[:-1], kernel[-2] * kernel[-1]), layer.name)
        is_first_call = id(layer) not in self._counted
        self.operators.append(
            Operator(
                f"{layer.name}/depthwise",
                "DepthwiseConv2D",
                Role.KERNEL,
                tuple(inputs),
                (middle,),
                macs=prod(self.tensors[middle][:-1]) * prod(kernel),
                kernel=kernel,
                params=prod(kernel) if is_first_call else 0,
            )
        )
        return middle

    def _inner_activation(self, layer: Any, kind: str, outputs: list[int]) -> list[int]:
        """Add an operator for an activation that a layer applies itself and no file fuses."""
        if kind not in _KERNELS or _applied(layer) in ("linear", "relu", "relu6"):
            return outputs
        source = outputs[0]
        result = self.tensor((None, *self.tensors[source]), layer.name)
        name = f"{layer.name}/{_applied(layer)}"
        self.operators.append(
            Operator(name, "Activation", Role.OTHER, (source,), (result,), layers=(layer.name,))
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
            "multiply-adds are counted for convolutions and dense layers",
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
    """Name of the activation that a layer with weights applies to its output."""
    return str(getattr(layer.activation, "__name__", type(layer.activation).__name__))


def _activation(layer: Any, kind: str) -> str | None:
    """Name of the activation that an activation layer computes; None for other layers."""
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
