"""Weights of a .keras archive of tf.keras 2.12 to 2.15, whose configuration is that of Keras 2.

Such an archive has the form of Keras 3's: ``config.json`` and ``model.weights.h5``, in which each
layer's variables are numbered in a group named after its class, ``layers/conv2d_1/vars/0``. The
configuration is rewritten as that of an .h5 file (``legacy_h5``), and here the groups are followed
in the order of the file's layers, under the names that their classes had there.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foundation.archives import open_zip
from foundation.errors import InvalidInputError
from foundation.foreign import printable, reading
from models.loading.legacy_h5 import layers_of, name_of, names_of
from models.loading.legacy_weights import is_of_training

if TYPE_CHECKING:
    import keras

_RULE = "a .keras of Keras 2 holds each weight of its layers once, in the layer's shape"
_REMEDY = "save it again with model.save('name.h5'), or as .keras with Keras 3"
_GROUPS = ("layers", "_layer_checkpoint_dependencies")
"""Names of the group of a model's layers, in 2.13 to 2.15 and in 2.12."""


def load_archive_weights(path: Path, model: keras.Model, config: dict[str, Any]) -> None:
    """Assign the weights of an archive whose sizes and links are sound.

    Args:
        path: of the .keras.
        model: rebuilt from its configuration.
        config: configuration in the file, of Keras 2.

    Raises:
        InvalidInputError: a weight too many or too few, or of another shape; names it.
    """
    import h5py

    with open_zip(path, _RULE, _REMEDY) as archive:
        content = archive.read("model.weights.h5")
    with reading(path, _RULE, _REMEDY), h5py.File(io.BytesIO(content), "r") as file:
        _load_model(path, file, model, config)


def _load_model(path: Path, group: Any, model: Any, config: dict[str, Any]) -> None:
    """Assign the weights of a model and those in it."""
    stored: Any = next((group[name] for name in _GROUPS if name in group), {})
    layers, known = layers_of(config), {layer.name: layer for layer in model.layers}
    names, taken = names_of(layers), Counter[str]()
    for entry in layers:
        kind = _snake(str(entry["class_name"]))
        if entry["class_name"] == "InputLayer" and config["class_name"] == "Sequential":
            continue
        inside = stored.get(kind if not taken[kind] else f"{kind}_{taken[kind]}", {})
        taken[kind] += 1
        layer = known.get(names[name_of(entry)])
        if layer is None:
            continue
        if hasattr(layer, "layers"):
            _load_model(path, inside, layer, entry)
        else:
            _load_layer(path, inside, layer)


def _load_layer(path: Path, group: Any, layer: Any) -> None:
    """Assign the variables of a layer, and of layers in it such as those of an attention."""
    import keras

    inner = {k: v for k, v in vars(layer).items() if isinstance(v, keras.layers.Layer)}
    below = {id(weight) for part in inner.values() for weight in part.weights}
    targets = [
        weight
        for weight in (*layer.trainable_weights, *layer.non_trainable_weights)
        if id(weight) not in below and not is_of_training(weight.path)
    ]
    values = _values(group)[: len(targets)] if _drops(layer) else _values(group)
    if len(values) != len(targets):
        received = f"{len(values)} weights of {layer.name}, where it has {len(targets)}"
        raise _fault(path, received)
    for variable, value in zip(targets, values, strict=True):
        if tuple(variable.shape) != value.shape:
            received = (
                f"{variable.name} of {layer.name} in the shape {list(value.shape)}, where the "
                f"layer has {list(variable.shape)}"
            )
            raise _fault(path, received)
        variable.assign(value)
    for name, part in inner.items():
        if part.weights:
            _load_layer(path, group[name], part)
    if hasattr(layer, "finalize_state") and layer.weights:  # Normalization: from its statistics
        layer.finalize_state()


def _drops(layer: Any) -> bool:
    """Whether a layer of Keras 2 had weights, at the end, that say nothing about inference."""
    return type(layer).__name__ in ("Normalization", "Identity", "Dropout", "SpatialDropout2D")


def _values(group: Any) -> list[np.ndarray]:
    stored = group.get("vars", {})
    return [np.asarray(stored[name]) for name in sorted(stored, key=int)]


def _snake(name: str) -> str:
    """Class name as Keras writes it in names: ``DepthwiseConv2D`` as ``depthwise_conv2d``."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _fault(path: Path, received: str) -> InvalidInputError:
    return InvalidInputError(
        _RULE, received=f"{printable(path)} with {printable(received)[:300]}", remedy=_REMEDY
    )
