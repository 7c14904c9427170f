"""Models that a program gives: a path, a registered name, or a Keras model in memory."""

from __future__ import annotations

import json
import os
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

from foundation.errors import InvalidInputError

Model = Any
"""A path, a registered name, or a model of Keras 3 (any backend) or tf_keras."""

_KERAS = ("keras", "tf_keras")
_DATE = (1980, 1, 1, 0, 0, 0)
_WRITTEN = "metadata.json"
_CONFIG = "config.json"


def model_text(model: Model, folder: Path) -> str:
    """Text that names a model on the command line.

    Args:
        model: path, registered name or Keras model; the latter is written as a .keras, or as a
            SavedModel if it has layers of the program.
        folder: private folder to write into.

    Raises:
        InvalidInputError: something else, a model that Keras cannot save, or one with layers of
            the program while Keras does not run on TensorFlow.
    """
    if isinstance(model, str | os.PathLike):
        return os.fspath(model)
    if not _is_keras(model):
        raise InvalidInputError(
            "a model is a Keras model, a path, or a registered name",
            received=f"a {type(model).__module__}.{type(model).__qualname__}",
            remedy="save it as .keras, SavedModel or .tflite and give the path",
        )
    own = _foreign_layer(model)
    if own and _backend(model) != "tensorflow":
        raise InvalidInputError(
            "a model in memory has Keras's own layers, unless Keras runs on TensorFlow",
            received=f"{model.name} with {own} on {_backend(model)}",
            remedy="build it from layers of Keras, or set KERAS_BACKEND=tensorflow, build it again "
            "and load its weights",
        )
    saved_model = bool(own)
    path = folder / f"{_file_name(model)}{'' if saved_model else '.keras'}"
    try:
        if saved_model:
            model.export(path, verbose=False)
        else:
            model.save(path)
    except (ValueError, TypeError, NotImplementedError, AttributeError, RuntimeError) as error:
        way = "model.export('folder')" if saved_model else "model.save('model.keras')"
        raise InvalidInputError(
            "a model in memory is one that Keras can save, or export if it has other layers than "
            "Keras's own",
            received=f"{model.name} ({_first_line(error)})",
            remedy=f"build it on keras.Input, and try {way}",
        ) from error
    if not saved_model:
        _write_plain(path)
    return str(path)


def is_in_memory(model: Model) -> bool:
    """Whether a model is an object, not a text that names one."""
    return not isinstance(model, str | os.PathLike)


def example_axes(model: Model) -> int | None:
    """Number of axes of one example of a Keras model in memory; None if unknown."""
    shape = getattr(model, "input_shape", None) if _is_keras(model) else None
    return len(shape) - 1 if isinstance(shape, tuple) else None


def _is_keras(model: Model) -> bool:
    classes = type(model).__mro__
    return hasattr(model, "save") and any(
        c.__name__ == "Model" and c.__module__.split(".")[0] in _KERAS for c in classes
    )


def _foreign_layer(model: Model) -> str:
    """Class of a layer of the program, whose code its process does not have; empty without one."""
    waiting = [model]
    while waiting:
        layer = waiting.pop()
        if type(layer).__module__.split(".")[0] not in _KERAS:
            return type(layer).__qualname__
        waiting += getattr(layer, "layers", ())
    return ""


def _backend(model: Model) -> str:
    """Library that the Keras of a model runs on."""
    legacy = any(c.__module__.split(".")[0] == "tf_keras" for c in type(model).__mro__)
    return "tensorflow" if legacy else str(sys.modules["keras"].config.backend())


def _file_name(model: Model) -> str:
    return re.sub(r"[^\w.-]+", "_", str(model.name)).strip("._") or "model"


def _write_plain(path: Path) -> None:
    """Write the archive again with the network alone: equal networks are equal files.

    Left out are the time of its making, and what the model was compiled with: optimizers and losses
    may be those of another backend, or functions of the program.
    """
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in sorted(archive.namelist())}
    if _WRITTEN in parts:
        card = json.loads(parts[_WRITTEN])
        card.pop("date_saved", None)
        parts[_WRITTEN] = json.dumps(card).encode()
    if _CONFIG in parts:
        config = json.loads(parts[_CONFIG])
        _leave_out_compilation(config)
        parts[_CONFIG] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), content)


def _leave_out_compilation(config: Any) -> None:
    """Delete what models were compiled with, at any depth."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            value.pop("compile_config", None)
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
