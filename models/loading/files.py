"""Loading of .keras, legacy .h5 and SavedModel files; foreign code in them is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.errors import InvalidInputError
from foundation.foreign import printable, reading
from models.loading.archives import (
    h5_config,
    is_archive_of_keras_3,
    is_of_keras_3,
    keras_config,
)
from models.loading.keras_config import refuse_foreign_code
from models.loading.legacy_archive import load_archive_weights
from models.loading.legacy_h5 import mended
from models.loading.legacy_weights import load_legacy_weights
from models.loading.mixed_precision import REMARK, is_mixed, without_policies
from models.loading.saved_model import GRAPH, load_saved_model

if TYPE_CHECKING:
    import keras


MODEL_SUFFIXES = (".keras", ".h5", ".hdf5")


def load_keras_file(path: Path, *, trust: bool = False) -> keras.Model:
    """Load a .keras, an .h5 or a SavedModel folder.

    Args:
        path: path of the file or folder.
        trust: load it even if it holds foreign code.

    Raises:
        InvalidInputError: no such file, a damaged one, or one with more than Keras's own layers.
    """
    if path.is_dir() and (path / GRAPH).exists():
        return load_saved_model(path, trust=trust)
    if path.suffix not in MODEL_SUFFIXES or not path.is_file():
        raise InvalidInputError(
            "a model file is a .keras, an .h5 or a SavedModel folder",
            received=str(path) if path.exists() else f"{path}, which does not exist",
            remedy="check the path, or give a name from 'edgequant list models'",
        )
    if path.suffix != ".keras":
        config = h5_config(path)
        if not is_of_keras_3(path):
            return _legacy_model(path, config, trust)
    else:
        config = keras_config(path)
        if not is_archive_of_keras_3(path):
            return _legacy_model(path, config, trust)
    config = {**config, "compile_config": None}  # optimizers and losses, which are not loaded
    with reading(path, "a model file holds a network of layers", "save it again with Keras 3"):
        refuse_foreign_code(config, path, trust)
    import keras

    rule = "Keras can load the model without other code"
    remedy = "save it again with Keras 3, and register custom layers as built-in ones"
    with reading(path, rule, remedy):
        if not is_mixed(config):
            return keras.models.load_model(path, compile=False, safe_mode=not trust)
        plain = without_policies(config)
        model = keras.saving.deserialize_keras_object(plain, safe_mode=not trust)
        model.load_weights(path)
        return model


def remarks_on_file(path: Path) -> tuple[str, ...]:
    """Sentences on what loading changes in a file that ``load_keras_file`` has loaded."""
    if path.is_dir():
        return ()
    config = keras_config(path) if path.suffix == ".keras" else h5_config(path)
    return (REMARK,) if is_mixed(config) else ()


def _legacy_model(path: Path, config: dict[str, Any], trust: bool) -> keras.Model:
    """A file of Keras 2: its configuration as one of Keras 3, then its weights."""
    import keras

    remedy = "build the network with Keras 3, load its weights, and save it as .keras"
    with reading(path, "a model file holds a network of layers", remedy):
        legacy = mended(config)
        refuse_foreign_code(legacy.config, path, trust)
    with reading(path, "Keras 3 can build the layers of an .h5 model of Keras 2", remedy):
        model = keras.saving.deserialize_keras_object(legacy.config, safe_mode=not trust)
    if path.suffix == ".keras":
        load_archive_weights(path, model, config)
    else:
        load_legacy_weights(path, model, legacy.names)
    return model


def several_inputs(name: object, inputs: Sequence[str]) -> InvalidInputError:
    """Error for a model with more than one input; names them."""
    return InvalidInputError(
        "a model has one input",
        received=f"{name} with {len(inputs)} inputs ({printable(', '.join(inputs)[:200])})",
        remedy="join them into one input that the model cuts apart itself, or export the part that "
        "takes one of them",
    )


def not_one_input(name: object, inputs: int, outputs: int) -> InvalidInputError:
    """Error for a model that does not have one input and at least one output."""
    return InvalidInputError(
        "a model has one input (the image) and at least one output",
        received=f"{name} with {inputs} inputs and {outputs} outputs",
        remedy="export the part of one input alone",
    )
