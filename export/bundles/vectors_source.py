"""Reader of the numbers in a bundle's model_vectors.cc."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


_FLOAT = re.compile(r"(-?\d{1,40}(?:\.\d{1,40})?(?:e[+-]?\d{1,3})?)f\b", re.ASCII)
"""A float literal as the sources have it."""


def read_vectors_source(
    text: str, pixels: tuple[int, ...], scores: tuple[int, ...], *, floats: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Read the two arrays of a ``model_vectors.cc``; everything else in it is ignored.

    Args:
        text: content of the file.
        pixels: shape of the pixels or values, ``[n, ...]``.
        scores: shape of the scores, ``[n, classes]``.
        floats: whether the first array is of float32 values instead of uint8 pixels.

    Returns:
        uint8 pixels or float32 values, and int8 scores.

    Raises:
        ValueError: numbers that do not fit these shapes and types.
    """
    import numpy as np

    bodies = [part.partition("};")[0] for part in text.split("] = {")[1:]]
    if len(bodies) != 2:
        raise ValueError("no two arrays")
    if floats:
        values = np.array([float(n) for n in _FLOAT.findall(bodies[0])], np.float64)
        if not (np.abs(values) <= np.finfo(np.float32).max).all():
            raise ValueError("numbers beyond their type")
        first = values.astype(np.float32).reshape(pixels)
        return first, _integers(bodies[1], scores, np.int8)
    return _integers(bodies[0], pixels, np.uint8), _integers(bodies[1], scores, np.int8)


def _integers(body: str, shape: tuple[int, ...], kind: type[np.integer[Any]]) -> np.ndarray:
    import numpy as np

    numbers = [int(number) for number in re.findall(r"-?\b\d{1,3}\b", body)]
    limits = np.iinfo(kind)
    if numbers and not limits.min <= min(numbers) <= max(numbers) <= limits.max:
        raise ValueError("numbers beyond their type")
    return np.array(numbers, kind).reshape(shape)
