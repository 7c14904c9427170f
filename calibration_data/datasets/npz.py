"""NumPy .npz files with images and labels under their usual names.

These are ``images`` and ``labels``, ``x`` and ``y``, or the splits ``x_train``/``y_train`` and
``x_test``/``y_test`` of Keras's mnist.npz.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from calibration_data.datasets.base import Dataset, DatasetKind, SplitRole
from foundation.archives import open_arrays
from foundation.errors import InvalidInputError
from foundation.foreign import printable

_NAMES = (("images", "labels"), ("x", "y"))


def _arrays(path: Path, split: str | None) -> tuple[np.ndarray, np.ndarray]:
    pairs = _NAMES if split is None else tuple((f"{x}_{split}", f"{y}_{split}") for x, y in _NAMES)
    rule = "an .npz file can be read by numpy.load without pickles"
    with open_arrays(path, rule, "write it with numpy.savez") as arrays:
        for images, labels in pairs:
            if images in arrays.names and labels in arrays.names:
                return arrays[images], arrays[labels]
        held = printable(", ".join(arrays.names)[:200]) or "nothing"
    wanted = " or ".join(f"{x} and {y}" for x, y in pairs)
    raise InvalidInputError(
        f"an .npz file holds {wanted}",
        received=f"{path} with {held}",
        remedy="rename its arrays, or add a split such as file.npz:train",
    )


def _open(text: str, split: str | None) -> Dataset:
    images, labels = _arrays(Path(text), split)
    labels = labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise InvalidInputError(
            "images in an .npz file are uint8 [n, height, width, channels] with values 0..255",
            received=f"{images.dtype} {list(images.shape)} in {text}",
            remedy="store the pixels before any normalization: the contract does that",
        )
    if (
        labels.shape != images.shape[:1]
        or labels.dtype.kind not in "iu"
        or (len(labels) and labels.min() < 0)
    ):
        raise InvalidInputError(
            f"labels are {len(images)} whole numbers from 0, one per image",
            received=f"{labels.dtype} {list(labels.shape)} in {text}",
            remedy="store class numbers",
        )
    return Dataset(
        name=text if split is None else f"{text}:{split}",
        role=SplitRole.of(split or Path(text).stem),
        labels=labels.astype(np.int64),
        class_names=(),
        decode=lambda i: images[i],
    )


KIND = DatasetKind(
    name="npz",
    syntax="FILE.npz[:SPLIT]",
    summary="arrays images and labels (x and y, or x_SPLIT and y_SPLIT)",
    matches=lambda text: text.endswith(".npz") and Path(text).is_file(),
    open=_open,
    order=20,
)
