"""DeepLabv3, LR-ASPP and R-ASPP: published costs, structure, sizes that a stride allows."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import keras
import numpy as np
import pytest

from calibration_data.preprocessing import Crop, Preprocessing
from calibration_data.task import Task
from foundation.errors import InvalidInputError
from models.blocks import Activation
from models.cost.counting import Cost, cost_of
from models.cost.table import listed_costs
from models.deeplab_v3 import DeepLab
from models.lraspp import LrAspp
from models.mobilenet_v2 import STAGES
from models.mobilenet_v2 import backbone as mobilenet_v2_backbone
from models.spec import ModelSpec, model_spec, specs_of
from tests.models.networks import randomize, single

SEGMENTERS = specs_of(Task.SEGMENTATION)
WITHIN = 0.02
QUICK = ("lraspp_fashion",)
CITY = Preprocessing(size=(1025, 2049), crop=Crop.STRETCH)
"""A row and a column more than Cityscapes' images, as the authors evaluate."""


def _variant(
    name: str, classes: int = 3, alpha: float = 0.35, size: tuple[int, int] = (64, 96)
) -> ModelSpec:
    spec = model_spec(name).resized(size)
    contract = spec.preprocessing.with_labels(())
    return replace(spec, classes=classes, alpha=alpha, preprocessing=contract)


# Costs. Parameters are those of the exported file, which has one offset per batch norm channel.


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        # Sandler et al. 2018, table 7, at 513 pixels and for VOC's 21 classes.
        ("deeplab_v3_mobilenet_v2", 2.11e6, 2.75e9),
        ("deeplab_v3_mobilenet_v2_aspp", 4.52e6, 5.8e9),
        ("deeplab_v3_mobilenet_v1_aspp", 11.15e6, 14.25e9),
    ],
)
def test_costs_of_deeplab_are_those_of_the_paper(name: str, params: float, macs: float) -> None:
    """The authors' figures count atrous convolutions as TensorFlow computes them, in blocks.

    A side of 33 cells is filled up to 36, a multiple of every rate of the pyramid.
    """
    cost = listed_costs()[name]
    assert cost.params == pytest.approx(params, rel=WITHIN)
    filled = 0
    if name.endswith("aspp"):
        channels = 1024 if "v1" in name else 320
        filled = 3 * 9 * channels * 256 * (36**2 - 33**2)
    assert cost.macs + filled == pytest.approx(macs, rel=WITHIN)


ROWS = [
    # Howard et al. 2019, table 7: spec, alpha, filters, params, macs.
    ("lraspp_mobilenet_v2", 1.0, 128, 0.98e6, 12.57e9),
    ("lraspp_mobilenet_v2", 0.5, 128, 0.28e6, 4.00e9),
    ("lraspp_mobilenet_v2", 0.35, 128, 0.16e6, 2.54e9),
    ("lraspp_mobilenet_v2", 1.0, 256, 1.02e6, 12.83e9),
    ("lraspp_mobilenet_v3_large", 1.0, 128, 1.51e6, 9.74e9),
    ("lraspp_mobilenet_v3_large", 1.0, 256, 1.63e6, 10.33e9),
    ("lraspp_mobilenet_v3_small", 1.0, 128, 0.47e6, 2.90e9),
    ("raspp_mobilenet_v2", 1.0, 256, 1.15e6, 13.68e9),
    ("raspp_mobilenet_v3_large", 1.0, 256, 1.76e6, 11.24e9),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "alpha", "filters", "params", "macs"), ROWS)
def test_costs_on_cityscapes_are_those_of_the_paper(
    name: str, alpha: float, filters: int, params: float, macs: float
) -> None:
    """The authors' figures count three operations for each h-swish, and none for other ones."""
    spec = model_spec(name)
    details = replace(spec.details, filters=filters)
    model = (changed := replace(spec, alpha=alpha, details=details, preprocessing=CITY)).build(
        changed
    )
    cost = cost_of(model)
    assert cost.folded_params == pytest.approx(params, rel=WITHIN)
    swishes = 3 * _elements_of_swish(cost) if spec.activation is Activation.HARD_SWISH else 0
    assert cost.macs + swishes == pytest.approx(macs, rel=WITHIN)


def _elements_of_swish(cost: Cost) -> int:
    """Elements that h-swish is applied to: an operator of its own, unlike ReLU."""
    swishes = [x for x in cost.layers if x.kind == "Activation" and x.name.endswith("_act")]
    assert swishes
    return sum(prod(layer.shape) for layer in swishes)


@pytest.mark.slow
def test_the_whole_last_block_costs_what_the_paper_says() -> None:
    """Howard et al. 2019, table 7, first row, and tensorflow/models' 21.27B on Cityscapes."""
    spec = model_spec("raspp_mobilenet_v2")
    details = replace(spec.details, filters=256)
    spec = replace(spec, stages=STAGES, details=details, preprocessing=CITY)
    cost = cost_of(spec.build(spec))
    assert cost.folded_params == pytest.approx(2.11e6, rel=WITHIN)
    assert cost.macs == pytest.approx(21.27e9, rel=WITHIN)


# Structure


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in SEGMENTERS]
)
@pytest.mark.parametrize("size", [(64, 96), (65, 33)])
def test_any_width_and_class_count_and_every_even_size_builds(
    name: str, size: tuple[int, int]
) -> None:
    spec = _variant(name, 2, 0.5, size)
    model = spec.build(spec)
    details = spec.details
    stride = details.low_stride if isinstance(details, LrAspp) else details.output_stride
    rows, columns = (-(-side // stride) for side in size)
    assert model.output_shape == (None, rows, columns, 2)
    assert len(model.outputs) == 1


@pytest.mark.parametrize(
    "name", ["deeplab_v3_mobilenet_v2", "lraspp_fashion", "raspp_mobilenet_v2"]
)
def test_a_size_that_the_output_stride_does_not_allow_is_refused(name: str) -> None:
    spec = _variant(name, size=(64, 100))
    rule = "at output stride 16 .* received 64x100: choose 96 or 97 instead of 100"
    with pytest.raises(InvalidInputError, match=rule):
        spec.build(spec)


def test_output_strides_that_no_head_has_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="one of 8, 16, 32; received 12"):
        DeepLab(mobilenet_v2_backbone, output_stride=12)
    with pytest.raises(InvalidInputError, match=r"is a multiple of .* received 16 and 12"):
        LrAspp(mobilenet_v2_backbone, low_stride=12)


def test_a_segmenter_of_one_class_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="at least 2 classes, the background counted"):
        _variant("lraspp_fashion", classes=1)


def test_rates_double_at_output_stride_8() -> None:
    spec = single(_variant("deeplab_v3_mobilenet_v2_aspp"))
    for stride, rates in ((16, [6, 12, 18]), (8, [12, 24, 36])):
        changed = replace(spec, details=replace(spec.details, output_stride=stride))
        model = changed.build(changed)
        found = [model.get_layer(f"aspp{i}").dilation_rate[0] for i in (1, 2, 3)]
        assert found == rates


def test_the_layers_are_those_of_googles_deeplab() -> None:
    """google-coral's deeplabv3_mnv2_pascal_quant.tflite: names and shapes behind the backbone."""
    spec = single(model_spec("deeplab_v3_mobilenet_v2").resized(33))
    model = spec.build(spec)
    kernels = {
        layer.name: tuple(layer.kernel.shape)
        for layer in model.layers
        if hasattr(layer, "kernel") and not layer.name.startswith(("block", "expanded", "Conv1"))
    }
    assert kernels == {
        "image_pooling": (1, 1, 320, 256), "aspp0": (1, 1, 320, 256),
        "concat_projection": (1, 1, 512, 256), "logits": (1, 1, 256, 21),
    }  # fmt: skip
    heads = [model.get_layer(f"{name}_relu") for name in ("aspp0", "concat_projection")]
    assert all(layer.max_value is None for layer in heads)
    assert [x._keras_history.operation.name for x in model.get_layer("concat").input] == [
        "image_pooling_up", "aspp0_relu",
    ]  # fmt: skip


def test_the_image_level_feature_is_the_mean_everywhere() -> None:
    spec = single(_variant("deeplab_v3_mobilenet_v2", size=(48, 32)))
    model = spec.build(spec)
    randomize(model)
    images = np.random.default_rng(0).normal(size=(2, 48, 32, 3)).astype(np.float32)
    part = keras.Model(
        model.input,
        [model.get_layer(n).output for n in ("image_pooling_relu", "image_pooling_up")],
    )
    cell, spread = (np.asarray(x) for x in part(images, training=False))
    assert spread.shape[1:3] == (3, 2)
    assert cell.std() > 1e-3
    np.testing.assert_allclose(spread, np.broadcast_to(cell, spread.shape), rtol=1e-6)


def test_lraspp_is_its_figure() -> None:
    """Howard et al. 2019, figure 10: gate, enlargement, and the sum of two maps of logits."""
    spec = single(_variant("lraspp_mobilenet_v2", size=(49, 32)))
    model = spec.build(spec)
    randomize(model)
    images = np.random.default_rng(1).normal(size=(2, 49, 32, 3)).astype(np.float32)
    names = ("block_6_project_BN", "aspp_relu", "block_2_depthwise_relu", "aspp_up")
    part = keras.Model(model.input, [model.get_layer(n).output for n in names])
    high, x, low, enlarged = (np.asarray(value) for value in part(images, training=False))
    assert low.shape[-1] == 6 * 8  # the channels of the expansion
    kernel = model.get_layer("aspp_attention").get_weights()[0][0, 0]
    gate = 1 / (1 + np.exp(-high.mean(axis=(1, 2)) @ kernel))
    weighted = np.asarray(
        keras.ops.image.resize(x * gate[:, None, None], low.shape[1:3], interpolation="bilinear")
    )
    np.testing.assert_allclose(enlarged, weighted, atol=1e-4)
    of_high, of_low = (model.get_layer(f"{n}_logits").get_weights() for n in ("high", "low"))
    expected = enlarged @ of_high[0][0, 0] + of_high[1] + low @ of_low[0][0, 0] + of_low[1]
    np.testing.assert_allclose(np.asarray(model(images, training=False)), expected, atol=1e-3)
