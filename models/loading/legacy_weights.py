"""Weights of a legacy .h5 file, assigned to a model that was rebuilt from its configuration.

Every weight of the model is in the file, of the same shape, and every weight of the file is used,
or nothing is loaded. Weights are matched by name; where a name was made unique in its session
(``conv_1_1/kernel:0``), by order, and then the last parts of the names agree.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foundation.errors import InvalidInputError
from foundation.foreign import printable, reading

if TYPE_CHECKING:
    import h5py
    import keras

_RULE = "an .h5 model holds each weight of its layers once, in the layer's shape"
_REMEDY = "save it again with model.save('name.h5'), or as .keras with Keras 3"

_TRAINING = re.compile(r"(StateVar|renorm_\w+|rng_state|seed_generator_state|local_step)(_\d+)?$")
"""Last parts of the names of weights that inference does not read."""

_UNNAMED = "variable"
"""Name that Keras 3 gives a weight without one, such as the scale of a ConvNeXt's LayerScale."""

_RENAMED = {"depthwise_kernel": "kernel"}
"""Weights of Keras 2 whose name is another in Keras 3: that of a depthwise convolution."""


def load_legacy_weights(path: Path, model: keras.Model, names: dict[str, str]) -> None:
    """Assign the weights of a file.

    Args:
        path: of the .h5, whose sizes and links are sound.
        model: rebuilt from its configuration.
        names: of its layers, by the name in the file.

    Raises:
        InvalidInputError: a weight too many or too few, or of another shape; names it.
    """
    import h5py

    with reading(path, _RULE, _REMEDY), h5py.File(path, "r") as archive:
        group = archive["model_weights"]
        layers, loaded = {layer.name: layer for layer in model.layers}, set()
        for stored in _texts(group, "layer_names"):
            values = _values(group[stored])
            layer = layers.get(names.get(stored, ""))
            if layer is None:
                if values:
                    raise _fault(path, f"weights of {stored}, which is no layer")
                continue
            _assign(path, stored, layer, values)
            loaded.add(layer.name)
        for layer in model.layers:
            if layer.name not in loaded and _targets(layer):
                raise _fault(path, f"no weights of {layer.name}")


def _assign(path: Path, stored: str, layer: Any, values: dict[str, np.ndarray]) -> None:
    targets = _targets(layer)
    if len(targets) != len(values):
        received = f"{len(values)} weights of {stored}, where it has {len(targets)}"
        raise _fault(path, received)
    pairs = _by_name(targets, values) or _by_order(layer, targets, values)
    if pairs is None:
        raise _fault(path, f"weights of {stored} by other names")
    for variable, value in pairs:
        if tuple(variable.shape) != value.shape:
            received = (
                f"{variable.name} of {stored} in the shape {list(value.shape)}, "
                f"where the layer has {list(variable.shape)}"
            )
            raise _fault(path, received)
        variable.assign(value)
    for leaf in _leaves(layer):
        if hasattr(leaf, "finalize_state") and leaf.weights:  # Normalization: from its statistics
            leaf.finalize_state()


def is_of_training(name: str) -> bool:
    """Whether a weight of this name says nothing about inference."""
    return _TRAINING.search(name) is not None


def _leaves(layer: Any) -> list[Any]:
    """Layers that are no models, in a model and those in it."""
    if not hasattr(layer, "layers"):
        return [layer]
    return [leaf for inner in layer.layers for leaf in _leaves(inner)]


def _targets(layer: Any) -> dict[str, Any]:
    """Variables that a file holds, by the end of their name there: ``layer/kernel``."""
    targets = {}
    for leaf in _leaves(layer):
        for variable in leaf.weights:
            parts = variable.path.split("/")
            if _TRAINING.search(parts[-1]):
                continue
            own = len(parts) - 1 - parts[::-1].index(leaf.name) if leaf.name in parts else -1
            targets["/".join([leaf.name, *parts[own + 1 :]])] = variable
    return targets


def _by_name(
    targets: dict[str, Any], values: dict[str, np.ndarray]
) -> list[tuple[Any, np.ndarray]] | None:
    """Variables with their values, if each name is in the file once."""
    stored: dict[str, list[np.ndarray]] = {}
    for name, value in values.items():
        parts = _renamed(name).split("/")
        # Layers of Keras 2 may have slashes in their names, and scopes before them.
        for start in range(len(parts) - 1):
            stored.setdefault("_".join(parts[start:]), []).append(value)
    pairs = []
    for name, variable in targets.items():
        found = stored.get(_renamed(name).replace("/", "_"), [])
        if len(found) != 1:
            return None
        pairs.append((variable, found[0]))
    used = {id(value) for _, value in pairs}
    return pairs if len(used) == len(pairs) else None


def _by_order(
    layer: Any, targets: dict[str, Any], values: dict[str, np.ndarray]
) -> list[tuple[Any, np.ndarray]] | None:
    """Variables with their values in the order of Keras 2, if the ends of their names agree."""
    ours = {id(variable) for variable in targets.values()}
    ordered = [
        variable
        for variable in (*layer.trainable_weights, *layer.non_trainable_weights)
        if id(variable) in ours
    ]
    for variable, name in zip(ordered, values, strict=True):
        if _last(variable.path) not in (_UNNAMED, _last(name)):
            return None
    return list(zip(ordered, values.values(), strict=True))


def _renamed(name: str) -> str:
    front, slash, last = name.removesuffix(":0").rpartition("/")
    return f"{front}{slash}{_RENAMED.get(last, last)}"


def _last(name: str) -> str:
    return re.sub(r"_\d+$", "", _renamed(name).rpartition("/")[2])


def _values(group: h5py.Group) -> dict[str, np.ndarray]:
    """Weights of one layer, by name, in the file's order."""
    values = {}
    for name in _texts(group, "weight_names"):
        if _TRAINING.search(name.removesuffix(":0")):
            continue
        if name in values:
            raise ValueError(f"two weights named {name[:80]}")
        values[name] = np.asarray(group[name])
    return values


def _texts(group: h5py.Group, attribute: str) -> list[str]:
    """An attribute of texts, which Keras splits where it would be too long."""
    parts = [group.attrs[attribute]] if attribute in group.attrs else []
    while f"{attribute}{len(parts)}" in group.attrs:
        parts.append(group.attrs[f"{attribute}{len(parts)}"])
    return [
        text.decode("utf-8") if isinstance(text, bytes) else str(text)
        for part in parts
        for text in np.atleast_1d(part)
    ]


def _fault(path: Path, received: str) -> InvalidInputError:
    return InvalidInputError(
        _RULE, received=f"{printable(path)} with {printable(received)[:300]}", remedy=_REMEDY
    )
