"""MobileNetV2 against keras.applications: names, shapes, weights, answers, parameter counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from calibration_data.preprocessing import Crop, Preprocessing
from models.loading.request import ModelRequest, load
from models.mobilenet_v2 import SMALL_IMAGE_STAGES, STAGES
from models.spec import ModelSpec, model_spec
from models.weights.named import build_with_weights
from tests.models.networks import randomize, scores

WIDTHS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
SIZES = (96, 128, 160, 192, 224)
GRID = [(alpha, size) for alpha in WIDTHS for size in SIZES]
# The narrowest, the plain and the widest; the slow tests have the other widths and sizes.
FAST = [(0.35, 160), (1.4, 96)]
OTHERS = [pytest.param(*pair, marks=pytest.mark.slow) for pair in GRID if pair not in FAST]

TOLERANCE = 1e-5
"""Of softmax scores: the same sums in the same order, but padding by another kernel."""


def _spec(alpha: float, size: int, classes: int = 20) -> ModelSpec:
    return ModelRequest("mobilenet_v2", alpha=alpha, size=size, classes=classes).spec()


def _theirs(alpha: float, size: int, classes: int = 20) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2(
        input_shape=(size, size, 3), alpha=alpha, classes=classes, weights=None
    )
    randomize(model, seed=int(alpha * 100))
    return model


def _shapes(model: keras.Model) -> dict[str, list[tuple[int, ...]]]:
    return {
        layer.name: [tuple(weight.shape) for weight in layer.weights]
        for layer in model.layers
        if layer.weights
    }


@pytest.mark.filterwarnings("ignore:`input_shape` is undefined or non-square:UserWarning")
@pytest.mark.parametrize(("alpha", "size"), [*FAST, *OTHERS])
def test_it_is_the_network_of_keras_applications(alpha: float, size: int, tmp_path: Path) -> None:
    theirs = _theirs(alpha, size)
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    ours = build_with_weights(_spec(alpha, size), str(tmp_path / "theirs.weights.h5"))
    assert _shapes(ours) == _shapes(theirs)
    assert list(_shapes(ours)) == list(_shapes(theirs))
    expected = scores(theirs, size)
    assert expected.std() > 1e-3  # equal scores would prove nothing
    np.testing.assert_allclose(scores(ours, size), expected, atol=TOLERANCE)


@pytest.mark.filterwarnings("ignore:`input_shape` is undefined or non-square:UserWarning")
@pytest.mark.parametrize(
    "size", [97, *(pytest.param(size, marks=pytest.mark.slow) for size in (33, 50, 127))]
)
def test_it_is_the_same_at_sizes_that_halve_unevenly(size: int, tmp_path: Path) -> None:
    theirs = _theirs(0.35, size)
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    ours = build_with_weights(_spec(0.35, size), str(tmp_path / "theirs.weights.h5"))
    np.testing.assert_allclose(scores(ours, size), scores(theirs, size), atol=TOLERANCE)


@pytest.mark.parametrize("size", range(1, 34))
def test_same_padding_is_their_zero_padding(size: int) -> None:
    """keras.applications' correct_pad: (1, 1) for odd sizes, (0, 1) for even ones."""
    rng = np.random.default_rng(size)
    x = rng.normal(size=(1, size, size, 2)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 2, 1)).astype(np.float32)
    before = size % 2
    padded = np.pad(x, ((0, 0), (before, 1), (before, 1), (0, 0)))
    np.testing.assert_allclose(
        keras.ops.depthwise_conv(x, kernel, strides=2, padding="same"),
        keras.ops.depthwise_conv(padded, kernel, strides=2, padding="valid"),
        atol=1e-6,
    )


@pytest.fixture(scope="module")
def theirs_096() -> keras.Model:
    return _theirs(0.35, 96)


@pytest.mark.filterwarnings(
    # Keras's advice on saving legacy files, which users still have.
    "ignore:You are saving your model as an HDF5 file:UserWarning"
)
@pytest.mark.parametrize("ending", [".weights.h5", ".h5", ".keras"])
def test_weights_in_every_kind_of_file_load_by_request(
    theirs_096: keras.Model, ending: str, tmp_path: Path
) -> None:
    theirs = theirs_096
    path = tmp_path / f"theirs{ending}"
    if ending == ".weights.h5":
        theirs.save_weights(path)
    else:
        theirs.save(path)
    request = ModelRequest("mobilenet_v2", str(path), alpha=0.35, size=96, classes=20)
    loaded = load(request)
    assert (loaded.size, loaded.classes) == ((96, 96), 20)
    np.testing.assert_allclose(scores(loaded.model, 96), scores(theirs, 96), atol=TOLERANCE)


@pytest.mark.parametrize(
    ("alpha", "millions"),
    # tensorflow/models, research/slim/nets/mobilenet/README.md, table of MobileNetV2: weights of
    # convolutions and of the classifier, without batch norms, to two decimals.
    [
        (1.4, 6.06),
        (0.35, 1.66),
        *(
            pytest.param(*row, marks=pytest.mark.slow)
            for row in ((1.3, 5.34), (1.0, 3.47), (0.75, 2.61), (0.5, 1.95))
        ),
    ],
)
def test_parameters_are_as_many_as_published(alpha: float, millions: float) -> None:
    spec = _spec(alpha, 224, 1000)
    counted = sum(
        int(np.prod(weight.shape))
        for layer in spec.build(spec).layers
        if not isinstance(layer, keras.layers.BatchNormalization)
        for weight in layer.weights
    )
    assert counted / 1e6 == pytest.approx(millions, abs=0.0051)


def test_the_default_is_the_papers_network() -> None:
    spec = model_spec("mobilenet_v2")
    assert spec.input_shape == (224, 224, 3)
    assert spec.preprocessing == Preprocessing(
        size=(224, 224), resize_short_side=256, labels=spec.preprocessing.labels
    )
    assert [stage.channels for stage in STAGES] == [16, 24, 32, 64, 96, 160, 320]
    assert sum(stage.repeats for stage in STAGES) == 17


def _side(model: keras.Model, layer: str) -> int:
    return int(model.get_layer(layer).output.shape[1])


def test_the_small_network_halves_three_times_and_the_large_one_five() -> None:
    small = replace(model_spec("mobilenet_v2_small"), alpha=0.1)
    assert small.preprocessing.crop is Crop.PAD
    assert _side(small.build(small), "out_relu") == 4
    large = _spec(0.35, 224)
    assert _side(large.build(large), "out_relu") == 7
    assert [(s.expansion, s.channels, s.repeats) for s in SMALL_IMAGE_STAGES] == [
        (s.expansion, s.channels, s.repeats) for s in STAGES
    ]
