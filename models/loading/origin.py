"""Where a model file comes from: its format, and the Keras that saved it."""

from __future__ import annotations

import json
from pathlib import Path

from foundation.archives import open_zip, read_member
from foundation.foreign import printable, reading

_METADATA = "metadata.json"
_MOST_METADATA = 1 << 16
"""Bytes of the metadata of a .keras file, which has two short entries."""


def origin_of(path: Path) -> str:
    """Format of a model file and the version of the Keras that saved it, as a phrase.

    Args:
        path: file or folder that was loaded before, so that it is known to be sound.

    Raises:
        InvalidInputError: a file that was damaged in the meantime.
    """
    if path.is_dir():
        return "SavedModel folder"
    kind = f"{path.suffix} file"
    version = _version(path)
    return f"{kind} of Keras {printable(version)[:32]}" if version else kind


def _version(path: Path) -> str:
    """Version that is stored in a file; empty without one."""
    rule, remedy = "a model file says which Keras saved it", "save it again with Keras 3"
    if path.suffix == ".keras":
        with open_zip(path, rule, remedy) as archive:
            if _METADATA not in archive.namelist():
                return ""
            values = json.loads(read_member(archive, _METADATA, _MOST_METADATA))
            return str(values.get("keras_version", "")) if isinstance(values, dict) else ""
    import h5py

    with reading(path, rule, remedy), h5py.File(path, "r") as archive:
        stored = archive.attrs.get("keras_version", "")
        return stored.decode("utf-8", "replace") if isinstance(stored, bytes) else str(stored)
