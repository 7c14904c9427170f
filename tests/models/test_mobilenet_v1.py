"""MobileNetV1 against keras.applications, and its published numbers of parameters."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from calibration_data.errors import InvalidInputError
from models.cost import spec_cost
from models.loading import ModelRequest
from models.mobilenet_v1 import Separable
from tests.models.same_network import assert_same_network

# Each published width and each published size, and sizes that halve unevenly.
FAST = [(0.25, 224), (0.5, 97), (0.75, 33), (1.0, 128)]
WIDTHS, SIZES = (0.25, 0.5, 0.75, 1.0), (33, 50, 63, 97, 127, 128, 160, 192, 224)
OTHERS = [
    pytest.param(alpha, size, marks=pytest.mark.slow)
    for alpha in WIDTHS
    for size in SIZES
    if (alpha, size) not in FAST
]


@pytest.mark.parametrize(("alpha", "size"), [*FAST, *OTHERS])
def test_it_is_the_network_of_keras_applications(alpha: float, size: int, tmp_path: Path) -> None:
    theirs = keras.applications.MobileNet((size, size, 3), alpha, weights=None, classes=20)
    request = ModelRequest("mobilenet_v1", alpha=alpha, size=size, classes=20)
    assert_same_network(theirs, request, tmp_path)


@pytest.mark.parametrize(
    ("alpha", "millions"),
    # tensorflow/models, research/slim/nets/mobilenet_v1.md. Weights that are trained, batch norms
    # included; there for 1,001 classes, one of which is the background.
    [(1.0, 4.24), (0.75, 2.59), (0.5, 1.34), (0.25, 0.47)],
)
def test_parameters_are_as_many_as_published(alpha: float, millions: float) -> None:
    spec = ModelRequest("mobilenet_v1", alpha=alpha, classes=1001).spec()
    model = spec.build(spec)
    counted = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert counted / 1e6 == pytest.approx(millions, rel=0.01, abs=0.0051)


PUBLISHED_MACS = {
    (1.0, 224): 569, (1.0, 192): 418, (1.0, 160): 291, (1.0, 128): 186,
    # The paper's table 6. The page has 317/233/162/104, 2.6 percent less at every size.
    (0.75, 224): 325,
    (0.5, 224): 150, (0.5, 192): 110, (0.5, 160): 77, (0.5, 128): 49,
    # The page has 34 at 192, where the other three sizes of its row leave room for 30 alone:
    # multiply-adds go with the square of the size.
    (0.25, 224): 41, (0.25, 192): 41 * (192 / 224) ** 2, (0.25, 160): 21, (0.25, 128): 14,
}  # fmt: skip
"""Millions, of tensorflow/models, research/slim/nets/mobilenet_v1.md, in whole numbers."""


@pytest.mark.parametrize(
    ("alpha", "size"),
    [
        pair if pair[1] == 224 else pytest.param(*pair, marks=pytest.mark.slow)
        for pair in PUBLISHED_MACS
    ],
)
def test_multiply_adds_are_as_many_as_published(alpha: float, size: int) -> None:
    cost = spec_cost(ModelRequest("mobilenet_v1", alpha=alpha, size=size).spec())
    assert cost.macs / 1e6 == pytest.approx(PUBLISHED_MACS[alpha, size], rel=0.01, abs=0.5)


def test_a_strided_block_at_an_odd_size_needs_no_padding_operator() -> None:
    spec = ModelRequest("mobilenet_v1", alpha=0.25, size=97).spec()
    model = spec.build(spec)
    assert not any(isinstance(layer, keras.layers.ZeroPadding2D) for layer in model.layers)
    assert model.get_layer("conv_dw_2").padding == "valid"
    assert model.get_layer("conv_dw_4").padding == "same"


@pytest.mark.parametrize("size", [1, 2, 3, 17])
def test_it_builds_for_the_smallest_images(size: int) -> None:
    spec = ModelRequest("mobilenet_v1", alpha=0.01, size=size).spec()
    assert spec.build(spec).output_shape == (None, 1000)


@pytest.mark.parametrize("row", [(0, 1, 1), (8, 0, 1), (8, 1, 0), (8, 1, 3)])
def test_rows_that_no_network_can_have_are_refused(row: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidInputError, match="stride 1 or 2"):
        Separable(*row)
