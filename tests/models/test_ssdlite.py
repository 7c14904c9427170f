"""SSDLite and SSD: published costs, levels, the layers of ssdlite_mobilenet_v2_coco."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import keras
import numpy as np
import pytest

from calibration_data.task import Task
from foundation.errors import InvalidInputError
from models.blocks import Activation
from models.cost.counting import spec_cost
from models.cost.table import listed_costs
from models.spec import ModelSpec, model_spec, specs_of
from models.ssdlite import levels
from tests.models.networks import single

DETECTORS = specs_of(Task.DETECTION)
WITHIN = 0.02
QUICK = ("ssdlite_fashion",)


def _variant(name: str, classes: int, alpha: float, size: tuple[int, int]) -> ModelSpec:
    spec = model_spec(name).resized(size)
    contract = spec.preprocessing.with_labels(())
    return replace(spec, classes=classes, alpha=alpha, preprocessing=contract)


# Costs. Parameters are those of the exported file, which has one offset per batch norm channel.


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        # Howard et al. 2019, table 6, at 320 pixels and for COCO's 90 ids.
        ("ssdlite_mobilenet_v3_large", 4.97e6, 0.62e9),
        ("ssdlite_mobilenet_v3_large_halved", 3.22e6, 0.51e9),
        ("ssdlite_mobilenet_v3_small", 2.49e6, 0.21e9),
        ("ssdlite_mobilenet_v3_small_halved", 1.77e6, 0.16e9),
    ],
)
def test_registered_costs_are_those_of_the_paper(name: str, params: float, macs: float) -> None:
    cost = listed_costs()[name]
    assert cost.params == pytest.approx(params, rel=WITHIN)
    assert cost.macs == pytest.approx(macs, rel=WITHIN)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        # Sandler et al. 2018, table 6, at 320 pixels and for 80 classes.
        ("ssdlite_mobilenet_v1", 5.1e6, 1.3e9),
        ("ssdlite_mobilenet_v2", 4.3e6, 0.8e9),
    ],
)
def test_costs_for_80_classes_are_those_of_the_paper(name: str, params: float, macs: float) -> None:
    cost = spec_cost(_variant(name, 80, 1.0, (320, 320)))
    assert cost.folded_params == pytest.approx(params, rel=WITHIN)
    assert cost.macs == pytest.approx(macs, rel=WITHIN)


def _head_cost(name: str) -> tuple[int, int]:
    """Parameters and multiply-adds behind the backbone, for 80 classes."""
    layers = spec_cost(_variant(name, 80, 1.0, (320, 320))).layers
    head = [x for x in layers if x.name.startswith(("boxes", "scores", "extra"))]
    return sum(x.params for x in head), sum(x.macs for x in head)


@pytest.mark.slow
def test_costs_of_both_heads_are_those_of_the_paper() -> None:
    """Sandler et al. 2018, table 5: 14.8M and 1.25B of SSD, 2.1M and 0.35B of SSDLite.

    The last figure is twice what the layers cost: with it the whole detector would cost 0.96B, and
    the paper's table 6 has 0.8B.
    """
    params, macs = _head_cost("ssd_mobilenet_v2")
    assert params == pytest.approx(14.8e6, rel=WITHIN)
    assert macs == pytest.approx(1.25e9, rel=WITHIN)
    params, macs = _head_cost("ssdlite_mobilenet_v2")
    assert params == pytest.approx(2.1e6, rel=WITHIN)
    assert 2 * macs == pytest.approx(0.35e9, rel=WITHIN)


# Structure


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in DETECTORS]
)
def test_any_size_width_and_class_count_builds(name: str) -> None:
    spec = _variant(name, 1, 0.5, (75, 130))
    model = spec.build(spec)
    expected = levels(spec)
    boxes, scores = model.outputs[: len(expected)], model.outputs[len(expected) :]
    assert model.output_names == [
        f"{kind}_{number}" for kind in ("boxes", "scores") for number in range(len(expected))
    ]
    for level, of_boxes, of_scores in zip(expected, boxes, scores, strict=True):
        k = len(level.shapes)
        assert tuple(of_boxes.shape) == (None, level.rows, level.columns, 4 * k)
        assert tuple(of_scores.shape) == (None, level.rows, level.columns, 2 * k)


def test_levels_of_the_published_detector() -> None:
    found = levels(model_spec("ssdlite_mobilenet_v2"))
    assert [(level.rows, level.columns, len(level.shapes)) for level in found] == [
        (19, 19, 3), (10, 10, 6), (5, 5, 6), (3, 3, 6), (2, 2, 6), (1, 1, 6),
    ]  # fmt: skip
    assert sum(level.count for level in found) == 1917


def test_anchors_keep_their_shape_in_a_rectangle() -> None:
    fine = levels(model_spec("ssdlite_mobilenet_v2").resized((160, 320)))[0]
    assert (fine.rows, fine.columns) == (10, 20)
    assert fine.shapes[0] == (0.1, 0.05)


@pytest.fixture(scope="module")
def published() -> keras.Model:
    """ssdlite_mobilenet_v2_coco at a small size; its weights do not depend on the size."""
    spec = model_spec("ssdlite_mobilenet_v2").resized(32)
    return spec.build(spec)


def test_the_layers_are_those_of_ssdlite_mobilenet_v2_coco(published: keras.Model) -> None:
    """tensorflow/models, object_detection: 262 tensors, without moments 53 + 17 more norms."""
    kernels = {
        layer.name: tuple(layer.kernel.shape)
        for layer in published.layers
        if hasattr(layer, "kernel") and not layer.name.startswith(("block", "expanded", "Conv1"))
    }
    channels, anchors = (576, 1280, 512, 256, 256, 128), (3, 6, 6, 6, 6, 6)
    expected: dict[str, tuple[int, ...]] = {"Conv_1": (1, 1, 320, 1280)}
    for number, (before, after) in enumerate(pairwise(channels[1:])):
        expected[f"extra_{number}_1x1"] = (1, 1, before, after // 2)
        expected[f"extra_{number}_dw"] = (3, 3, after // 2, 1)
        expected[f"extra_{number}_pw"] = (1, 1, after // 2, after)
    for number, (of_map, k) in enumerate(zip(channels, anchors, strict=True)):
        for kind, size in (("boxes", 4), ("scores", 91)):
            expected[f"{kind}_{number}_dw"] = (3, 3, of_map, 1)
            expected[f"{kind}_{number}"] = (1, 1, of_map, k * size)
    assert kernels == expected
    assert (
        published.get_layer("boxes_0_dw").input
        is published.get_layer("block_13_expand_relu").output
    )
    assert published.get_layer("scores_1_dw").input is published.get_layer("out_relu").output


def test_batch_norms_are_those_of_the_published_detector(published: keras.Model) -> None:
    norm = published.get_layer("scores_2_dw_bn")
    assert (norm.epsilon, norm.momentum) == (1e-3, 0.9997)


def test_the_head_of_mobilenet_v3_is_that_of_its_published_detector() -> None:
    """ssdlite_mobilenet_v3_small_320x320_coco.config: RELU_6 and a decay of 0.97."""
    spec = model_spec("ssdlite_mobilenet_v3_small").resized(32)
    assert spec.activation is Activation.HARD_SWISH
    spec = replace(spec, stages=tuple(row for row in spec.stages if row.stride == 2))
    model = spec.build(spec)
    assert model.get_layer("extra_0_1x1_relu").max_value == 6
    norm = model.get_layer("scores_2_dw_bn")
    assert (norm.epsilon, norm.momentum) == (1e-3, 0.97)


def test_a_width_narrows_the_last_convolution_and_the_extra_maps() -> None:
    spec = single(replace(model_spec("ssdlite_mobilenet_v2").resized(32), alpha=0.5))
    model = spec.build(spec)
    assert model.get_layer("Conv_1").filters == 640
    assert model.get_layer("extra_0_pw").filters == 256


def test_outputs_are_logits_without_an_activation(published: keras.Model) -> None:
    images = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype(np.float32)
    assert all(published.get_layer(n).activation is keras.activations.linear
               for n in published.output_names)  # fmt: skip
    assert len(published(images, training=False)) == 12


def test_a_detector_without_a_class_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="at least 1 class, the ground not counted"):
        _variant("ssdlite_mobilenet_v2", 0, 1.0, (64, 64))
