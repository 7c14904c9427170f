"""Training of detectors and segmenters on scenes: targets, losses, scores, and whole runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from calibration_data.annotations import Boxes, BoxTruth, MaskTruth
from calibration_data.datasets.base import Dataset, SplitRole, open_dataset
from calibration_data.preprocessing import Crop
from calibration_data.task import Task
from foundation.errors import InvalidInputError, UnsupportedError
from models.blocks import Stage
from models.spec import ModelSpec, model_spec
from models.training import detection, segmentation
from models.training.dense import augment_colours
from models.training.objective import objective_of
from models.training.recipe import DenseRecipe
from models.training.run import TrainingResult, train
from models.weights.named import build_with_weights
from tests.models.networks import pictures

RECIPE = DenseRecipe(epochs=2, batch_size=8, holdout=8, warmup_epochs=0.1)
STAGES = (Stage(1, 8, 1, 1), Stage(2, 8, 1, 2), Stage(2, 8, 1, 2), Stage(2, 8, 1, 2))


def _spec(name: str) -> ModelSpec:
    """A network of few blocks; its stages reach the output strides that the heads read."""
    stages = STAGES if name == "lraspp_fashion" else (*STAGES, Stage(2, 8, 1, 2))
    return replace(model_spec(name).resized(64), stages=stages)


def _scenes(count: int = 24) -> Dataset:
    """Scenes at the network's size of 64 pixels."""
    whole = open_dataset("fashion_scenes:train").subset(np.arange(count))
    boxes, masks = whole.boxes, whole.masks
    assert boxes is not None
    assert masks is not None

    def quarter(index: int) -> Boxes:
        truth = boxes.of(index)
        return replace(truth, corners=np.round(truth.corners * 0.4))

    return replace(
        whole,
        decode=lambda i: np.asarray(whole.decode(i))[1::5][:, 1::5].repeat(2, 0).repeat(2, 1),
        boxes=BoxTruth(quarter, boxes.class_names),
        masks=MaskTruth(
            lambda i: masks.of(i)[1::5, 1::5].repeat(2, 0).repeat(2, 1), masks.class_names
        ),
    )


# Augmentation


def test_colours_are_shuffled_and_brightened_and_nothing_else() -> None:
    images = np.random.default_rng(0).integers(0, 200, (30, 6, 5, 3), np.uint8)
    before = images.copy()
    shuffled = augment_colours(images, 0.0, np.random.default_rng(1))
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(np.sort(shuffled, axis=-1), np.sort(images, axis=-1))
    assert not np.array_equal(shuffled, images)
    brightened = augment_colours(images, 0.25, np.random.default_rng(1)).astype(int)
    assert np.abs(brightened - shuffled).max() > 10
    assert (np.abs(brightened - shuffled) <= 0.375 * shuffled + 1).all()


def test_a_mirrored_batch_mirrors_masks_and_boxes_too() -> None:
    recipe = replace(RECIPE, gain=0.0)
    spec, dataset = _spec("lraspp_fashion"), _scenes(16)
    batches = segmentation.OBJECTIVE.batches(spec, dataset, recipe)
    masks = segmentation.masks_of(spec, dataset)
    images, truths = batches[0]
    mirrored = 0
    for image, truth, index in zip(images, truths, batches.order, strict=False):
        grey = np.sort(np.asarray(dataset.decode(int(index))), axis=-1)
        is_mirrored = np.array_equal(truth, masks[index, :, ::-1])
        assert is_mirrored or np.array_equal(truth, masks[index])
        shown = np.sort(np.rint(image * 127.5 + 127.5), axis=-1)
        np.testing.assert_array_equal(shown, grey[:, ::-1] if is_mirrored else grey)
        mirrored += is_mirrored
    assert 0 < mirrored < len(images)


# Targets


def test_targets_of_a_detector_decode_to_the_true_boxes() -> None:
    spec, dataset = _spec("ssdlite_fashion"), _scenes(16)
    batches = detection.OBJECTIVE.batches(spec, dataset, RECIPE)
    levels = detection.levels_of(spec, spec.build(spec))
    anchors = np.concatenate([level.boxes() for level in levels])
    _, wanted = batches[0]
    assert wanted.shape == (RECIPE.batch_size, len(anchors), 5)
    assert dataset.boxes is not None
    for target, index in zip(wanted, batches.order, strict=False):
        truth = dataset.boxes.of(int(index))
        there = target[:, 0] > 0
        decoded = spec.details.coding.decode(target[there, 1:], anchors[there]) * 64
        mirrored = truth.corners[:, [0, 3, 2, 1]] * [1, -1, 1, -1] + [0, 64, 0, 64]
        for box, label in zip(decoded, target[there, 0] - 1, strict=True):
            either = np.minimum(
                np.abs(box - truth.corners).max(axis=1), np.abs(box - mirrored).max(axis=1)
            )
            assert either[truth.labels == label].min() < 0.01
        # Two boxes can share their best anchor; every other one has an anchor of its own.
        assert there.sum() >= 1


def test_masks_follow_the_crop_of_the_contract() -> None:
    mask = np.array([[1, 2], [3, 255]], np.uint8)
    dataset = Dataset(
        "masks:train", SplitRole.TRAIN, None, (), lambda _: np.zeros((2, 2, 3), np.uint8),
        count=1, masks=MaskTruth(lambda _: mask, ignored=3),
    )  # fmt: skip
    spec = _spec("lraspp_fashion")
    padded = segmentation.masks_of(spec, dataset)[0]
    np.testing.assert_array_equal(padded[31:33, 31:33], [[1, 2], [255, 255]])
    assert (padded == 255).sum() == 64 * 64 - 2
    stretched = replace(spec, preprocessing=replace(spec.preprocessing, crop=Crop.STRETCH))
    large = segmentation.masks_of(stretched, dataset)[0]
    np.testing.assert_array_equal(large, np.kron([[1, 2], [255, 255]], np.ones((32, 32))))


def test_a_class_that_the_network_does_not_have_is_refused() -> None:
    dataset = _scenes(2)
    spec = replace(
        _spec("lraspp_fashion"), classes=3,
        preprocessing=replace(_spec("lraspp_fashion").preprocessing, labels=()),
    )  # fmt: skip
    with pytest.raises(InvalidInputError, match="a mask has classes from 0 to 2"):
        segmentation.masks_of(spec, dataset)
    with pytest.raises(InvalidInputError, match=r"received 11 classes .*: give --classes 11"):
        segmentation.OBJECTIVE.prepared(spec, dataset)


# Losses


def test_the_loss_of_a_detector_is_least_for_the_truth() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros((2, 6, 5), np.float32)
    truth[0, 2, 0], truth[1, 4, 0] = 3, 1
    truth[..., 1:] = rng.normal(size=(2, 6, 4))
    right = np.concatenate([truth[..., 1:], 16 * np.eye(5)[truth[..., 0].astype(int)] - 8], -1)

    def loss(predicted: np.ndarray) -> float:
        return float(np.mean(detection._loss(truth, predicted.astype(np.float32))))

    assert loss(right) < 1e-4
    ground = right.copy()
    ground[0, 0, :4] += 3  # boxes of the ground do not matter
    assert loss(ground) == pytest.approx(loss(right))
    for change in ((0, 2, 0), (0, 2, 4 + 3), (1, 5, 4 + 2)):
        wrong = right.copy()
        wrong[change] += 3 if change[2] < 4 else -16 if change[2] == 7 else 16
        assert loss(wrong) > loss(right) + 0.1


def test_the_focal_loss_is_the_papers() -> None:
    """``-alpha (1 - p)^gamma log p``, equation 5, of one anchor without boxes."""
    logits = np.array([0.3, -1.2, 0.7], np.float32)
    truth = np.zeros((1, 1, 5), np.float32)
    truth[0, 0, 0] = 1
    probabilities = 1 / (1 + np.exp(-logits))
    expected = sum(
        -0.25 * (1 - p) ** 2 * np.log(p) if label == 1 else -0.75 * p**2 * np.log(1 - p)
        for label, p in enumerate(probabilities)
    )
    predicted = np.concatenate([np.zeros(4, np.float32), logits])[None, None]
    assert float(detection._loss(truth, predicted)[0]) == pytest.approx(2 * expected, rel=1e-5)


def test_pixels_that_are_not_measured_have_no_loss() -> None:
    truth = np.zeros((1, 8, 8), np.float32)
    truth[0, :, 4:] = 255
    logits = np.zeros((1, 8, 8, 3), np.float32)
    logits[..., 0] = 9
    before = float(np.mean(segmentation._loss(truth, logits)))
    logits[:, :, 5:, 1] = 50
    assert float(np.mean(segmentation._loss(truth, logits))) == pytest.approx(before)
    logits[:, :, :2, 1] = 50
    assert float(np.mean(segmentation._loss(truth, logits))) > 1


# Scores


def test_mean_iou_is_over_the_classes_that_occur() -> None:
    confusion = np.array([[8, 2, 0], [1, 4, 0], [0, 0, 0]])
    assert segmentation.mean_iou(confusion) == pytest.approx(100 * (8 / 11 + 4 / 7) / 2)


# Tasks


def test_a_task_without_training_is_refused() -> None:
    spec = replace(_spec("lraspp_fashion"), task=Task.EMBEDDING)
    with pytest.raises(UnsupportedError, match="a network for embedding"):
        objective_of(spec)


@pytest.mark.parametrize(
    ("name", "what"), [("ssdlite_fashion", "boxes"), ("lraspp_fashion", "masks")]
)
def test_data_without_truths_is_refused(name: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=f"needs photos with {what}; received random:train"):
        train(_spec(name), pictures(), RECIPE, tmp_path, verbose=0)


@pytest.mark.parametrize("changes", [{"gain": 1.0}, {"gain": -0.1}, {"clip_norm": 0.0}])
def test_a_recipe_that_cannot_train_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="received"):
        replace(RECIPE, **changes)


# Weights to begin with


@pytest.mark.parametrize(
    "name", [pytest.param("ssdlite_fashion", marks=pytest.mark.slow), "lraspp_fashion"]
)
def test_a_network_of_scenes_begins_with_the_classifiers_backbone(name: str) -> None:
    classifier = build_with_weights(model_spec("mobilenet_v2_small"), "fashion_mnist")
    spec = model_spec(name)
    objective = objective_of(spec)
    model = objective.trained(spec)
    objective.initial(spec, objective.recipe, model)
    taken = [layer for layer in model.layers if layer.name.startswith(("block_", "Conv1"))]
    weighted = [layer for layer in taken if layer.weights]
    assert len(weighted) > 60
    for layer in weighted:
        for one, two in zip(
            layer.get_weights(), classifier.get_layer(layer.name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(one, two)


def test_a_network_of_another_width_begins_at_random() -> None:
    spec = replace(_spec("lraspp_fashion"), alpha=1.0)
    objective = objective_of(spec)
    keras.utils.set_random_seed(1)
    model = objective.trained(spec)
    before = model.get_weights()
    objective.initial(spec, objective.recipe, model)
    for one, two in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


# Whole runs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("ssdlite_fashion", "development_ap50_percent"),
        ("lraspp_fashion", "development_miou_percent"),
    ],
)
def test_a_run_that_is_killed_and_goes_on_ends_as_if_nothing_had_been(
    name: str, key: str, tmp_path: Path
) -> None:
    whole = train(_spec(name), _scenes(), RECIPE, tmp_path / "whole", verbose=0)
    epochs: list[int] = []

    def stop(epoch: int, figures: dict[str, float]) -> None:
        epochs.append(epoch)
        assert set(figures) == {"loss", whole.score}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(_spec(name), _scenes(), RECIPE, tmp_path / "on", verbose=0, on_epoch=stop)
    keras.utils.set_random_seed(99)
    on = train(
        _spec(name), _scenes(), RECIPE, tmp_path / "on", verbose=0,
        on_epoch=lambda epoch, _: epochs.append(epoch),
    )  # fmt: skip
    assert epochs == [1, 2]
    _same(name, whole, on)
    card = json.loads(on.card.read_text(encoding="utf-8"))
    assert DenseRecipe(**card["recipe"]) == RECIPE
    assert card[key] == pytest.approx(on.development_accuracy, abs=0.01)
    assert card["command"].startswith(f"edgequant train --model {name} --data fashion_scenes:train")


def _same(name: str, one: TrainingResult, two: TrainingResult) -> None:
    weights = [build_with_weights(_spec(name), str(x.weights)).get_weights() for x in (one, two)]
    for first, second in zip(*weights, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)
    start = build_with_weights(_spec(name), "random:1").get_weights()
    assert max(np.abs(a - b).max() for a, b in zip(start, weights[0], strict=True)) > 1e-3
