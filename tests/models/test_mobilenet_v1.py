"""MobileNetV1 against keras.applications."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest

from foundation.errors import InvalidInputError
from models.loading.request import ModelRequest
from models.mobilenet_v1 import Separable
from tests.models.same_network import assert_same_network

# A size that is divisible by 32 and one that is not; the slow tests have the others.
FAST = [(0.5, 97), (1.0, 128)]
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
