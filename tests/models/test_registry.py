"""Every registered network builds as its spec says; specs refuse impossible values."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from calibration_data.preprocessing import Crop, Preprocessing
from calibration_data.task import Task
from foundation.errors import InvalidInputError
from models.blocks import Activation
from models.spec import Knob, ModelSpec, model_families, model_spec, model_specs
from models.weights.named import (
    build_with_weights,
    checkpoint_folder,
    checkpoint_path,
    shipped_weights,
)
from tests.models.networks import randomize, scores, tiny_spec

SPECS = list(model_specs().values())
NAMED = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
FIRST = {family[0].name for family in model_families().values()} | {"mobilenet_v2_small"}
QUICK = ("mobilenet_v1", "mobilenet_v2_small", "shufflenet_v2")
"""Networks that the fast tests build with another activation."""
BUILT = pytest.mark.parametrize(
    "spec",
    [
        pytest.param(spec, id=name, marks=() if name in FIRST else pytest.mark.slow)
        for name, spec in model_specs().items()
    ],
)
"""Every network; the fast tests build the first of each family."""
CHECKPOINTS = [(spec, weights) for spec in SPECS for weights in shipped_weights(spec)]


@BUILT
def test_a_registered_network_builds_as_its_spec_says(spec: ModelSpec) -> None:
    model = build_with_weights(spec, "random")
    assert model.name == spec.name
    assert model.input_shape == (None, *spec.input_shape)
    _assert_outputs(model, spec)
    assert len(spec.preprocessing.labels) in (0, spec.classes)
    assert model_spec(spec.name) == spec
    assert spec.source
    assert "\n" not in spec.summary


def _assert_outputs(model: keras.Model, spec: ModelSpec) -> None:
    """The outputs are those of the task."""
    shapes = [tuple(output.shape) for output in model.outputs]
    if spec.task is Task.CLASSIFICATION:
        assert shapes == [(None, spec.classes)]
        ends = keras.activations.serialize(model.layers[-1].activation)
        assert ends == spec.classifier_activation
    elif spec.task is Task.SEGMENTATION:
        assert [(len(shape), shape[-1]) for shape in shapes] == [(4, spec.classes)]
    else:
        boxes, classes = shapes[: len(shapes) // 2], shapes[len(shapes) // 2 :]
        for of_boxes, of_classes in zip(boxes, classes, strict=True):
            assert of_boxes[:3] == of_classes[:3]
            assert of_boxes[3] % 4 == 0
            assert of_classes[3] == of_boxes[3] // 4 * (1 + spec.classes)


@pytest.mark.parametrize(
    ("spec", "activation"),
    [
        pytest.param(spec, activation, marks=() if quick else pytest.mark.slow)
        for spec in SPECS
        if Knob.ACTIVATION in spec.knobs
        for activation in Activation
        for quick in [spec.name in QUICK and activation is Activation.HARD_SWISH]
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_every_activation_builds(spec: ModelSpec, activation: Activation) -> None:
    changed = replace(spec.resized(32), activation=activation, alpha=0.35)
    model = changed.build(changed)
    randomize(model)
    images = np.random.default_rng(0).uniform(-1, 1, (2, *changed.input_shape))
    found = model(images.astype(np.float32), training=False)
    assert all(np.isfinite(output).all() for output in keras.tree.flatten(found))


def test_activations_differ_in_what_they_answer() -> None:
    answers = []
    for activation in Activation:
        spec = tiny_spec(activation=activation)
        model = spec.build(spec)
        randomize(model)
        answers.append(scores(model, 16, scale=10))  # beyond 6, the limit of relu6
    for first in range(len(answers)):
        for second in range(first):
            assert np.abs(answers[first] - answers[second]).max() > 1e-6


@NAMED
def test_resizing_keeps_the_contract_in_proportion(spec: ModelSpec) -> None:
    side, short = min(spec.preprocessing.size), spec.preprocessing.resize_short_side
    for size in (side // 2, side, side + 1):
        contract = spec.resized(size).preprocessing
        assert contract.size == (size, size)
        assert contract.labels == spec.preprocessing.labels
        if short is None:
            assert contract.resize_short_side is None
        else:
            assert contract.resize_short_side == pytest.approx(short * size / side, abs=0.5)
    assert spec.resized(spec.preprocessing.size) == spec


def test_an_input_may_be_a_rectangle() -> None:
    spec = model_spec("mobilenet_v2").resized((128, 96))
    assert spec.input_shape == (128, 96, 3)
    assert spec.preprocessing.resize_short_side == 128  # the longer side must fit in
    small = tiny_spec().resized((16, 8))
    assert small.build(small).input_shape == (None, 16, 8, 3)
    with pytest.raises(InvalidInputError, match="at most 4,096; received size 5000"):
        tiny_spec().resized((8, 5000))


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"alpha": 0.0}, "above 0 and at most 8"),
        ({"alpha": -1.0}, "above 0 and at most 8"),
        ({"alpha": float("nan")}, "above 0 and at most 8"),
        ({"alpha": 9.0}, "above 0 and at most 8"),
        ({"classes": 1}, "at least 2 classes"),
        ({"classes": 11}, "11 classes need as many labels; received 10"),
        ({"stem_stride": 4}, "stem is 1 or 2"),
        ({"classifier_activation": "sigmoid"}, "linear or softmax"),
        ({"task": Task.SEGMENTATION, "classifier_activation": "softmax"}, "gives logits"),
        ({"task": Task.SEGMENTATION, "classes": 1}, "a segmenter has at least 2 classes"),
        ({"task": Task.DETECTION, "classes": 0}, "a detector has at least 1 class, the ground"),
    ],
)
def test_a_spec_that_no_network_can_have_is_refused(changes: dict[str, Any], rule: str) -> None:
    with pytest.raises(InvalidInputError, match=rule):
        tiny_spec(**changes)


@pytest.mark.parametrize("size", [0, -32])
def test_a_size_that_no_image_has_is_refused(size: int) -> None:
    with pytest.raises(InvalidInputError, match="positive whole numbers"):
        tiny_spec().resized(size)


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InvalidInputError, match=r"mobilenet_v2.*received resnet_50"):
        model_spec("resnet_50")


def test_a_spec_without_labels_may_have_any_number_of_classes() -> None:
    contract = Preprocessing(size=(16, 16), crop=Crop.PAD)
    spec = tiny_spec(classes=3, preprocessing=contract)
    assert spec.build(spec).output_shape == (None, 3)


# Shipped checkpoints


@NAMED
def test_weights_that_a_spec_names_are_shipped(spec: ModelSpec) -> None:
    if spec.weights not in ("random", "imagenet", *(w.name for w in spec.published)):
        assert spec.weights in shipped_weights(spec)


@pytest.mark.parametrize(("spec", "weights"), CHECKPOINTS, ids=str)
def test_a_checkpoint_is_small_finite_and_loads(spec: ModelSpec, weights: str) -> None:
    assert checkpoint_path(spec, weights).stat().st_size < 6_000_000
    model = build_with_weights(spec, weights)
    assert all(np.isfinite(values).all() for values in model.get_weights())
    fresh = build_with_weights(spec, "random")
    assert any(
        not np.array_equal(one, two)
        for one, two in zip(model.get_weights(), fresh.get_weights(), strict=True)
    )


@pytest.mark.parametrize(("spec", "weights"), CHECKPOINTS, ids=str)
def test_a_checkpoint_has_a_card(spec: ModelSpec, weights: str) -> None:
    path = checkpoint_folder() / f"{spec.name}.{weights}.card.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    assert card["model"] == spec.name
    assert card["data"]["name"]
    assert card["data"]["training_images"] > 0
    assert card["recipe"]["epochs"] > 0
    assert "seed" in card["recipe"]
    assert card["versions"]["keras"]
    assert card["versions"]["tensorflow"]
    assert spec.name in card["command"]
    ends = ("_top1_percent", "_ap50_percent", "_miou_percent")
    accuracies = [value for key, value in card.items() if key.endswith(ends)]
    assert accuracies
    assert all(100 / spec.classes < value <= 100 for value in accuracies)
