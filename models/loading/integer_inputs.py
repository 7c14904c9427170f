"""Networks whose input is of integers, such as uint8 pixels, as networks of float32.

Everything behind a loaded model feeds float32: pixels 0..255 are exact in it. The same layers are
applied to a float32 input, so that no CAST to integers and back stays in the exported files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foundation.errors import UnsupportedError

if TYPE_CHECKING:
    import keras


def float_fed(model: keras.Model) -> keras.Model:
    """The same network with a float32 input, sharing all layers; the model itself if it has one.

    Args:
        model: model with one input, of any type.

    Raises:
        UnsupportedError: a network that takes integers and cannot be rebuilt on another input.
    """
    import keras

    source = model.inputs[0]
    if keras.backend.is_float_dtype(source.dtype):
        return model
    fresh = keras.Input(
        shape=source.shape[1:], batch_size=source.shape[0], dtype="float32", name=source.name
    )
    try:
        return _rebuilt(model, fresh)
    except (TypeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UnsupportedError(
            "a model with an input of integers is rebuilt on one of float32",
            received=f"{source.dtype} in {source.name} ({reason})",
            remedy="build it on keras.Input of float32",
        ) from error


def _rebuilt(model: keras.Model, fresh: Any) -> keras.Model:
    """The layers of a model on another input.

    The layer around a SavedModel takes the type of its signature alone, so that a cast stays in
    front of it; ``network.input_casts`` takes it out of what is exported.
    """
    import keras

    if any(isinstance(layer, keras.layers.TFSMLayer) for layer in model.layers):
        scores = model(keras.ops.cast(fresh, model.inputs[0].dtype))
        return keras.Model(fresh, scores, name=model.name)
    if isinstance(model, keras.Sequential):
        value = fresh
        for layer in model.layers:
            value = layer(value)
        return keras.Model(fresh, value, name=model.name)
    return keras.models.clone_model(model, input_tensors=fresh, clone_function=lambda layer: layer)
