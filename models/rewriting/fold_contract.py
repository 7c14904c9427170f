"""Folding of a contract that a platform cannot express into the network's first layer.

``calibration_data.one_pair`` has the gain and the shift of each channel, and y and x.
A convolution is linear, so that the gain is folded into its kernel, and the shift into its bias if
every output covers the whole kernel. If the convolution pads, its zeros are zeros of x, not of y:
they stand for the pixel mean_c, which differs between channels. Such a convolution gets the input
``y_c + shift_c / gain_c = x_c / gain_c`` from an addition in front of it instead, whose zeros are
those of x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from calibration_data.one_pair import OnePair
from calibration_data.preprocessing import ChannelOrder, Preprocessing
from foundation.errors import UnsupportedError

if TYPE_CHECKING:
    import keras
    import numpy as np


@dataclass(frozen=True)
class Folded:
    """A network that takes RGB pixels with one mean and one standard deviation.

    Attributes:
        model: network that equals the original under its contract.
        contract: contract with RGB, one mean and one std, otherwise unchanged.
        how: description of the change, for the model card.
    """

    model: keras.Model
    contract: Preprocessing
    how: str


def is_one_pair_rgb(contract: Preprocessing) -> bool:
    """Whether a contract is RGB with one mean and one standard deviation."""
    one_pair = len(set(contract.mean)) == 1 and len(set(contract.std)) == 1
    return one_pair and contract.channels is ChannelOrder.RGB


def fold(model: keras.Model, contract: Preprocessing) -> Folded:
    """Rebuild a network so that it takes RGB pixels with one mean and one standard deviation.

    Args:
        model: functional or sequential model whose first layer is a Conv2D.
        contract: contract that the model was trained with.

    Raises:
        UnsupportedError: a first layer into which the contract cannot be folded; names it.
    """
    import numpy as np

    first, pair = _first_layer(model), OnePair.of(contract)
    kernel, bias = _split_weights(first)
    offset, padded = None, _pads(first)
    if padded:
        offset = (pair.shift / pair.gain)[pair.order]
    else:
        bias = bias + np.einsum("hwio,i->o", kernel, pair.shift)
    kernel = (kernel * pair.gain[None, None, :, None])[:, :, pair.order]
    weights = [kernel.astype(np.float32), bias.astype(np.float32)]
    rebuilt = _rebuilt(model, first, weights, offset)
    return Folded(rebuilt, pair.contract, pair.how(padded=padded))


def _first_layer(model: keras.Model) -> Any:
    """Conv2D that is the only reader of the input."""
    import keras

    layers = getattr(model, "layers", None) or []
    readers = [layer for layer in layers if not isinstance(layer, keras.layers.InputLayer)]
    functional = isinstance(model, keras.Sequential) or hasattr(model, "operations")
    if functional and readers and not isinstance(model, keras.Sequential):
        source = model.inputs[0]
        readers = [
            layer
            for layer in readers
            if any(source is t for node in layer._inbound_nodes for t in node.input_tensors)
        ]
    else:
        readers = readers[:1]
    if len(readers) == 1 and type(readers[0]) is keras.layers.Conv2D:
        layer = readers[0]
        channels_last = layer.data_format == "channels_last"
        if functional and layer.groups == 1 and channels_last and len(layer._inbound_nodes) == 1:
            return layer
    received = ", ".join(type(layer).__name__ for layer in readers) or type(model).__name__
    raise UnsupportedError(
        "this platform takes RGB with one mean and one std, and another contract is folded into a "
        "Conv2D that reads the input",
        received=f"{received} as the first layer",
        remedy="train with one mean and std, or put the normalization into the model as a layer",
    )


def _pads(layer: Any) -> bool:
    """Whether a Conv2D may pad its input with zeros."""
    return bool(layer.padding != "valid" and max(layer.kernel_size) > 1)


def _split_weights(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    kernel = np.asarray(layer.kernel, np.float64)
    bias = np.asarray(layer.bias, np.float64) if layer.use_bias else np.zeros(kernel.shape[-1])
    return kernel, bias


def _rebuilt(
    model: keras.Model, first: Any, weights: list[np.ndarray], offset: np.ndarray | None
) -> keras.Model:
    """Copy of a model with other weights in its first layer, and an optional addition before it."""
    import keras

    def clone(layer: Any) -> Any:
        config = layer.get_config()
        if layer is first:
            config |= {"use_bias": True}
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=clone)
    for old, new in zip(model.layers, copy.layers, strict=True):
        new.set_weights(weights if old is first else old.get_weights())
    if offset is None:
        return copy
    image = keras.Input(model.inputs[0].shape[1:])
    moved = keras.layers.Rescaling(1.0, [float(v) for v in offset], name="mean_shift")(image)
    return keras.Model(image, copy(moved))
