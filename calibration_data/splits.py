"""Search for the calibration split that belongs to evaluation data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from calibration_data.datasets.base import SplitRole, open_dataset, readings
from foundation.errors import InvalidInputError

_CALIBRATION_NAMES = ("calibration", "train")


def calibration_beside(data: str) -> str | None:
    """DATA of the calibration or training split beside an evaluation split; None without one.

    ``photos:test`` leads to ``photos:calibration`` or ``photos:train``, ``photos/test`` to
    ``photos/calibration`` or ``photos/train``, and ``test.npz`` to ``train.npz``. Data whose name
    is not that of a split leads nowhere, since files beside it may be unrelated. The evaluation
    data itself is never returned.
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
