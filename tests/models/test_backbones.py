"""Feature maps for detectors and segmenters: output strides, dilation, halved tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest

from foundation.errors import InvalidInputError
from models import efficientnet_lite, mobilenet_v1, mobilenet_v2, mobilenet_v3
from models.backbones import Backbone, Strides, halved, require_aligned
from models.spec import ModelSpec, model_spec
from tests.models.networks import randomize, settle, single

BACKBONES: dict[str, Callable[..., Backbone]] = {
    "mobilenet_v1": partial(mobilenet_v1.backbone, same=True),
    "mobilenet_v2": mobilenet_v2.backbone,
    # Squeeze and excitation averages all cells, of which a dilated network has more.
    "mobilenet_v3_small_minimalistic": mobilenet_v3.backbone,
    "efficientnet_lite0": efficientnet_lite.backbone,
}
QUICK = "mobilenet_v2"


def _spec(name: str, size: tuple[int, int]) -> ModelSpec:
    return replace(model_spec(name).resized(size), alpha=0.35)


def _last_map(spec: ModelSpec, name: str, stride: int) -> keras.Model:
    features = BACKBONES[name](spec, stride)
    return keras.Model(features.inputs, features.blocks[-1].narrow)


@pytest.mark.parametrize("stride", [8, pytest.param(16, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name",
    [n if n == QUICK else pytest.param(n, marks=pytest.mark.slow) for n in BACKBONES],
)
def test_a_dilated_network_computes_the_cells_of_the_undilated_one(name: str, stride: int) -> None:
    """Each second (or fourth) cell has the same value with the same weights."""
    size = (65, 97)  # one more than a multiple of 32: cells lie on pixels
    spec = _spec(name, size)
    if name == QUICK:
        spec = single(spec)
    coarse, fine = _last_map(spec, name, 32), _last_map(spec, name, stride)
    images = np.random.default_rng(0).normal(size=(4, *size, 3)).astype(np.float32)
    randomize(coarse)
    settle(coarse, images)
    fine.set_weights(coarse.get_weights())
    expected = np.asarray(coarse(images, training=False))
    found = np.asarray(fine(images, training=False))
    step = 32 // stride
    assert expected.shape[1:3] == (3, 4)
    assert found.shape[1:3] == (64 // stride + 1, 96 // stride + 1)
    assert expected.std() > 1e-2
    np.testing.assert_allclose(found[:, ::step, ::step], expected, atol=1e-4)


def test_dilations_are_those_of_the_source() -> None:
    """slim's mobilenet_base: a block that loses its stride has the rate of those before it."""
    strides = Strides(8, 4)
    steps = [strides.step(stride) for stride in (1, 2, 1, 2, 1, 2, 1)]
    assert steps == [(1, 1), (2, 1), (1, 1), (1, 1), (1, 2), (1, 2), (1, 4)]
    assert strides.current == 8


def test_an_output_stride_does_not_change_the_weights() -> None:
    spec = single(_spec(QUICK, (64, 32)))
    shapes = [
        [tuple(weight.shape) for weight in _last_map(spec, QUICK, stride).weights]
        for stride in (32, 16, 8)
    ]
    assert shapes[0] == shapes[1] == shapes[2]


def test_maps_are_found_by_their_output_stride() -> None:
    features = mobilenet_v2.backbone(single(_spec("mobilenet_v2", (64, 32))), 32)
    assert features.strides == (2, 4, 8, 16, 16, 32, 32)
    assert features.last_at(8).narrow.shape[1:3] == (8, 4)
    c4 = features.first_below(16)
    assert c4.expansion.shape[1:3] == (4, 2)
    assert c4.narrow.shape[1:3] == (2, 1)
    with pytest.raises(InvalidInputError, match="output stride 64; received strides 2, 4, 8, 16"):
        features.last_at(64)
    with pytest.raises(InvalidInputError, match="follows output stride 32; received strides up to"):
        features.first_below(32)


@pytest.mark.parametrize("divisor", [1, 8])
def test_channels_are_multiples_of_the_divisor(divisor: int) -> None:
    """Half the width of tensorflow/models' deeplab has 12 channels where slim's classifier has 16.

    The channels of 1 are those of google-coral's deeplabv3_mnv2_dm05_pascal_quant.tflite.
    """
    spec = single(replace(_spec("mobilenet_v2", (32, 32)), alpha=0.5))
    features = mobilenet_v2.backbone(spec, 16, divisor=divisor)
    channels = list(dict.fromkeys(block.narrow.shape[-1] for block in features.blocks))
    assert channels == ([8, 12, 16, 32, 48, 80, 160] if divisor == 1 else [8, 16, 32, 48, 80, 160])


@pytest.mark.parametrize(("table", "first"), [("LARGE", "LARGE_C4"), ("SMALL", "SMALL_C4")])
def test_c4_of_mobilenet_v3_is_the_row_that_leaves_stride_16(table: str, first: str) -> None:
    rows, index = getattr(mobilenet_v3, table), getattr(mobilenet_v3, first)
    assert 2 * 2 ** [row.stride for row in rows[: index + 1]].count(2) == 32
    assert rows[index].stride == 2
    assert all(row.stride == 1 for row in rows[index + 1 :])
    changed = halved(rows, index)
    assert changed[:index] == rows[:index]
    assert [row.channels for row in changed[index:]] == [row.channels // 2 for row in rows[index:]]
    assert [row.expansion for row in changed] == [row.expansion for row in rows]


@pytest.mark.parametrize("size", [(512, 1024), (513, 513), (16, 16), (17, 33), (48, 65)])
def test_sides_on_which_a_stride_lies_evenly(size: tuple[int, int]) -> None:
    require_aligned(size, 16)


@pytest.mark.parametrize(
    ("size", "remedy"),
    [
        ((500, 512), "500x512: choose 496 or 497 instead of 500"),
        ((512, 15), "512x15: choose 16 or 17 instead of 15"),
        ((1, 1), "1x1: choose 16 or 17 instead of 1"),
    ],
)
def test_a_side_on_which_a_stride_does_not_lie_evenly(size: Any, remedy: str) -> None:
    rule = "at output stride 16 the sides of the input are multiples of 16, or one more; received "
    with pytest.raises(InvalidInputError, match=rule + remedy):
        require_aligned(size, 16)
