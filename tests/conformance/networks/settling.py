"""Random weights made fit to measure: batch norms that have seen examples, outputs that spread.

The outputs of an untrained network hardly depend on its input, and noise in them says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

SPREAD = 2.0
"""Standard deviation of the last weighted layer's results over the examples."""
BRANCH = 0.3
"""Weight of a residual branch. Random branches of weight 1 forget the input layer by layer;
those of weight 1e-6 that some networks start with leave nothing to measure.
"""


def settle(model: keras.Model, inputs: np.ndarray) -> keras.Model:
    """Settle a network on examples ``[n, ...]``, in place."""
    _draw_weights(model)
    _scale_branches(model)
    if not any(_is_norm(layer) for layer in flattened(model)):
        _keep_variance(model)
    _settle_norms(model, inputs)
    for output in model.outputs:
        layer = _last_weighted(output)
        if layer is not None:
            _spread(model, layer, inputs)
    return model


def flattened(model: Any) -> Iterator[Any]:
    """Layers of a model and of the models nested in it."""
    for layer in getattr(model, "layers", ()):
        yield layer
        yield from flattened(layer)


def _is_norm(layer: Any) -> bool:
    import keras

    kinds = (keras.layers.BatchNormalization, keras.layers.LayerNormalization)
    return isinstance(layer, (*kinds, keras.layers.GroupNormalization))


def _settle_norms(model: Any, inputs: np.ndarray) -> None:
    """Give batch norms the statistics of the examples in one pass, as they are in training.

    Channels that are nearly still on the examples would multiply rounding errors, layer by layer:
    the least variances rise to a quarter of each layer's median.
    """
    import keras

    kind = keras.layers.BatchNormalization
    norms = [layer for layer in flattened(model) if isinstance(layer, kind)]
    if not norms:
        return
    with _replaced(norms, "momentum", 0.0), _replaced(list(_dropouts(model)), "rate", 0.0):
        model(inputs, training=True)
    for layer in norms:
        variance = np.asarray(layer.moving_variance)
        layer.moving_variance.assign(np.maximum(variance, np.median(variance) / 4))


def _dropouts(model: Any) -> Iterator[Any]:
    """Layers that drop numbers at random in training, which would change the statistics."""
    for layer in flattened(model):
        if "Dropout" in type(layer).__name__ and hasattr(layer, "rate"):
            yield layer


@contextmanager
def _replaced(layers: list[Any], name: str, value: object) -> Iterator[None]:
    """Give an attribute of some layers another value for a while."""
    before = [getattr(layer, name) for layer in layers]
    for layer in layers:
        setattr(layer, name, value)
    try:
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            setattr(layer, name, own)


def _scale_branches(model: Any) -> None:
    import keras

    for layer in flattened(model):
        gamma = getattr(layer, "gamma", None)
        if type(layer).__name__ == "LayerScale" and gamma is not None:
            gamma.assign(np.full(gamma.shape, BRANCH, np.float32))
        if isinstance(layer, keras.layers.Add):
            branch = _branch(layer)
            gain = getattr(branch, "gamma", None)
            gain = getattr(branch, "kernel", None) if gain is None else gain
            if gain is not None:
                gain.assign(np.asarray(gain) * BRANCH)


def _branch(add: Any) -> Any:
    """Layer that ends the branch: of the parents, the last one that only the sum reads."""
    parents = [tensor._keras_history.operation for tensor in add._inbound_nodes[0].input_tensors]
    read_once = [parent for parent in parents if len(parent._outbound_nodes) == 1]
    branch = (read_once or parents)[-1]
    while "Dropout" in type(branch).__name__:
        branch = branch._inbound_nodes[0].input_tensors[0]._keras_history.operation
    return branch


def _draw_weights(model: Any) -> None:
    """Draw kernels of the same variance that are bell-shaped, as trained ones are.

    Keras's uniform initial weights fill the whole range of a scale, which trained ones never do.
    """
    rng = np.random.default_rng(1)
    for layer in flattened(model):
        for name in ("kernel", "depthwise_kernel", "pointwise_kernel"):
            kernel = getattr(layer, name, None)
            if kernel is not None and len(kernel.shape) > 1:
                deviation = float(np.asarray(kernel).std())
                kernel.assign(rng.normal(0, deviation, kernel.shape))


def _keep_variance(model: Any) -> None:
    """Scale kernels so that the variance passes through layers with ReLU (He et al. 2015)."""
    for layer in flattened(model):
        kernel = getattr(layer, "kernel", None)
        if kernel is not None and len(kernel.shape) > 1:
            values = np.asarray(kernel)
            fan_in = values[..., 0].size
            kernel.assign(values * np.sqrt(2 / fan_in) / max(values.std(), 1e-9))


def _last_weighted(tensor: Any) -> Any | None:
    """Layer with a kernel and a bias that a chain of single inputs leads to from an output."""
    history = tensor._keras_history
    layer = history.operation
    if getattr(layer, "kernel", None) is not None:
        return layer if getattr(layer, "bias", None) is not None else None
    parents = layer._inbound_nodes[history.node_index].input_tensors
    if len(parents) != 1 or hasattr(layer, "layers"):
        return None
    return _last_weighted(parents[0])


def _spread(model: Any, layer: Any, inputs: np.ndarray) -> None:
    """Centre the results of a layer before its activation, and scale their deviation to SPREAD."""
    import keras

    with _replaced([layer], "activation", keras.activations.linear):
        results = np.asarray(keras.Model(model.inputs[0], layer.output)(inputs, training=False))
    mean = results.mean(axis=tuple(range(results.ndim - 1)))
    # The median, for a few examples of a random network may reach far beyond all others.
    scale = SPREAD / max(1.5 * float(np.median(np.abs(results - mean))), 1e-9)
    layer.kernel.assign(np.asarray(layer.kernel) * scale)
    layer.bias.assign((np.asarray(layer.bias) - mean) * scale)
