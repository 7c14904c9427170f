"""Data that a program gives: arrays, pairs, datasets of frameworks, iterables, or a DATA text."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from calibration_data.datasets.given import given_name, write_given
from calibration_data.datasets.memory import MOST_EXAMPLES
from foundation.errors import InvalidInputError

Data = Any
"""A path or registered name with an optional ``:split``; an array ``[n, ...]``; a pair
``(examples, labels)``; a ``tf.data.Dataset``, a loader, or any iterable of examples, of batches, or
of pairs of them with their labels."""

_IMAGE_AXES = 3


def is_in_memory(data: Data) -> bool:
    """Whether data are arrays or an iterable, not a text that names them."""
    return data is not None and not isinstance(data, str | os.PathLike)


def data_text(data: Data, what: str, folder: Path, axes: int | None) -> str:
    """Text that names data on the command line.

    Args:
        data: see ``Data``.
        what: name of the argument.
        folder: private folder to write arrays into.
        axes: number of axes of one example; None if unknown.

    Raises:
        InvalidInputError: no examples, too many, or something else than arrays.
    """
    if isinstance(data, str | os.PathLike):
        return os.fspath(data)
    examples, labels = _collected(data, what, axes)
    digest = hashlib.sha256()
    for example in (*examples, *(() if labels is None else (labels,))):
        digest.update(f"{example.dtype} {example.shape}".encode())
        digest.update(np.ascontiguousarray(example).data)
    name = f"{what}-{digest.hexdigest()[:8]}"
    write_given(folder / f"{name}.npz", examples, labels)
    return given_name(name)


def _collected(
    data: Data, what: str, axes: int | None
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Examples, and labels ``[n, ...]`` if any."""
    if isinstance(data, tuple) and len(data) == 2 and hasattr(data[0], "__len__"):
        x, y = (_array(part, what) for part in data)
        if not x.ndim or not y.ndim or len(x) != len(y):
            raise _not_data(what, f"arrays of the shapes {list(x.shape)} and {list(y.shape)}")
        return _listed(x, what), _classes(y)
    if hasattr(data, "__array__"):
        return _listed(_array(data, what), what), None
    indexed = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    if isinstance(data, dict | bytes) or not (isinstance(data, Iterable) or indexed):
        raise _not_data(what, f"a {type(data).__name__}")
    return _iterated(data, what, axes)


def _iterated(
    data: Data, what: str, axes: int | None
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Examples and labels of an iterable of examples or batches."""
    examples: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for number, item in enumerate(islice(_items(data), MOST_EXAMPLES + 1)):
        paired = isinstance(item, tuple | list) and len(item) in (2, 3)  # the third: weights
        x = _array(item[0] if paired else item, what)
        y = np.asarray(item[1]) if paired else None
        if (paired and len(labels) != number) or (not paired and labels):
            raise _not_data(what, "some examples with labels and some without")
        if _is_batch(x, y, axes):
            examples += _listed(x, what)
            labels += [] if y is None else [y]
        else:
            examples.append(x)
            labels += [] if y is None else [y[None]]
        if len(examples) > MOST_EXAMPLES:
            break
    if not examples or len(examples) > MOST_EXAMPLES:
        raise InvalidInputError(
            f"{what} has at least 1 and at most {MOST_EXAMPLES:,} examples",
            received="more" if examples else "none",
            remedy="give a representative sample, such as itertools.islice(examples, 1000)",
        )
    return examples, _classes(np.concatenate(labels)) if labels else None


def _items(data: Data) -> Iterator[Any]:
    """Items of an iterable, or of a Keras dataset, which is indexed and would not end."""
    if hasattr(data, "as_numpy_iterator"):
        yield from data.as_numpy_iterator()
    elif hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        for number in range(len(data)):
            yield data[number]
    else:
        yield from data


def _is_batch(x: np.ndarray, y: np.ndarray | None, axes: int | None) -> bool:
    """Whether an item is a batch: one axis more than an example has.

    Without that number, labels tell it, and then the axes: three are an image.
    """
    if axes is not None:
        return x.ndim == axes + 1
    if y is not None:
        return y.ndim > 0 and x.ndim > 1 and len(y) == len(x)
    return x.ndim not in (1, _IMAGE_AXES)


def _array(value: Any, what: str) -> np.ndarray:
    """Array of numbers of an array, a tensor, a list or a Pillow image."""
    if type(value).__module__.split(".")[0] == "PIL":
        value = value if value.mode in ("L", "RGB") else value.convert("RGB")
    elif hasattr(value, "detach"):  # a tensor of PyTorch, maybe on a GPU
        value = value.detach().cpu()
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise _not_data(what, f"a {type(value).__name__} ({error})") from error
    if array.dtype.kind not in "biuf" or not array.size:
        raise _not_data(what, f"{array.dtype} {list(array.shape)}")
    return array


def _listed(array: np.ndarray, what: str) -> list[np.ndarray]:
    if array.ndim < 2:
        raise _not_data(what, f"an array of the shape {list(array.shape)}")
    return list(array)


def _classes(labels: np.ndarray) -> np.ndarray:
    """Class numbers of rows with a single one, as Keras's to_categorical makes them."""
    rows = labels.reshape(len(labels), -1)
    ones = labels.ndim == 2 and labels.shape[1] > 1 and bool(((rows == 0) | (rows == 1)).all())
    if ones and bool((rows.sum(axis=1) == 1).all()):
        classes: np.ndarray = rows.argmax(axis=1)
        return classes
    return labels


def _not_data(what: str, received: str) -> InvalidInputError:
    return InvalidInputError(
        f"{what} is an array [n, ...], a pair (examples, labels), a tf.data.Dataset or another "
        "iterable of arrays of numbers, a path, or a registered name",
        received=received,
        remedy="give for instance images as uint8 or float32 [n, height, width, channels]",
    )
