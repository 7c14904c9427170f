"""Check of the classes and functions in a Keras file: only Keras's own, without side effects.

Keras's ``safe_mode`` refuses Python code in a file. It accepts a ``TFSMLayer`` that loads a
SavedModel from any path, a vocabulary that is read from any path, a layer that calls another
framework, and endless loops. Therefore every name in a config is looked up here first.
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
"""Keras layers that run code from a file, or read files that it names."""

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
"""Public modules of the classes that a network may use."""

_OPERATIONS = (
    "keras.src.activations.activations",  # keras.activations.relu(x) and mish(x) on a Keras tensor
    *(f"keras.src.ops.{name}" for name in ("core", "image", "linalg", "math", "nn", "numpy")),
)
"""Modules of operations, which a Functional model names by their internal module."""

_ARCHITECTURES = (
    "keras.src.applications.convnext",
    "keras.src.applications.inception_resnet_v2",
)
"""Modules of architectures with layers of their own."""

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
"""Operations that take functions, which a file cannot hold, or that may not terminate."""

_VALUES = frozenset(
    {"__bytes__", "__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__"}
)
"""Class names that denote plain values."""

_CODE = frozenset({"Lambda", "__lambda__"})


def refuse_foreign_code(config: Any, path: Path, trust: bool) -> None:
    """Refuse a config with anything but Keras's own classes and functions without side effects.

    Args:
        config: parsed JSON of a .keras or .h5.
        path: path of the file, for the message.
        trust: accept everything.

    Raises:
        InvalidInputError: a Lambda layer, or a name that is not allowed.
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
        if not _is_allowed(entry):
            raise InvalidInputError(
                "a model file is built from Keras's own layers that compute and nothing else, "
                "and loads without other code",
                received=f"{printable(path)} with {_shown_name(entry)}",
                remedy="rebuild the model without it, or pass --trust if you trust the file",
            )


def _entries(config: Any) -> Iterator[dict[str, Any]]:
    """All dictionaries with a class name, at any depth."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("class_name"), str):
                yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _is_allowed(entry: dict[str, Any]) -> bool:
    name, module = entry["class_name"], entry.get("module")
    if name in _VALUES:
        return True
    if name == "function":
        return _is_allowed_function(entry, module)
    if entry.get("registered_name") not in (None, name) or name not in _classes():
        return False
    return module is None or (
        isinstance(module, str)
        and (module in (*_CONTAINERS, *_OPERATIONS, *_ARCHITECTURES) or module.startswith(_INSIDE))
    )


def _is_allowed_function(entry: dict[str, Any], module: Any) -> bool:
    name = entry.get("config")
    if not isinstance(name, str) or name in _HIGHER_ORDER:
        return False
    if entry.get("registered_name") not in (None, name, "function"):
        return False
    modules: tuple[str, ...] = ("keras.activations", "keras.losses", "keras.metrics", "keras.ops")
    if module in modules:
        modules = (module,)
    elif module not in (None, "builtins"):
        return False
    return any(callable(getattr(import_module(home), name, None)) for home in modules)


@cache
def _classes() -> frozenset[str]:
    """Names of the Keras classes that a network may be built from."""
    names = {
        name
        for module in (*_CONTAINERS, *_OPERATIONS, *_ARCHITECTURES)
        for name, value in vars(import_module(module)).items()
        if isinstance(value, type) and hasattr(value, "from_config")
    }
    return frozenset({*names, "Functional"}) - EFFECTS - _HIGHER_ORDER


def _shown_name(entry: dict[str, Any]) -> str:
    """Name and module of a class or function, for the message."""
    name = entry["config"] if entry["class_name"] == "function" else entry["class_name"]
    module = entry.get("module")
    return printable(f"{name} of {module}" if module else name)[:200]
