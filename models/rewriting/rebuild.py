"""Copies of Keras models in which some layers are replaced; the original is not changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from models.cost.keras_graph import nodes_of

if TYPE_CHECKING:
    import keras

Emit = Callable[[Any, list[Any]], list[Any] | None]
"""(call of a layer, its inputs in the copy) -> its outputs in the copy; None to copy the layer."""


def rewritten(model: keras.Model, emit: Emit) -> keras.Model:
    """Copy of a functional model in which ``emit`` may replace each call of a layer.

    Copied layers keep their names and weights, and share nothing with the original layers.
    """
    import keras

    inputs = [
        keras.Input(tuple(tensor.shape)[1:], batch_size=tensor.shape[0], dtype=tensor.dtype)
        for tensor in model.inputs
    ]
    # id of a tensor of the original -> tensor of the copy
    new = {id(old): tensor for old, tensor in zip(model.inputs, inputs, strict=True)}
    copies: dict[int, Any] = {}
    for node in nodes_of(model):
        node_inputs = [new[id(tensor)] for tensor in node.input_tensors]
        node_outputs = emit(node, node_inputs)
        if node_outputs is None:
            node_outputs = _copied(node, new, copies)
        new.update({id(old): t for old, t in zip(node.output_tensors, node_outputs, strict=True)})
    outputs = [new[id(tensor)] for tensor in model.outputs]
    return keras.Model(_one_or_all(inputs), _one_or_all(outputs), name=model.name)


def _one_or_all(tensors: list[Any]) -> Any:
    return tensors[0] if len(tensors) == 1 else tensors


def with_weights(layer: keras.Layer, x: Any, *weights: np.ndarray) -> Any:
    """Output of a new layer for the input ``x``; its weights are set after the call builds it."""
    y = layer(x)
    layer.set_weights([np.asarray(values, np.float32) for values in weights])
    return y


def folded(conv: keras.Layer, norm: keras.Layer | None) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of the convolution that equals a convolution followed by a batch norm.

    With ``scale = gamma / sqrt(variance + epsilon)`` and ``offset = beta - mean * scale``,
    ``norm(kernel * x + bias) = (scale * kernel) * x + (scale * bias + offset)``.

    Args:
        conv: a Conv2D, grouped or not, or a DepthwiseConv2D, without an activation.
        norm: batch norm after it; None without one.

    Returns:
        Kernel of the same shape as ``conv``'s, and bias ``[channels]``, in float64.
    """
    kernel = _array(conv.kernel)
    depthwise = type(conv).__name__ == "DepthwiseConv2D"
    channels = kernel.shape[2] * kernel.shape[3] if depthwise else kernel.shape[-1]
    bias = _array(conv.bias) if conv.use_bias else np.zeros(channels)
    if norm is None:
        return kernel, bias
    scale, offset = norm_affine(norm)
    shape = kernel.shape[2:] if depthwise else kernel.shape[-1:]
    return kernel * scale.reshape(shape), bias * scale + offset


def norm_affine(norm: keras.Layer) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset ``[channels]`` of a batch norm at inference, in float64."""
    mean, variance = _array(norm.moving_mean), _array(norm.moving_variance)
    scale = 1 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        scale = scale * _array(norm.gamma)
    offset = -mean * scale
    return scale, offset + _array(norm.beta) if norm.center else offset


def _array(variable: Any) -> np.ndarray:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(variable), np.float64)


def _copied(node: Any, new: dict[int, Any], copies: dict[int, Any]) -> list[Any]:
    """Outputs of a call in the copy; a layer that is called twice is copied once."""
    import keras

    layer = node.operation
    arguments, named = node.arguments.fill_in(new)
    if not isinstance(layer, keras.Layer):
        outputs = layer(*arguments, **named)  # a plain operation holds no state
    elif id(layer) in copies:
        outputs = copies[id(layer)](*arguments, **named)
    else:
        copies[id(layer)] = type(layer).from_config(layer.get_config())
        outputs = copies[id(layer)](*arguments, **named)
        copies[id(layer)].set_weights(layer.get_weights())
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]
