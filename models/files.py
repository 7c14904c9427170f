"""Model files: .keras, legacy .h5 and SavedModel folders, refused when they hold foreign code."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration_data.downloads import first_line
from foundation.errors import InvalidInputError
from models.keras_config import refuse_foreign_code
from models.saved_model import GRAPH, load_saved_model

if TYPE_CHECKING:
    import keras


MODEL_SUFFIXES = (".keras", ".h5", ".hdf5")

_UNREADABLE = (OSError, ValueError, TypeError, LookupError, NotImplementedError, zipfile.BadZipFile)
"""What Keras and TensorFlow raise on damaged files (found by damaging files at random)."""


def load_keras_file(path: Path, *, trust_lambda: bool = False) -> keras.Model:
    """Load a .keras, an .h5 or a SavedModel folder.

    Raises:
        InvalidInputError: no such file, a damaged one, or one with more than Keras's own layers.
    """
    if path.is_dir() and (path / GRAPH).exists():
        return load_saved_model(path, trust=trust_lambda)
    if path.suffix not in MODEL_SUFFIXES or not path.is_file():
        raise InvalidInputError(
            "a model file is a .keras, an .h5 or a SavedModel folder",
            received=str(path) if path.exists() else f"{path}, which does not exist",
            remedy="check the path, or give a name from 'edgequant list models'",
        )
    config = _keras_zip_config(path) if path.suffix == ".keras" else _h5_config(path)
    refuse_foreign_code(config, path, trust_lambda)
    import keras

    try:
        return keras.models.load_model(path, compile=False, safe_mode=not trust_lambda)
    except _UNREADABLE as error:
        raise InvalidInputError(
            "Keras can load the model without other code",
            received=f"{path} ({first_line(error)})",
            remedy="save it again with Keras 3, and register custom layers as built-in ones",
        ) from error


def _keras_zip_config(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            config: dict[str, Any] = json.loads(archive.read("config.json"))
            return config
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InvalidInputError(
            "a .keras file is an archive that Keras 3 saved",
            received=f"{path} ({error})",
            remedy="save it again with model.save('name.keras')",
        ) from error


def _h5_config(path: Path) -> dict[str, Any]:
    import h5py

    try:
        with h5py.File(path) as archive:
            stored = archive.attrs.get("model_config")
    except OSError as error:
        raise InvalidInputError(
            "an .h5 file is an HDF5 archive that Keras saved",
            received=f"{path} ({error})",
            remedy="save it again with model.save('name.keras')",
        ) from error
    if stored is None:
        raise InvalidInputError(
            "an .h5 model holds the architecture beside the weights",
            received=f"{path}, which has no model_config",
            remedy="save the whole model, or give a registered --model and this file as --weights",
        )
    try:
        config: dict[str, Any] = json.loads(stored)
    except ValueError as error:
        raise InvalidInputError(
            "an .h5 model holds its architecture as JSON",
            received=f"{path} ({error})",
            remedy="save it again with model.save('name.keras')",
        ) from error
    return config


def not_one_input(name: object, inputs: int, outputs: int) -> InvalidInputError:
    """The error for a model that is no image classifier by its ends."""
    return InvalidInputError(
        "a model has one input (the image) and one output (the scores)",
        received=f"{name} with {inputs} inputs and {outputs} outputs",
        remedy="export the classifying part alone",
    )
