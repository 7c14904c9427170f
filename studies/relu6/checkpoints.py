"""Trained networks as small files: convolution kernels in float16, the rest in float32.

The networks of the study are those in the files, so float16 does not affect its results.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foundation.atomic import write_whole
from foundation.errors import InvalidInputError
from models.spec import ModelSpec

if TYPE_CHECKING:
    import keras


def shipped() -> Path:
    """Folder of the repository's checkpoints."""
    return Path(__file__).resolve().parent / "checkpoints"


def path_of(folder: Path, name: str) -> Path:
    """Path of a network's checkpoint, whether or not it exists."""
    return folder / f"{name}.npz"


def save(model: keras.Model, card: dict[str, Any], folder: Path, name: str) -> Path:
    """Write a checkpoint and its card; each appears whole or not at all.

    Args:
        model: trained, without optimizer.
        card: how it was trained, as plain values for JSON.
        folder: folder of the checkpoints.
        name: name of the network.

    Raises:
        InvalidInputError: a kernel beyond the range of float16, or a folder that is not writable.
    """
    arrays: dict[str, Any] = {}
    for number, value in enumerate(model.get_weights()):
        if value.ndim > 1 and not np.isfinite(value.astype(np.float16)).all():
            raise InvalidInputError(
                "kernels of a checkpoint fit float16",
                received=f"{name} with up to {np.abs(value).max():g}",
                remedy="train with more weight decay",
            )
        arrays[f"w{number:03d}"] = value.astype(np.float16) if value.ndim > 1 else value
    path = path_of(folder, name)
    write_whole(path, lambda file: np.savez_compressed(file, **arrays))
    text = json.dumps(card, indent=2) + "\n"
    card_path = path.with_suffix(".json")
    write_whole(card_path, lambda file: file.write_text(text, encoding="utf-8"))
    return path


def load(spec: ModelSpec, folder: Path, name: str) -> keras.Model:
    """Build a network with the weights of its checkpoint.

    Raises:
        InvalidInputError: no such checkpoint, a damaged one, or one of another network.
    """
    path = path_of(folder, name)
    model = spec.build(spec)
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as stored:
            values = [stored[key].astype(np.float32) for key in sorted(stored.files)]
        model.set_weights(values)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidInputError(
            "a network of the study has a checkpoint",
            received=f"{path} ({type(error).__name__})",
            remedy="restore it from the repository, or train again with RETRAIN=1",
        ) from error
    return model


def card(folder: Path, name: str) -> dict[str, Any]:
    """Card of a checkpoint.

    Raises:
        InvalidInputError: no card, or a damaged one.
    """
    path = path_of(folder, name).with_suffix(".json")
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(
            "a checkpoint has a card beside it",
            received=f"{path} ({type(error).__name__})",
            remedy="restore it from the repository, or train again with RETRAIN=1",
        ) from error
    return values
