"""Every fault of ``edgequant lint``, on a model with that fault."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from calibration_data.datasets.base import open_dataset
from calibration_data.preprocessing import ChannelOrder, Crop, Preprocessing
from evaluation.lint import softmax
from evaluation.lint.check import CheckedFault, State, lint, lint_checks
from evaluation.lint.hypotheses import Predict, gather, leads
from evaluation.lint.subject import ScoreKind, Subject
from evaluation.session import runtime_for
from evaluation.sessions.keras_model import KerasSession
from export.target import target_of
from models.loading.request import ModelRequest, load
from models.spec import model_spec
from tests.evaluation.conftest import converter_noise

CONTRACT = model_spec("mobilenet_v2_small").preprocessing
RAW = replace(CONTRACT, mean=(0.0,) * 3, std=(1.0,) * 3)
IMAGES = 100
TO_SIGNED = {"scale": 1 / 127.5, "offset": -1.0}


@cache
def network() -> keras.Model:
    return load(ModelRequest("mobilenet_v2_small")).model


@cache
def photos() -> tuple[np.ndarray, np.ndarray]:
    dataset = open_dataset("fashion_mnist:test")
    pixels = np.stack([CONTRACT.pixels(dataset.decode(i)) for i in range(IMAGES)])
    labels = dataset.labels[:IMAGES].copy()
    for shared in (pixels, labels):
        shared.setflags(write=False)
    return pixels, labels


def subject(predict: Predict, contract: Preprocessing = CONTRACT, **changes) -> Subject:
    pixels, labels = photos()
    evidence = gather(predict, pixels, labels, contract)
    made = Subject(Path("m.keras"), (None, 32, 32, 3), None, contract, pixels, labels, evidence)
    return replace(made, **changes)


def wrapped(before=(), after=()) -> Predict:
    """Put the trained network between layers that break it."""
    image = x = keras.Input((32, 32, 3))
    for layer in (*before, network(), *after):
        x = layer(x)
    return KerasSession(keras.Model(image, x)).predict


def faults(checked: tuple[CheckedFault, ...]) -> dict[str, CheckedFault]:
    return {f.check.name: f for f in checked if f.outcome.state is State.FOUND}


def only(made: Subject, name: str) -> dict[str, float]:
    """Figures of the only fault found."""
    found = faults(lint(made))
    assert list(found) == [name], {k: f.outcome.sentence for k, f in found.items()}
    assert found[name].outcome.remedy
    return found[name].outcome.figures


@pytest.fixture(scope="module")
def made() -> Subject:
    return subject(wrapped())


class TestTheShippedNetwork:
    def test_has_no_fault_and_its_logits_are_noted(self, made: Subject) -> None:
        checked = {f.check.name: f.outcome for f in lint(made)}
        assert not faults(lint(made))
        assert checked["softmax"].state is State.NOTED
        assert checked["channel-order"].state is State.NOT_MEASURED
        assert checked["label-shift"].figures["top1"] > 85

    def test_misses_its_softmax_where_probabilities_are_asked_for(self, made: Subject) -> None:
        figures = only(replace(made, scores=ScoreKind.PROBABILITIES), "softmax")
        assert figures["least_sum"] < 0.9

    def test_is_off_by_one_where_the_labels_are(self, made: Subject) -> None:
        pixels, labels = photos()
        keep = labels > 0
        answers = [
            replace(t, outputs=t.outputs[keep], labels=labels[keep] - 1)
            for t in made.measured.trials
        ]
        evidence = replace(made.measured, trials=tuple(answers), swapped=answers[0])
        shifted = replace(made, pixels=pixels[keep], labels=labels[keep] - 1, evidence=evidence)
        assert only(shifted, "label-shift")["shift"] == 1


def test_a_file_that_normalizes_by_itself_is_normalized_twice() -> None:
    figures = only(subject(wrapped([layers.Rescaling(**TO_SIGNED)])), "double-normalization")
    assert figures["raw_top1"] > 85 > figures["stated_top1"] + 20


def test_a_file_that_normalizes_twice_inside_is_told_too() -> None:
    twice = [layers.Rescaling(**TO_SIGNED), layers.Rescaling(**TO_SIGNED)]
    figures = only(subject(wrapped(twice), RAW), "double-normalization")
    assert figures["raw_top1"] > 85


def test_a_network_of_0_to_1_is_told_from_one_of_minus_1_to_1() -> None:
    made = subject(wrapped([layers.Rescaling(2.0, offset=-1.0)]))
    figures = only(made, "value-range")
    assert figures["other_top1"] > 85
    assert made.measured.best.hypothesis.name == "[0, 1]"


def test_outputs_that_are_rolled_by_one_are_off_by_one_whatever_the_range() -> None:
    class Rolled(layers.Layer):
        def call(self, x):
            return keras.ops.roll(x, 1, axis=1)

    made = subject(wrapped([layers.Rescaling(2.0, offset=-1.0)], [Rolled()]))
    found = faults(lint(made))
    assert set(found) == {"value-range", "label-shift"}
    figures = found["label-shift"].outcome.figures
    assert figures["shift"] == 1
    assert figures["shifted_top1"] > 85 > 20 > figures["top1"]


def test_a_head_without_weights_is_constant() -> None:
    head = layers.Dense(10, kernel_initializer="zeros", bias_initializer="ones")
    figures = only(subject(wrapped(after=[head])), "constant-output")
    assert figures["relative_spread"] == 0
    assert figures["answers"] == 1


def test_softmax_twice_is_told_from_once() -> None:
    once = subject(wrapped(after=[layers.Softmax()]), scores=ScoreKind.PROBABILITIES)
    assert not faults(lint(once))
    figures = only(subject(wrapped(after=[layers.Softmax(), layers.Softmax()])), "softmax")
    assert figures["mean_highest"] <= figures["limit_of_doubled"] + 1e-6 < 0.24


@given(st.integers(3, 50), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_softmax_of_any_confident_distributions_is_doubled_and_of_wide_logits_is_not(
    classes: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)

    def soft(z: np.ndarray) -> np.ndarray:
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    logits = rng.normal(0, 1, (20, classes))
    logits[np.arange(20), rng.integers(0, classes, 20)] += 12
    assert softmax._doubled(soft(soft(logits)))
    assert not softmax._doubled(soft(logits))


def test_a_lead_needs_more_than_a_few_images() -> None:
    some, more, most = (np.arange(100) < k for k in (50, 53, 80))
    assert not leads(more, some)
    assert leads(most, some)
    assert not leads(some, most)


def colour_network(path: Path, size: int | None) -> Path:
    """A network whose scores of red, green and blue are the mean channels of a BGR image."""
    from onnx import TensorProto, helper, save

    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gather", ["flat", "order"], ["sorted"], axis=1),
        helper.make_node("Mul", ["sorted", "ten"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, size, size])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])],
        [
            helper.make_tensor("order", TensorProto.INT64, [3], [2, 1, 0]),
            helper.make_tensor("ten", TensorProto.FLOAT, [], [10.0]),
        ],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def opened(path: Path, contract: Preprocessing, pixels: np.ndarray, labels: np.ndarray) -> Subject:
    evidence = gather(runtime_for(path).open(path, 1).predict, pixels, labels, contract)
    inspection = target_of(path).inspect(path)
    shape = inspection.inputs[0].shape
    return Subject(path, shape, inspection, contract, pixels, labels, evidence)


def test_a_bgr_network_that_is_given_rgb_is_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    pixels = rng.integers(0, 100, (60, 8, 8, 3)).astype(np.uint8)
    pixels[np.arange(60), :, :, labels] += 120
    path = colour_network(tmp_path / "bgr.onnx", 8)
    contract = Preprocessing(size=(8, 8), crop=Crop.EXACT)
    made = opened(path, contract, pixels, labels)
    figures = only(made, "channel-order")
    assert figures["bgr_top1"] == 100
    assert figures["rgb_top1"] < 40
    stated = replace(contract, channels=ChannelOrder.BGR)
    assert not faults(lint(opened(path, stated, pixels, labels)))


def test_a_free_size_is_told_and_leaves_the_rest_unmeasured(tmp_path: Path) -> None:
    path = colour_network(tmp_path / "free.onnx", None)
    inspection = target_of(path).inspect(path)
    none = np.zeros((0, 8, 8, 3), np.uint8)
    made = Subject(
        path, inspection.inputs[0].shape, inspection, CONTRACT, none, np.zeros(0, int), None
    )
    assert only(made, "dynamic-shape")["free_axes"] == 2
    unmeasured = [f for f in lint(made) if f.outcome.state is State.NOT_MEASURED]
    assert len(unmeasured) == sum(c.needs_images for c in lint_checks())


def converted(model: keras.Model, images: list[np.ndarray], path: Path) -> Path:
    """TensorFlow's int8 file, calibrated on these images; operators without int8 stay in float."""
    import tensorflow as tf

    fixed = keras.Input(batch_shape=(1, 32, 32, 3))
    with converter_noise():
        converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(fixed, model(fixed)))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([x[None]] for x in images)
        path.write_bytes(converter.convert())
    return path


def calibration_images(label: int | None, count: int) -> list[np.ndarray]:
    dataset = open_dataset("fashion_mnist:calibration")
    chosen = np.flatnonzero((dataset.labels == label) | (label is None))[:count]
    return [CONTRACT.tensor(dataset.decode(int(i))) for i in chosen]


@pytest.mark.slow
def test_calibration_on_sandals_clips_trousers(tmp_path: Path) -> None:
    path = converted(network(), calibration_images(5, 40), tmp_path / "sandals.tflite")
    figures = only(opened(path, CONTRACT, *photos()), "calibration")
    assert figures["least_clipped_class"] == 5
    assert figures["least_clipped"] < 0.1 < 5 < figures["most_clipped"]


@pytest.mark.slow
def test_calibration_on_all_classes_clips_little(tmp_path: Path) -> None:
    path = converted(network(), calibration_images(None, 100), tmp_path / "all.tflite")
    made = opened(path, CONTRACT, *photos())
    assert not faults(lint(made))
    (outcome,) = (f.outcome for f in lint(made) if f.check.name == "calibration")
    assert outcome.state is State.CLEAN
    assert outcome.figures["most_clipped"] < 0.5


def test_an_operator_without_int8_computes_in_float(tmp_path: Path) -> None:
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(4, 3)(image)
    x = keras.ops.cumsum(x, axis=1)
    x = layers.Conv2D(4, 3)(x)
    model = keras.Model(image, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))
    path = converted(model, calibration_images(None, 5), tmp_path / "cumsum.tflite")
    inspection = target_of(path).inspect(path)
    made = Subject(path, (1, 32, 32, 3), inspection, CONTRACT, *photos(), evidence=None)
    figures = only(made, "silent-float")
    assert figures["float_operators"] == 1
    assert figures["integer_operators"] >= 3


def test_every_check_is_told_apart_by_name() -> None:
    names = [check.name for check in lint_checks()]
    assert len(set(names)) == len(names) == 9
    text = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{name}"' in text for name in names)
