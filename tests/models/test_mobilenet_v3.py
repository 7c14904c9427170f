"""The four forms of MobileNetV3 compared with keras.applications."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from foundation.errors import InvalidInputError
from models.blocks import Activation
from models.loading.request import ModelRequest
from models.mobilenet_v3 import LARGE, SMALL, Bneck, NonLinearity
from models.spec import model_spec
from tests.models.same_network import assert_same_network

LARGE_NAME, SMALL_NAME = "mobilenet_v3_large", "mobilenet_v3_small"
MINIMALISTIC = "_minimalistic"
FAST = [(SMALL_NAME, 1.0, 97), (LARGE_NAME + MINIMALISTIC, 0.35, 63)]
NAMES = (LARGE_NAME, SMALL_NAME, LARGE_NAME + MINIMALISTIC, SMALL_NAME + MINIMALISTIC)
OTHERS = [
    pytest.param(name, alpha, size, marks=pytest.mark.slow)
    for name in NAMES
    for alpha in (0.35, 0.5, 0.75, 1.0, 1.25)
    for size in (33, 50, 127, 224)
] + [
    pytest.param(name, alpha, size, marks=pytest.mark.slow)
    for name, alpha, size in ((LARGE_NAME, 0.75, 96), (SMALL_NAME + MINIMALISTIC, 1.25, 64))
]


def _theirs(name: str, alpha: float, size: int, *, scaled_inside: bool = False) -> keras.Model:
    network = (
        keras.applications.MobileNetV3Large
        if name.startswith(LARGE_NAME)
        else keras.applications.MobileNetV3Small
    )
    return network(
        (size, size, 3),
        alpha,
        minimalistic=name.endswith(MINIMALISTIC),
        weights=None,
        classes=20,
        include_preprocessing=scaled_inside,
    )


@pytest.mark.parametrize(("name", "alpha", "size"), [*FAST, *OTHERS])
def test_it_is_the_network_of_keras_applications(
    name: str, alpha: float, size: int, tmp_path: Path
) -> None:
    request = ModelRequest(name, alpha=alpha, size=size, classes=20)
    assert_same_network(_theirs(name, alpha, size), request, tmp_path)


@pytest.mark.parametrize("name", [SMALL_NAME])
def test_weights_of_a_network_that_scales_its_pixels_itself_load(name: str, tmp_path: Path) -> None:
    theirs = _theirs(name, 0.35, 48, scaled_inside=True)
    request = ModelRequest(name, alpha=0.35, size=48, classes=20)
    assert_same_network(theirs, request, tmp_path, scaled_inside=True)


@pytest.mark.parametrize("name", NAMES)
def test_the_contract_is_the_scaling_that_keras_puts_into_the_network(name: str) -> None:
    contract = model_spec(name).preprocessing
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    inside = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(pixels.astype(np.float32))
    np.testing.assert_allclose(contract.normalize(pixels), np.asarray(inside), atol=1e-6)


def test_the_tables_are_the_papers() -> None:
    """Howard et al. 2019, tables 1 and 2: expanded channels at width 1.0."""
    for stages, channels, expected in (
        (LARGE, 16, [16, 64, 72, 72, 120, 120, 240, 200, 184, 184, 480, 672, 672, 960, 960]),
        (SMALL, 16, [16, 72, 88, 96, 240, 240, 120, 144, 288, 576, 576]),
    ):
        found = []
        for row in stages:
            found.append(round(channels * row.expansion))
            channels = row.channels
        assert found == expected


def test_another_activation_takes_the_place_of_h_swish_alone() -> None:
    spec = ModelRequest(SMALL_NAME, size=32, activation=Activation.SWISH).spec()
    model = spec.build(spec)
    first, last = model.get_layer("expanded_conv_1_expand_act"), model.get_layer("conv_2_act")
    assert isinstance(first, keras.layers.ReLU)
    assert keras.activations.serialize(last.activation) in ("silu", "swish")


@pytest.mark.parametrize("change", [{"kernel": 4}, {"expansion": 0.5}, {"stride": 3}])
def test_rows_that_no_network_can_have_are_refused(change: dict[str, int]) -> None:
    row = {"kernel": 3, "expansion": 1, "channels": 8, "squeeze": False, "stride": 1, **change}
    with pytest.raises(InvalidInputError, match="odd kernel"):
        Bneck(**row, nl=NonLinearity.RE)
