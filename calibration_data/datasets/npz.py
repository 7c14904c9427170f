"""NumPy .npz files with images or other arrays of numbers, and labels if any.

Their names are ``images`` and ``labels``, ``x`` and ``y``, or the splits ``x_train``/``y_train``
and ``x_test``/``y_test`` of Keras's mnist.npz. Images alone are data without labels. Labels are
class numbers, or targets: numbers of any kind for a table, floats for one quantity.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from calibration_data.datasets.base import Dataset, DatasetKind, SplitRole
from calibration_data.targets import Targets, targets_from_array
from foundation.archives import open_arrays
from foundation.errors import InvalidInputError
from foundation.foreign import printable

_NAMES = (("images", "labels"), ("x", "y"))


_KNOWN = re.compile(r"(images|labels|x|y)(_.+)?")
"""Names that say what an array is; any other one may be of labels, which must not be dropped."""


def _arrays(path: Path, split: str | None) -> tuple[np.ndarray, np.ndarray | None]:
    pairs = _NAMES if split is None else tuple((f"{x}_{split}", f"{y}_{split}") for x, y in _NAMES)
    rule = "an .npz file can be read by numpy.load without pickles"
    with open_arrays(
        path, rule, "write it with numpy.savez, all examples padded or cut to one shape"
    ) as arrays:
        names = arrays.names
        for images, labels in pairs:
            if images in names and labels in names:
                return arrays[images], arrays[labels]
        alone = [images for images, _ in pairs if images in names]
        labelled = any(labels in names for _, labels in pairs)
        if len(alone) == 1 and not labelled and all(_KNOWN.fullmatch(name) for name in names):
            return arrays[alone[0]], None
        held = printable(", ".join(names)[:200]) or "nothing"
    wanted = " or ".join(f"{x} and {y}" for x, y in pairs)
    raise InvalidInputError(
        f"an .npz file holds {wanted}, or {' or '.join(x for x, _ in pairs)} alone",
        received=f"{path} with {held}",
        remedy="rename its arrays, or add a split such as file.npz:train",
    )


def require_numbers(examples: np.ndarray, text: str) -> None:
    """Raise InvalidInputError unless an array holds examples of finite numbers.

    Which of their shapes and types a network takes, its contract says.

    Args:
        examples: array of any shape and type.
        text: DATA that it is from, for the message.
    """
    suffix = Path(text).suffix
    if examples.ndim < 2 or examples.dtype.kind not in "biuf":
        raise InvalidInputError(
            f"examples in an {suffix} file are numbers of the shape [n, ...]: images are uint8 "
            "[n, height, width, channels] with values 0..255",
            received=f"{examples.dtype} {list(examples.shape)} in {text}",
            remedy="store one array of all examples, of one shape and without any normalization "
            "that the contract does",
        )
    if examples.dtype.kind == "f" and not np.isfinite(examples).all():
        broken = ~np.isfinite(examples).reshape(len(examples), -1).all(axis=1)
        raise InvalidInputError(
            f"examples in an {suffix} file are finite numbers",
            received=f"NaN or infinity in {int(broken.sum())} of {len(examples)}, the first of "
            f"them number {int(broken.argmax())}, in {text}",
            remedy="repair or remove them",
        )


def _checked_labels(labels: np.ndarray, images: np.ndarray, text: str) -> np.ndarray:
    """Labels as int64 ``[n]``; raises InvalidInputError unless they are class numbers."""
    labels = labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if (
        labels.shape != images.shape[:1]
        or labels.dtype.kind not in "iu"
        or (len(labels) and labels.min() < 0)
    ):
        raise InvalidInputError(
            f"labels are {len(images)} whole numbers from 0, one per image, or a table of numbers",
            received=f"{labels.dtype} {list(labels.shape)} in {text}",
            remedy="store class numbers, or measured numbers as floats",
        )
    return labels.astype(np.int64)


def _open(text: str, split: str | None) -> Dataset:
    images, labels = _arrays(Path(text), split)
    require_numbers(images, text)
    classes, targets = answers(labels, images, text)
    return Dataset(
        name=text if split is None else f"{text}:{split}",
        role=SplitRole.of(split or Path(text).stem),
        labels=classes,
        class_names=(),
        decode=lambda i: images[i],
        count=len(images),
        targets=targets,
    )


def answers(
    labels: np.ndarray | None, images: np.ndarray, text: str
) -> tuple[np.ndarray | None, tuple[Targets, ...]]:
    """Class numbers, int64 ``[n]``, or targets of an array of labels.

    Args:
        labels: array of any shape and type; None without labels.
        images: array of the images.
        text: DATA that they are from, for the message.

    Raises:
        InvalidInputError: an array that is neither, or NaN or infinity.
    """
    if labels is None:
        return None, ()
    column = labels.ndim == 2 and labels.shape[1] == 1 and labels.dtype.kind in "iu"
    targets = None if column else targets_from_array(labels, len(images))
    if targets is not None:
        return None, (targets,)
    return _checked_labels(labels, images, text), ()


KIND = DatasetKind(
    name="npz",
    syntax="FILE.npz[:SPLIT]",
    summary="arrays x and y (images and labels, or x_SPLIT and y_SPLIT), or x alone: images, or "
    "numbers [n, ...] of any shape",
    matches=lambda text: text.endswith(".npz") and Path(text).is_file(),
    open=_open,
    order=20,
)
