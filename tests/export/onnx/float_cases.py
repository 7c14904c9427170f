"""Networks in single and in double precision, and the largest difference that rounding allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

UNIT = 2.0**-24
"""Largest relative error of one rounding to float32."""

Build = Callable[[], keras.Model]


@contextmanager
def double_precision() -> Iterator[None]:
    """Build layers that compute in float64."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def exact_twin(build: Build, model: keras.Model) -> keras.Model:
    """The same network in double precision, with the same float32 numbers as weights."""
    with double_precision():
        twin = build()
    twin.set_weights(model.get_weights())
    return twin


def answers(model: keras.Model, images: np.ndarray) -> np.ndarray:
    return np.asarray(model(images.astype(model.compute_dtype), training=False))


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))


def magnitudes(linear: keras.Model) -> keras.Model:
    """Make a network without activations compute sums of ``|w| |x|``.

    A batch norm's offset is the difference of two terms, which become a sum.
    """
    for layer in linear.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            signs: tuple[Callable[[Any], Any], ...] = (np.abs, np.abs, lambda x: -np.abs(x), np.abs)
            layer.set_weights(
                [sign(value) for sign, value in zip(signs, layer.get_weights(), strict=True)]
            )
        else:
            layer.set_weights([np.abs(value) for value in layer.get_weights()])
    return linear


def rounding_bound(sizes: np.ndarray, roundings: int) -> np.ndarray:
    """Largest error of float32 arithmetic, element by element.

    Every term of a result carries at most as many factors ``1 + d``, ``|d| <= UNIT``, as there are
    roundings on its way, and activations let no difference grow: the error is at most ``gamma_k``
    times the sum of the terms' sizes (Higham 2002, Accuracy and Stability, lemma 3.1).

    Args:
        sizes: sums of the sizes of the terms.
        roundings: the most on the way of one term.
    """
    return np.asarray(roundings * UNIT / (1 - roundings * UNIT) * sizes)
