"""Configuration and weights of a .keras file as plain values, for a reader other than Keras.

Keras is not imported. A file with anything but names that are known to be harmless is left to
``load_keras_file``, which refuses foreign code; so is one whose weights are not plain float32.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from foundation.archives import open_zip
from foundation.foreign import DAMAGE
from models.loading.archives import is_archive_of_keras_3, keras_config

_WEIGHTS = "model.weights.h5"
_RULE = "a .keras file is an archive that Keras 3 saved"
_REMEDY = "save it again with model.save('name.keras')"

_HARMLESS = {
    "keras": {"DTypePolicy"},
    "keras.constraints": {"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"},
    "keras.initializers": {
        "Constant",
        "GlorotNormal",
        "GlorotUniform",
        "HeNormal",
        "HeUniform",
        "LecunNormal",
        "LecunUniform",
        "Ones",
        "Orthogonal",
        "RandomNormal",
        "RandomUniform",
        "TruncatedNormal",
        "VarianceScaling",
        "Zeros",
    },
    "keras.losses": {
        "BinaryCrossentropy",
        "CategoricalCrossentropy",
        "MeanSquaredError",
        "SparseCategoricalCrossentropy",
    },
    "keras.metrics": {"Accuracy", "CategoricalAccuracy", "SparseCategoricalAccuracy"},
    "keras.optimizers": {"Adam", "AdamW", "Lion", "LossScaleOptimizer", "Nadam", "RMSprop", "SGD"},
    "keras.optimizers.schedules": {"CosineDecay", "ExponentialDecay", "PiecewiseConstantDecay"},
    "keras.regularizers": {"L1", "L1L2", "L2"},
}
"""Classes by module that may stand beside the layers; none of them is built here."""

_LAYER_MODULES = ("keras.layers", "keras.src.ops.numpy", "keras.src.models.functional")


@dataclass(frozen=True)
class StoredNetwork:
    """Content of a .keras file.

    Attributes:
        config: parsed config.json.
        weights: weights by layer, finite float32, in Keras's order.
    """

    config: Mapping[str, Any]
    weights: Mapping[str, tuple[np.ndarray, ...]] = field(repr=False)


def stored_network(path: Path) -> StoredNetwork | None:
    """Content of a .keras file; None for a file that only Keras reads, or refuses.

    Raises:
        InvalidInputError: no such file, a damaged archive, or one that unpacks to far more.
    """
    config = keras_config(path)
    if not is_archive_of_keras_3(path) or not all(map(_is_harmless, _named(config))):
        return None
    with open_zip(path, _RULE, _REMEDY) as archive:
        content = archive.read(_WEIGHTS) if _WEIGHTS in archive.namelist() else b""
    try:
        weights = _weights(content)
    except DAMAGE:  # Keras says what is wrong with it
        return None
    return None if weights is None else StoredNetwork(config, weights)


def _weights(content: bytes) -> dict[str, tuple[np.ndarray, ...]] | None:
    """Weights by layer; None where one is no finite float32, or layers have no names."""
    import h5py

    weights: dict[str, tuple[np.ndarray, ...]] = {}
    with h5py.File(io.BytesIO(content), "r") as archive:
        for group in archive["layers"].values():
            stored = group.get("vars")
            if stored is None:
                continue
            name = stored.attrs.get("name")
            arrays = tuple(np.asarray(stored[str(number)]) for number in range(len(stored)))
            plain = all(a.dtype == np.float32 and np.isfinite(a).all() for a in arrays)
            if not isinstance(name, str) or name in weights or not plain:
                return None
            weights[name] = arrays
    return weights


def _named(config: Any) -> Iterator[Mapping[str, Any]]:
    """All dictionaries with a class name, at any depth."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _is_harmless(entry: Mapping[str, Any]) -> bool:
    """Whether a class is a layer, which the reader knows by its name, or does nothing here."""
    name, module = entry["class_name"], entry.get("module")
    if not isinstance(name, str) or entry.get("registered_name") not in (None, name):
        return False
    if name == "__keras_tensor__":
        return True
    return module in _LAYER_MODULES or name in _HARMLESS.get(str(module), ())
