"""Reader of the numbers in a bundle's model_vectors.cc."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def read_vectors_source(
    text: str, pixels: tuple[int, ...], scores: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Read the two arrays of a ``model_vectors.cc``; everything else in it is ignored.

    Args:
        text: content of the file.
        pixels: shape of the pixels, ``[n, height, width, 3]``.
        scores: shape of the scores, ``[n, classes]``.

    Returns:
        uint8 pixels and int8 scores.

    Raises:
        ValueError: numbers that do not fit these shapes and types.
    """
    import numpy as np

    bodies = [part.partition("};")[0] for part in text.split("] = {")[1:]]
    if len(bodies) != 2:
        raise ValueError("no two arrays")
    arrays = []
    for body, shape, kind in zip(bodies, (pixels, scores), (np.uint8, np.int8), strict=True):
        numbers = [int(number) for number in re.findall(r"-?\b\d{1,3}\b", body)]
        limits = np.iinfo(kind)
        if numbers and not limits.min <= min(numbers) <= max(numbers) <= limits.max:
            raise ValueError("numbers beyond their type")
        arrays.append(np.array(numbers, kind).reshape(shape))
    return arrays[0], arrays[1]
