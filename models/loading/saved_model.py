"""Loading of SavedModel folders: checked before TensorFlow loads them, then wrapped for Keras."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.ends import output_names
from foundation.errors import InvalidInputError
from foundation.foreign import printable, reading, require_regular
from models.loading.saved_model_graph import GraphWalk

if TYPE_CHECKING:
    import keras

GRAPH = "saved_model.pb"
"""Name of the file that holds the graph."""

_MOST_GRAPH_BYTES = 2 << 30
"""Largest size of a protocol buffer."""

_LOADABLE = "a SavedModel folder can be loaded by TensorFlow"
_EXPORT = "export it again with model.export('folder')"
_SHOWN = 5


def load_saved_model(path: Path, *, trust: bool = False) -> keras.Model:
    """Wrap the serving signature of a SavedModel, which Keras 3 does not load by itself.

    Args:
        path: path of the folder.
        trust: load it even if its operators have side effects.

    Raises:
        InvalidInputError: a damaged folder, no serving signature, more than one input, or
            operators with side effects.
    """
    import tensorflow as tf

    if not trust:
        refuse_foreign_operators(path)
    with reading(path, _LOADABLE, _EXPORT, raised=(tf.errors.OpError,)):
        signatures = tf.saved_model.load(str(path)).signatures
    if "serving_default" not in signatures:
        raise InvalidInputError(
            "a SavedModel has the signature serving_default",
            received=f"{printable(path)} with {', '.join(signatures) or 'no signature'}",
            remedy=_EXPORT,
        )
    _, inputs = signatures["serving_default"].structured_input_signature
    outputs = signatures["serving_default"].structured_outputs
    if len(inputs) != 1 or not outputs:
        raise InvalidInputError(
            "a model has one input (the image) and at least one output",
            received=f"{printable(path)} with {len(inputs)} inputs and {len(outputs)} outputs",
            remedy="export the part of one input alone",
        )
    (spec,) = inputs.values()
    with reading(path, _LOADABLE, _EXPORT, raised=(tf.errors.OpError,)):
        return _wrapped(path, spec)


def refuse_foreign_operators(path: Path) -> None:
    """Refuse a SavedModel with operators that have side effects, before it is loaded.

    Args:
        path: path of the folder.

    Raises:
        InvalidInputError: such an operator in any graph or function, a damaged graph, or an entry
            of the folder that is not a regular file.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorflow.core.protobuf import saved_model_pb2

    for file in sorted(path.rglob("*")):
        if not file.is_dir():
            require_regular(file, "a SavedModel folder holds regular files", _EXPORT)
    require_regular(path / GRAPH, _LOADABLE, _EXPORT, most_bytes=_MOST_GRAPH_BYTES)
    stored: Any = saved_model_pb2.SavedModel()
    with reading(path, _LOADABLE, _EXPORT, raised=(DecodeError,)):
        stored.ParseFromString((path / GRAPH).read_bytes())
    walks = [GraphWalk(meta) for meta in stored.meta_graphs]
    faults = list(dict.fromkeys(fault for walk in walks for fault in walk.faults()))
    if faults:
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise InvalidInputError(
            "a SavedModel holds operators that compute, and no loops, files or other code",
            received=f"{printable(path)} with {printable(', '.join(faults[:_SHOWN]))}{more}",
            remedy="export the classifying part alone, or pass --trust if you trust the file",
        )


def _wrapped(path: Path, spec: Any) -> keras.Model:
    """Keras model around a SavedModel whose input has this TensorSpec."""
    import keras

    layer = keras.layers.TFSMLayer(str(path), call_endpoint="serving_default", name="saved_model")
    image = keras.Input(spec.shape[1:], dtype=spec.dtype.name)
    outputs = layer(image)
    if len(outputs) == 1:
        results = next(iter(outputs.values()))
    else:  # each under its name in the signature, not all under that of the one layer
        cleaned = output_names(sorted(outputs, key=_in_order))
        results = [
            keras.layers.Identity(name=name)(outputs[key])
            for key, name in zip(sorted(outputs, key=_in_order), cleaned, strict=True)
        ]
    return keras.Model(image, results, name=path.name.replace(".", "_"))


def _in_order(key: str) -> tuple[str, int]:
    """Order of a signature's outputs: ``output_10`` comes after ``output_9``."""
    stem, _, number = key.rpartition("_")
    return (stem, int(number)) if stem and number.isdecimal() else (key, -1)
