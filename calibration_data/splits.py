"""Finding the calibration split that belongs to evaluation data."""

from __future__ import annotations

from pathlib import Path

from calibration_data.datasets.base import open_dataset
from calibration_data.datasets.fashion_mnist import NAME as BUNDLED
from calibration_data.errors import InvalidInputError

_CALIBRATION_NAMES = ("calibration", "train")


def calibration_beside(data: str) -> str | None:
    """DATA of the calibration or training split beside an evaluation split, None if there is none.

    ``photos:test`` and ``photos/test`` lead to ``photos:calibration`` or ``photos:train``.
    """
    root, colon, _ = data.rpartition(":")
    if not Path(data).exists() and colon:
        for name in _CALIBRATION_NAMES:
            if root == BUNDLED or (Path(root) / name).is_dir() or root.startswith("keras/"):
                candidate = f"{root}:{name}"
                try:
                    open_dataset(candidate)
                except InvalidInputError:
                    continue
                return candidate
        return None
    for name in _CALIBRATION_NAMES:
        folder = Path(data).parent / name
        if folder.is_dir() and folder != Path(data):
            return str(folder)
    return None
