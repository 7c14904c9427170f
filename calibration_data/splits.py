"""Finding the calibration split that belongs to evaluation data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from calibration_data.datasets.base import SplitRole, open_dataset, readings
from foundation.errors import InvalidInputError

_CALIBRATION_NAMES = ("calibration", "train")


def calibration_beside(data: str) -> str | None:
    """DATA of the calibration or training split beside an evaluation split, None if there is none.

    ``photos:test`` and ``photos/test`` lead to ``photos:calibration`` or ``photos:train``, and
    ``test.npz`` to ``train.npz``. What is beside data that is no split by its name is not taken:
    it may be anybody's. Neither is the evaluation data itself.
    """
    for candidate in _candidates(data):
        if candidate.rstrip("/") == data.rstrip("/"):
            continue
        try:
            open_dataset(candidate)
        except InvalidInputError:
            continue
        return candidate
    return None


def _candidates(data: str) -> Iterator[str]:
    for text, split in readings(data):
        if split is not None:
            yield from (f"{text}:{name}" for name in _CALIBRATION_NAMES)
        elif SplitRole.of(Path(text).stem) is not SplitRole.UNKNOWN:
            path = Path(text)
            for name in _CALIBRATION_NAMES:
                yield str(path.with_name(name + path.suffix))
