"""Arrays and iterables that a Python program gives, as a dataset.

They have no DATA text, and so no row among the kinds: a caller passes the dataset itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from calibration_data.datasets.base import Dataset, SplitRole
from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    from calibration_data.datasets.base import Picture

MOST_EXAMPLES = 100_000
"""Largest number of examples of an iterable, which may have no end."""

_REMEDY = "give arrays or Pillow images, one per example, or pairs of one and its label"


def dataset_of(
    examples: np.ndarray | Iterable[Any],
    labels: np.ndarray | Iterable[int] | None = None,
    *,
    name: str = "the examples given",
    role: SplitRole = SplitRole.UNKNOWN,
) -> Dataset:
    """Dataset of examples in memory.

    Args:
        examples: array ``[n, ...]``, or an iterable of arrays, of Pillow images, or of pairs
            ``(example, label)``; it is read once, and its examples are held as they are.
        labels: class of each example, or None; not with pairs.
        name: words for the dataset in messages.
        role: purpose for which it may be used.

    Raises:
        InvalidInputError: no example, more than ``MOST_EXAMPLES``, something that is no example,
            examples of different shapes, or labels that do not fit.
    """
    pictures, paired = _listed(examples, name)
    if paired is not None and labels is not None:
        raise InvalidInputError(
            "labels are given once, in pairs or beside the examples",
            received=f"both for {name}",
            remedy="leave one of them out",
        )
    known = paired if paired is not None else None if labels is None else list(labels)
    return Dataset(
        name=name,
        role=role,
        labels=None if known is None else _checked_labels(known, len(pictures), name),
        class_names=(),
        decode=lambda index: pictures[index],
        describe=lambda index: f"example {index}",
        count=len(pictures),
    )


def _listed(examples: Any, name: str) -> tuple[list[Picture], list[Any] | None]:
    """Examples as a list, and their labels where they come in pairs."""
    if isinstance(examples, str | bytes | dict) or not isinstance(examples, Iterable):
        raise _no_examples(name, f"a {type(examples).__name__}")
    given = list(islice(examples, MOST_EXAMPLES + 1))
    if not given or len(given) > MOST_EXAMPLES:
        raise InvalidInputError(
            f"examples are at least 1 and at most {MOST_EXAMPLES:,}",
            received=f"none in {name}" if not given else f"more in {name}",
            remedy="give a representative sample, such as itertools.islice(examples, 1000)",
        )
    pairs = [isinstance(item, tuple) and len(item) == 2 for item in given]
    if any(pairs) and not all(pairs):
        raise _no_examples(name, "pairs and single examples")
    pictures = [_picture(item[0] if pairs[0] else item, name) for item in given]
    arrays = [p for p in pictures if isinstance(p, np.ndarray)]
    kinds = {(array.ndim, array.dtype) for array in arrays}
    if len(kinds) > 1 or (arrays and len(arrays) != len(pictures)):
        raise InvalidInputError(
            "examples are of one type and one number of axes",
            received=f"{_some(pictures)} in {name}",
            remedy="stack them, or convert them to one type",
        )
    return pictures, [item[1] for item in given] if pairs[0] else None


def _picture(value: Any, name: str) -> Picture:
    """One example: an array of numbers, or a Pillow image."""
    from PIL import Image

    if isinstance(value, Image.Image):
        return value
    if isinstance(value, str | bytes | dict) or not hasattr(value, "__array__"):
        raise _no_examples(name, f"a {type(value).__name__}")
    array = np.asarray(value)
    if array.dtype.kind not in "fiu" or array.ndim == 0 or not array.size:
        raise _no_examples(name, f"{array.dtype} {list(array.shape)}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise _no_examples(name, "NaN or Inf")
    return array


def _checked_labels(labels: list[Any], count: int, name: str) -> np.ndarray:
    """Labels as int64 ``[n]``."""
    try:
        array = np.asarray(labels)
    except ValueError:  # ragged
        array = np.zeros((), object)
    whole = array.dtype.kind in "iu" and array.shape == (count,)
    if not whole or int(array.min()) < 0:
        raise InvalidInputError(
            f"labels are {count} whole numbers from 0, one per example",
            received=f"{array.dtype} {list(array.shape)} for {name}",
            remedy="give class numbers, or no labels",
        )
    return array.astype(np.int64)


def _some(pictures: list[Picture]) -> str:
    shown = dict.fromkeys(
        f"{p.dtype} {list(p.shape)}" if isinstance(p, np.ndarray) else "a Pillow image"
        for p in pictures
    )
    return ", ".join(list(shown)[:3])


def _no_examples(name: str, received: str) -> InvalidInputError:
    return InvalidInputError(
        "examples are arrays of finite numbers, or Pillow images",
        received=f"{received} in {name}",
        remedy=_REMEDY,
    )
