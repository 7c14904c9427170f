"""Arrays that a Python program gave (``edgequant.quantize``), written for the process that works.

The name holds a digest of the arrays, so that equal ones are known as such in a later call.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from calibration_data.datasets import npz
from calibration_data.datasets.base import Dataset, DatasetKind
from calibration_data.datasets.memory import dataset_of
from foundation.errors import InvalidInputError

FOLDER = "EDGEQUANT_GIVEN"
"""Environment variable with the folder of the arrays; a shell has none."""

_PREFIX = "given/"


def given_name(name: str) -> str:
    """DATA text of the file NAME.npz in that folder."""
    return f"{_PREFIX}{name}"


def write_given(path: Path, examples: list[np.ndarray], labels: np.ndarray | None) -> None:
    """Write examples; those of one shape as one array.

    Args:
        path: path of the .npz.
        examples: arrays, at least one.
        labels: ``[n, ...]``; None without.
    """
    known: dict[str, Any] = {} if labels is None else {"y": labels}
    if len({(example.shape, example.dtype) for example in examples}) == 1:
        np.savez(path, x=np.stack(examples), **known)
        return
    parts: dict[str, Any] = {
        f"part_{number:06d}": example for number, example in enumerate(examples)
    }
    np.savez(path, **parts, **known)


def _path(text: str) -> Path:
    return Path(os.environ[FOLDER]) / f"{text.removeprefix(_PREFIX)}.npz"


def _open(text: str, split: str | None) -> Dataset:
    if split is not None:
        raise InvalidInputError(
            "arrays have no splits", received=f"{text}:{split}", remedy="give the arrays themselves"
        )
    with np.load(_path(text)) as archive:
        if "x" in archive.files:
            return replace(npz.KIND.open(str(_path(text)), None), name=text)
        parts = [archive[name] for name in sorted(archive.files) if name != "y"]
        labels = archive["y"] if "y" in archive.files else None
    return dataset_of(parts, labels, name=text)


KIND = DatasetKind(
    name="given",
    syntax="given/NAME",
    summary="arrays that a Python program gave",
    matches=lambda text: (
        text.startswith(_PREFIX) and FOLDER in os.environ and _path(text).is_file()
    ),
    open=_open,
    listed=False,
    order=5,
)
