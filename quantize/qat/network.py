"""The canonical graph as a tf_keras model, in float32 or with TF-MOT's quantizers.

Weighted operators become Conv2D, DepthwiseConv2D and Dense layers; every other operator becomes a
layer that computes the same as ``network.run_tensorflow``. Runs where TF_USE_LEGACY_KERAS is
set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from foundation.errors import UnsupportedError
from network.graph import Graph, Op
from network.operators import Fused, OpKind
from network.run_tensorflow import run_op
from quantize.plans.plan import QuantizationPlan
from quantize.qat.quantizers import WEIGHT_LIMIT, Quantizers, wrapped

BIAS_SHARE = 0.02
"""Unit of a bias, in steps of the layer's result: the error of a bias does not average out as that
of a weight does."""

_PADDING = ("same", "valid")


@dataclass(frozen=True)
class Layer:
    """A weighted operator of the model.

    Attributes:
        op: operator of the graph.
        kernel: variable, in tf_keras's order of axes; in steps of the integers where quantized.
        bias: variable ``[channels]``; in units of ``bias_unit`` where quantized.
        bias_unit: real number that a bias of 1 stands for; 1 in a float model.
        limit: largest magnitude of an integer of the weight.
    """

    op: Op
    kernel: Any = field(repr=False)
    bias: Any = field(repr=False)
    bias_unit: float = 1.0
    limit: int = WEIGHT_LIMIT


@dataclass(frozen=True)
class Network:
    """A model and its weighted layers.

    Attributes:
        model: ``[batch, height, width, 3]`` to the outputs, each before a softmax at its end; to a
            list of them if there are several.
        layers: layers with weights that can be trained.
    """

    model: Any = field(repr=False)
    layers: tuple[Layer, ...]


def network(graph: Graph, batch: int, plan: QuantizationPlan | None = None) -> Network:
    """Build the model of a graph.

    Args:
        graph: canonical.
        batch: images per call.
        plan: plan whose scales the quantizers get, and whose integers replace the graph's weights;
            None for the float network.

    Raises:
        UnsupportedError: an operator that tf_keras cannot train; names it.
    """
    import tf_keras

    builder = _Builder(graph, plan)
    shape = graph.tensors[graph.input].shape[1:]
    image = tf_keras.Input(shape, batch_size=batch)
    builder.values[graph.input] = builder.ending(graph.input, image, lambda x: x)
    ends = trained_ends(graph)
    for op in graph.ops:
        if op.name not in ends and builder.values.keys() >= set(ends):
            break
        builder.add(op)
    results = [builder.values[end] for end in ends]
    model = tf_keras.Model(image, results if len(results) > 1 else results[0])
    return Network(model, tuple(builder.layers))


def trained_ends(graph: Graph) -> tuple[str, ...]:
    """Names of the activations that training follows: each output, before a softmax at its end."""
    last = [graph.producers[name] for name in graph.outputs]
    return tuple(
        op.inputs[0] if op.kind == OpKind.SOFTMAX else name
        for op, name in zip(last, graph.outputs, strict=True)
    )


def to_layer(op: Op, weight: np.ndarray, channels: int) -> np.ndarray:
    """A weight in tf_keras's order of axes.

    Args:
        op: weighted operator.
        weight: weight in the schema's order: OHWI, 1HW(CM) or OI.
        channels: number of channels of the operator's input.

    Returns:
        The weight in the order HWIO, HWCM, HWOI (transposed) or IO.
    """
    if op.kind == OpKind.TRANSPOSE_CONV:
        return np.transpose(weight, (1, 2, 0, 3))
    if op.kind == OpKind.CONV:
        return np.transpose(weight, (1, 2, 3, 0))
    if op.kind == OpKind.DEPTHWISE_CONV:
        return weight.reshape((*weight.shape[1:3], channels, -1))
    return weight.T


def from_layer(op: Op, kernel: np.ndarray) -> np.ndarray:
    """Inverse of ``to_layer``: a weight in the schema's order of axes."""
    if op.kind == OpKind.TRANSPOSE_CONV:
        return np.ascontiguousarray(np.transpose(kernel, (2, 0, 1, 3)))
    if op.kind == OpKind.CONV:
        return np.ascontiguousarray(np.transpose(kernel, (3, 0, 1, 2)))
    if op.kind == OpKind.DEPTHWISE_CONV:
        return kernel.reshape((1, *kernel.shape[:2], -1))
    return np.ascontiguousarray(kernel.T)


@dataclass
class _Builder:
    """Adds operators to a functional model, one after the other."""

    graph: Graph
    plan: QuantizationPlan | None
    values: dict[str, Any] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)

    def add(self, op: Op) -> None:
        """Add one operator."""
        try:
            if op.is_weighted:
                self._add_weighted(op)
            else:
                self._add_plain(op)
        except (ValueError, NotImplementedError) as error:
            raise UnsupportedError(
                "every operator can be trained in tf_keras",
                received=f"{op.kind}, which gives {op.name} ({str(error).splitlines()[0]})",
                remedy="use --optimize best",
            ) from error

    def ending(self, name: str, value: Any, function: Callable[[Any], Any]) -> Any:
        """Apply a function, and the quantizer of its result."""
        shape = self.graph.tensors[name].shape[1:]
        layer = _operation(function, [shape], f"end_{len(self.values)}")
        return wrapped(layer, Quantizers(output=self._params(name)))(value)

    def _params(self, name: str) -> Any:
        return None if self.plan is None else self.plan.activations.get(name)

    def _add_plain(self, op: Op) -> None:
        small = Graph(
            (op,),
            {n: self.graph.tensors[n] for n in (*op.inputs, *op.outputs) if n},
            op.inputs[0],
            op.outputs,
        )
        activations = [n for n in op.inputs if n and not self.graph.is_constant(n)]

        def compute(inputs: Any) -> Any:
            values = iter(inputs if isinstance(inputs, (list, tuple)) else [inputs])
            operands = [
                None if not n else next(values) if n in activations else self._constant(n)
                for n in op.inputs
            ]
            results = run_op(op, small, operands)
            return results if len(results) > 1 else results[0]

        sources = [self.values[n] for n in activations]
        shapes = [self.graph.tensors[n].shape[1:] for n in op.outputs]
        layer = _operation(compute, shapes, f"op_{len(self.values)}")
        adds_no_rounding = op.traits.moves or len(op.outputs) > 1
        quantizers = Quantizers(output=None if adds_no_rounding else self._params(op.name))
        result = wrapped(layer, quantizers)(sources if len(sources) > 1 else sources[0])
        results = result if len(op.outputs) > 1 else [result]
        self.values.update(zip(op.outputs, results, strict=True))

    def _constant(self, name: str) -> np.ndarray:
        planned = None if self.plan is None else self.plan.constants.get(name)
        return self.graph.value(name) if planned is None else planned.to_float()

    def _add_weighted(self, op: Op) -> None:
        import tf_keras

        value = self.values[op.inputs[0]]
        if op.kind == OpKind.DENSE and not op.options.get("keepNumDims"):
            value = tf_keras.layers.Reshape((self.graph.weight(op).shape[1],))(value)
        layer = self._keras_layer(op, value)
        layer.build(value.shape)
        attribute = "depthwise_kernel" if op.kind == OpKind.DEPTHWISE_CONV else "kernel"
        kernel, bias = getattr(layer, attribute), layer.bias
        channels = self.graph.tensors[op.inputs[0]].shape[-1]
        quantizers = Quantizers()
        planned = None if self.plan is None else self.plan.constants.get(op.inputs[1])
        unit = 1.0
        if planned is None or self.plan is None:
            kernel.assign(to_layer(op, self.graph.weight(op), channels))
            bias.assign(self.graph.bias(op))
        else:
            step = self._params(op.name)
            unit = 1.0 if step is None else float(step.scale[0]) * BIAS_SHARE
            kernel.assign(to_layer(op, planned.integers.astype(np.float32), channels))
            bias.assign(self.plan.constants[op.inputs[2]].to_float() / np.float32(unit))
            scales = to_layer(
                op, _scale_of_each(planned.params.scale, op, planned.integers), channels
            )
            limit = planned.params.dtype.limits[1]
            quantizers = Quantizers(attribute, scales, limit, unit)
            self.layers.append(Layer(op, kernel, bias, unit, limit))
        if op.fused is Fused.NONE:
            quantizers = quantizers.with_output(self._params(op.name))
            self.values[op.name] = wrapped(layer, quantizers)(value)
            return
        result = wrapped(layer, quantizers)(value)
        self.values[op.name] = self.ending(op.name, result, _activation(op.fused))

    def _keras_layer(self, op: Op, value: Any) -> Any:
        """Layer of a weighted operator, without activation and quantizers."""
        import tf_keras

        weight, name = self.graph.weight(op), f"op_{len(self.values)}"
        if op.kind == OpKind.DENSE:
            return tf_keras.layers.Dense(weight.shape[0], name=name)
        options: dict[str, Any] = {
            "kernel_size": weight.shape[1:3],
            "strides": (int(op.options["strideH"]), int(op.options["strideW"])),
            "padding": _PADDING[int(op.options["padding"])],
            "name": name,
        }
        if op.kind == OpKind.TRANSPOSE_CONV:
            return self._transposed_layer(op, value, options)
        options["dilation_rate"] = tuple(int(op.options[f"dilation{axis}Factor"]) for axis in "HW")
        if op.kind == OpKind.DEPTHWISE_CONV:
            multiplier = weight.shape[-1] // value.shape[-1]
            return tf_keras.layers.DepthwiseConv2D(depth_multiplier=multiplier, **options)
        groups = value.shape[-1] // weight.shape[-1]
        return tf_keras.layers.Conv2D(weight.shape[0], groups=groups, **options)

    def _transposed_layer(self, op: Op, value: Any, options: dict[str, Any]) -> Any:
        """Layer of a transposed convolution, whose result may be longer than its windows reach."""
        import tf_keras

        weight, wanted = self.graph.weight(op), self.graph.tensors[op.name].shape[1:3]
        if options["padding"] == "valid":
            sides = zip(
                wanted, value.shape[1:3], options["strides"], weight.shape[1:3], strict=True
            )
            longer = tuple(out - (n - 1) * stride - size for out, n, stride, size in sides)
            options["output_padding"] = longer if any(longer) else None
        layer = tf_keras.layers.Conv2DTranspose(weight.shape[0], **options)
        if tuple(layer.compute_output_shape(value.shape)[1:3]) != wanted:
            raise ValueError(f"a result of {list(wanted)}")
        return layer


def _scale_of_each(scale: tuple[float, ...], op: Op, integers: np.ndarray) -> np.ndarray:
    """Scale of each number of a weight, in the schema's order of axes."""
    shape = [1] * integers.ndim
    shape[op.channel_axis] = len(scale)
    return np.broadcast_to(np.reshape(np.asarray(scale, np.float32), shape), integers.shape)


def _activation(fused: Fused) -> Callable[[Any], Any]:
    from network.tensorflow_kernels.common import fused as apply

    return lambda value: apply(fused, value)


def _operation(function: Callable[[Any], Any], shapes: list[tuple[int, ...]], name: str) -> Any:
    """A tf_keras layer without weights that applies a function."""
    import tensorflow as tf
    import tf_keras

    class Operation(tf_keras.layers.Layer):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return function(inputs)

        def compute_output_shape(self, input_shape: Any) -> Any:  # noqa: ARG002
            results = [tf.TensorShape([None, *shape]) for shape in shapes]
            return results if len(results) > 1 else results[0]

    return Operation(name=name)
