"""Classes and functions that a Keras file may name: Keras's own, which compute and nothing else.

Keras's ``safe_mode`` stops Python code in a file. It does not stop a ``TFSMLayer`` that loads a
SavedModel from any path, a vocabulary that is read from any path, a layer that hands its work to
another framework, or a loop without end; so every name in a config is looked up here first.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from foundation.errors import InvalidInputError
from foundation.foreign import printable

EFFECTS = frozenset(
    {
        "FlaxLayer",
        "IntegerLookup",
        "JaxLayer",
        "Lambda",
        "StringLookup",
        "TFSMLayer",
        "TextVectorization",
        "TorchModuleWrapper",
    }
)
"""Layers of Keras that run code of a file, or read files that it names."""

_CONTAINERS = (
    "keras",
    "keras.activations",
    "keras.constraints",
    "keras.dtype_policies",
    "keras.initializers",
    "keras.layers",
    "keras.losses",
    "keras.metrics",
    "keras.models",
    "keras.optimizers",
    "keras.optimizers.schedules",
    "keras.quantizers",
    "keras.regularizers",
)
"""Public modules that the parts of a network come from."""

_OPERATIONS = (
    "keras.src.activations.activations",  # keras.activations.relu(x) and mish(x) on a Keras tensor
    *(f"keras.src.ops.{name}" for name in ("core", "image", "linalg", "math", "nn", "numpy")),
)
"""Modules of operations, which a Functional model names by their place inside Keras."""

_INSIDE = ("keras.src.layers.", "keras.src.models.")

_HIGHER_ORDER = frozenset(
    {
        "AssociativeScan",
        "Cond",
        "ForiLoop",
        "Map",
        "Scan",
        "Switch",
        "VectorizedMap",
        "WhileLoop",
        "associative_scan",
        "cond",
        "custom_gradient",
        "fori_loop",
        "map",
        "scan",
        "switch",
        "vectorized_map",
        "while_loop",
    }
)
"""Operations that take functions, which no file holds, or that may never end."""

_VALUES = frozenset(
    {"__bytes__", "__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__"}
)
"""Class names that stand for plain values."""

_CODE = frozenset({"Lambda", "__lambda__"})


def refuse_foreign_code(config: Any, path: Path, trust: bool) -> None:
    """Refuse a config with anything but Keras's own parts that compute.

    Args:
        config: the JSON of a .keras or .h5, parsed.
        path: of the file, for the message.
        trust: let everything pass.

    Raises:
        InvalidInputError: a Lambda layer, or a name that is not one of those parts.
    """
    if trust:
        return
    for entry in _entries(config):
        name = entry["class_name"]
        if name in _CODE:
            raise InvalidInputError(
                "a Lambda layer holds code that loading would run",
                received=f"{printable(path)} with a Lambda layer",
                remedy="rebuild the model without it, or pass --trust if you trust the file",
            )
        if not _is_ours(entry):
            raise InvalidInputError(
                "a model file is built from Keras's own layers that compute and nothing else, "
                "and loads without other code",
                received=f"{printable(path)} with {_told(entry)}",
                remedy="rebuild the model without it, or pass --trust if you trust the file",
            )


def _entries(config: Any) -> Iterator[dict[str, Any]]:
    """Every dictionary with a class name, however deep."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("class_name"), str):
                yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _is_ours(entry: dict[str, Any]) -> bool:
    name, module = entry["class_name"], entry.get("module")
    if name in _VALUES:
        return True
    if name == "function":
        return _is_function(entry, module)
    if entry.get("registered_name") not in (None, name) or name not in _classes():
        return False
    return module is None or (
        isinstance(module, str)
        and (module in _CONTAINERS or module in _OPERATIONS or module.startswith(_INSIDE))
    )


def _is_function(entry: dict[str, Any], module: Any) -> bool:
    name = entry.get("config")
    if not isinstance(name, str) or name in _HIGHER_ORDER:
        return False
    if entry.get("registered_name") not in (None, name, "function"):
        return False
    homes: tuple[str, ...] = ("keras.activations", "keras.losses", "keras.metrics", "keras.ops")
    if module in homes:
        homes = (module,)
    elif module not in (None, "builtins"):
        return False
    return any(callable(getattr(import_module(home), name, None)) for home in homes)


@cache
def _classes() -> frozenset[str]:
    """Names of Keras's classes that a network may be built from."""
    names = {
        name
        for module in (*_CONTAINERS, *_OPERATIONS)
        for name, value in vars(import_module(module)).items()
        if isinstance(value, type) and hasattr(value, "from_config")
    }
    return frozenset({*names, "Functional"}) - EFFECTS - _HIGHER_ORDER


def _told(entry: dict[str, Any]) -> str:
    name = entry["config"] if entry["class_name"] == "function" else entry["class_name"]
    module = entry.get("module")
    return printable(f"{name} of {module}" if module else name)[:200]
