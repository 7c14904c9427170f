"""Model files: .keras, legacy .h5 and SavedModel folders, refused when they hold foreign code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.errors import InvalidInputError
from foundation.foreign import reading
from models.archives import h5_config, keras_config

if TYPE_CHECKING:
    import keras


MODEL_SUFFIXES = (".keras", ".h5", ".hdf5")


def load_keras_file(path: Path, *, trust_lambda: bool = False) -> keras.Model:
    """Load a .keras, an .h5 or a SavedModel folder.

    Raises:
        InvalidInputError: no such file, a damaged one, or one with code in a Lambda layer.
    """
    if path.is_dir() and (path / "saved_model.pb").is_file():
        return _load_saved_model(path)
    if path.suffix not in MODEL_SUFFIXES or not path.is_file():
        raise InvalidInputError(
            "a model file is a .keras, an .h5 or a SavedModel folder",
            received=str(path) if path.exists() else f"{path}, which does not exist",
            remedy="check the path, or give a name from 'edgequant list models'",
        )
    config = keras_config(path) if path.suffix == ".keras" else h5_config(path)
    with reading(path, "a model file holds a network of layers", "save it again with Keras 3"):
        holds_lambda = _holds_lambda(config)
    if holds_lambda and not trust_lambda:
        raise InvalidInputError(
            "a Lambda layer holds code that loading would run",
            received=f"{path} with a Lambda layer",
            remedy="rebuild the model without it, or pass --trust-lambda if you trust the file",
        )
    import keras

    rule = "Keras can load the model without other code"
    remedy = "save it again with Keras 3, and register custom layers as built-in ones"
    with reading(path, rule, remedy):
        return keras.models.load_model(path, compile=False, safe_mode=not trust_lambda)


def _holds_lambda(config: Any) -> bool:
    if isinstance(config, dict):
        if config.get("class_name") in ("Lambda", "__lambda__"):
            return True
        return any(_holds_lambda(value) for value in config.values())
    return isinstance(config, list) and any(_holds_lambda(value) for value in config)


def _load_saved_model(path: Path) -> keras.Model:
    """Wrap the serving signature of a SavedModel, which Keras 3 does not load by itself."""
    import keras
    import tensorflow as tf

    rule = "a SavedModel folder can be loaded by TensorFlow"
    remedy = "export it again with model.export('folder')"
    with reading(path, rule, remedy, raised=(tf.errors.OpError,)):
        signatures = tf.saved_model.load(str(path)).signatures
    if "serving_default" not in signatures:
        raise InvalidInputError(
            "a SavedModel has the signature serving_default",
            received=f"{path} with {', '.join(signatures) or 'no signature'}",
            remedy="export it again with model.export('folder')",
        )
    _, inputs = signatures["serving_default"].structured_input_signature
    outputs = signatures["serving_default"].structured_outputs
    if len(inputs) != 1 or len(outputs) != 1:
        raise not_one_input(path, len(inputs), len(outputs))
    (spec,) = inputs.values()
    layer = keras.layers.TFSMLayer(str(path), call_endpoint="serving_default", name="saved_model")
    image = keras.Input(spec.shape[1:], dtype=spec.dtype.name)
    scores = layer(image)
    return keras.Model(image, next(iter(scores.values())), name=path.name.replace(".", "_"))


def not_one_input(name: object, inputs: int, outputs: int) -> InvalidInputError:
    """The error for a model that is no image classifier by its ends."""
    return InvalidInputError(
        "a model has one input (the image) and one output (the scores)",
        received=f"{name} with {inputs} inputs and {outputs} outputs",
        remedy="export the classifying part alone",
    )
