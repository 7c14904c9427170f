"""Examples that are arrays of numbers: feature vectors, series of features, spectrograms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


def plain_values(example: np.ndarray | Image.Image, shape: tuple[int, ...]) -> np.ndarray:
    """Check an example and convert it to float32.

    Args:
        example: array of numbers of this shape; a last axis of one may be missing.
        shape: shape that the contract states.

    Returns:
        float32 of this shape.

    Raises:
        InvalidInputError: an image, another shape or type, or NaN or infinity.
    """
    import numpy as np

    if not isinstance(example, np.ndarray):
        raise InvalidInputError(
            "a contract with shape = [...] takes arrays of numbers",
            received=f"an image of {example.height}x{example.width}",
            remedy="give the examples in an .npz or .npy, or state size and channels for images",
        )
    if example.dtype.kind not in "biuf":
        raise InvalidInputError(
            "an example is an array of numbers",
            received=f"values of type {example.dtype}",
            remedy="store them as float32, or as integers",
        )
    fits = example.shape == shape or (*example.shape, 1) == shape
    if not fits:
        raise InvalidInputError(
            f"an example has the shape {list(shape)}, as its contract says",
            received=f"{list(example.shape)}",
            remedy="correct shape in the contract, or the data",
        )
    with np.errstate(over="ignore"):
        values = example.reshape(shape).astype(np.float32)
    if not np.isfinite(values).all():
        raise InvalidInputError(
            "an example holds finite numbers of float32",
            received="NaN, infinity, or a number beyond 3.4e38",
            remedy="repair or remove it",
        )
    return values
