"""Activation functions of Keras as TensorFlow's nodes.

Source: keras/src/backend/tensorflow/nn.py of Keras 3.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from network.keras_file.nodes import Layer, UnknownPartError, Value


def activated(layer: Layer, name: str, x: Value) -> Value:
    """A value after the function of this name.

    Raises:
        UnknownPartError: no function that is known here.
    """
    if name not in _FUNCTIONS:
        raise UnknownPartError(f"the activation {name}")
    return _FUNCTIONS[name](layer, x)


def _simple(kind: str) -> Callable[[Layer, Value], Value]:
    return lambda layer, x: layer.node(kind, kind, [x])


def _hard_sigmoid(layer: Layer, x: Value) -> Value:
    """``relu6(x + 3) / 6``."""
    three = layer.constant("Const", np.array(3, np.float32))
    six = layer.constant("Const_1", np.array(6, np.float32))
    x = layer.node("Relu6", "Relu6", [layer.node("add", "AddV2", [x, three])])
    return layer.node("truediv", "RealDiv", [x, six])


def _hard_silu(layer: Layer, x: Value) -> Value:
    return layer.node("mul", "Mul", [x, _hard_sigmoid(layer, x)])


def _silu(layer: Layer, x: Value) -> Value:
    """``x sigmoid(beta x)`` with a beta of one."""
    beta = layer.constant("beta", np.array(1, np.float32))
    gate = layer.node("Sigmoid", "Sigmoid", [layer.node("mul", "Mul", [beta, x], x.shape)])
    product = layer.node("mul_1", "Mul", [x, gate])
    return layer.node("IdentityN", "IdentityN", [product, x, beta])


_FUNCTIONS: dict[str, Callable[[Layer, Value], Value]] = {
    "linear": lambda _, x: x,
    "relu": _simple("Relu"),
    "relu6": _simple("Relu6"),
    "sigmoid": _simple("Sigmoid"),
    "softmax": _simple("Softmax"),
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": _hard_silu,
    "hard_swish": _hard_silu,
    "silu": _silu,
    "swish": _silu,
}
