"""Comparison of a network of ours with the same network of keras.applications."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from models.loading.request import ModelRequest
from models.weights.named import build_with_weights
from tests.models.networks import randomize, settle

TOLERANCE = 2e-5
"""Of softmax scores: the same sums, but padding by another kernel."""


def weight_shapes(model: keras.Model) -> dict[str, list[tuple[int, ...]]]:
    """Shapes of the weights of each layer with weights, by name and in order."""
    return {
        layer.name: [tuple(weight.shape) for weight in layer.weights]
        for layer in model.layers
        if layer.weights
    }


def assert_same_network(
    theirs: keras.Model, request: ModelRequest, folder: Path, *, scaled_inside: bool = False
) -> keras.Model:
    """Set random weights and plausible statistics in theirs, load them into ours, compare scores.

    Args:
        theirs: network of keras.applications, of about 20 classes.
        request: request for our network.
        folder: folder for the file of weights.
        scaled_inside: whether theirs takes pixels 0..255 and scales them to -1..1 itself.
    """
    size = theirs.input_shape[1]
    values = np.random.default_rng(size).uniform(-1, 1, (4, size, size, 3)).astype(np.float32)
    images = (values + 1) * 127.5 if scaled_inside else values
    randomize(theirs, seed=len(theirs.layers))
    settle(theirs, images)
    theirs.save_weights(folder / "theirs.weights.h5")
    ours = build_with_weights(request.spec(), str(folder / "theirs.weights.h5"))
    assert weight_shapes(ours) == weight_shapes(theirs)
    assert list(weight_shapes(ours)) == list(weight_shapes(theirs))
    expected = np.asarray(theirs(images, training=False))
    found = np.asarray(ours(values, training=False))
    assert np.ptp(expected, axis=0).max() > 1e-2  # equal scores would prove nothing
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)
    return ours
