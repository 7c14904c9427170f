"""The canonical graph is the network: each fold, every registered family, float .tflite files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from calibration_data.task import Task
from evaluation.session import runtimes
from export.target import ExportRequest, export_targets
from models.spec import ModelSpec, model_specs, specs_of
from network.from_keras import from_keras
from network.graph import Graph
from network.run_tensorflow import run
from network.tflite.canonical import canonical_graph
from quantize.plans.plan import digest
from quantize.recipes import recipe
from tests.export.onnx.float_cases import (
    answers,
    exact_twin,
    magnitudes,
    rms,
    rounding_bound,
)
from tests.export.tflite.tflite_cases import CONTRACT
from tests.models.networks import randomize, settle

L = keras.layers
SIDE = 32
Rectify = Callable[[Any, float | None], Any]


def _relu(x: Any, most: float | None) -> Any:
    return L.ReLU(most)(x)


def _norm(x: Any) -> Any:
    return L.BatchNormalization(epsilon=1e-3)(x)


def _scored(x: Any) -> Any:
    """Layers at the end that add no further sum: a pixel's channels are the scores."""
    return L.Flatten()(x)


@dataclass(frozen=True)
class Fold:
    """A network with one thing to fold.

    Attributes:
        build: from the image and what makes a rectifier (``_relu``, or nothing for magnitudes).
        operators: what is left, in order.
        roundings: of the longest way of a term through the layers: products, partial sums, and
            8 for what a batch norm does (of each: variance + epsilon, root, reciprocal, times
            gamma, times weight; minus mean, times scale, plus beta).
    """

    build: Callable[[Any, Rectify], Any]
    operators: tuple[str, ...]
    roundings: int


NORM = 8
PIXELS = 3 * 3 * 3


def _joined(x: Any, rectify: Rectify, join: Any) -> Any:
    first = L.Conv2D(4, 3, padding="same")(x)
    second = _norm(L.Conv2D(4, 1, use_bias=False)(x))
    return rectify(join([first, second]), None)


FOLDS = {
    "conv, batch norm, relu6": Fold(
        lambda x, rectify: rectify(_norm(L.Conv2D(4, 3, 2, "same", use_bias=False)(x)), 6.0),
        ("CONV_2D",),
        PIXELS + NORM,
    ),
    "conv with bias, batch norm, relu": Fold(
        lambda x, rectify: rectify(_norm(L.Conv2D(4, 3, dilation_rate=2)(x)), None),
        ("CONV_2D",),
        PIXELS + 1 + NORM,
    ),
    "conv with bias, relu6": Fold(
        lambda x, rectify: rectify(L.Conv2D(4, 3)(x), 6.0), ("CONV_2D",), PIXELS + 1
    ),
    "depthwise, batch norm, relu6": Fold(
        lambda x, rectify: rectify(
            _norm(L.DepthwiseConv2D(3, 2, "same", depth_multiplier=2, use_bias=False)(x)), 6.0
        ),
        ("DEPTHWISE_CONV_2D",),
        9 + NORM,
    ),
    "depthwise with bias, batch norm": Fold(
        lambda x, rectify: _norm(L.DepthwiseConv2D(3)(x)), ("DEPTHWISE_CONV_2D",), 10 + NORM
    ),
    "dense, batch norm, relu": Fold(
        lambda x, rectify: rectify(_norm(L.Dense(5)(_pooled(x))), None),
        ("MAX_POOL_2D", "RESHAPE", "FULLY_CONNECTED"),
        12 + 1 + NORM,
    ),
    "batch norm before a padded conv stays": Fold(
        lambda x, rectify: L.Conv2D(4, 3, padding="same")(_norm(x)),
        ("MUL", "ADD", "CONV_2D"),
        NORM + PIXELS + 1,
    ),
    "batch norm before a conv without padding": Fold(
        lambda x, rectify: L.Conv2D(4, 3)(_norm(x)), ("MUL", "ADD", "CONV_2D"), NORM + PIXELS + 1
    ),
    "zeros where padding would put them, conv, batch norm": Fold(
        lambda x, rectify: _norm(L.Conv2D(4, 3, 2)(L.ZeroPadding2D(((0, 1), (0, 1)))(x))),
        ("CONV_2D",),
        PIXELS + 1 + NORM,
    ),
    "other zeros stay, depthwise, batch norm": Fold(
        lambda x, rectify: _norm(L.DepthwiseConv2D(3, 2)(L.ZeroPadding2D(1)(x))),
        ("PAD", "DEPTHWISE_CONV_2D"),
        10 + NORM,
    ),
    "addition, relu": Fold(
        lambda x, rectify: _joined(x, rectify, L.Add()),
        ("CONV_2D", "CONV_2D", "ADD"),
        PIXELS + 1 + NORM + 1,
    ),
    "concatenation, relu": Fold(
        lambda x, rectify: _joined(x, rectify, L.Concatenate()),
        ("CONV_2D", "CONV_2D", "CONCATENATION", "RELU"),
        PIXELS + 1 + NORM,
    ),
    "batch norm after an addition stays": Fold(
        lambda x, rectify: rectify(_norm(L.Add()([L.Conv2D(3, 1)(x), x])), 6.0),
        ("CONV_2D", "ADD", "MUL", "ADD"),
        3 + 1 + 1 + NORM,
    ),
    "equal biases, one layer used twice": Fold(
        lambda x, rectify: _twice(L.Conv2D(3, 1, use_bias=False), x, rectify),
        ("CONV_2D", "CONV_2D"),
        2 * (3 + 1),
    ),
}  # fmt: skip


def _pooled(x: Any) -> Any:
    return L.Flatten()(L.MaxPooling2D(4)(x))


def _twice(layer: Any, x: Any, rectify: Rectify) -> Any:
    return rectify(layer(layer(x)), None)


def _network(fold: Fold, rectify: Rectify = _relu) -> Callable[[], keras.Model]:
    def build() -> keras.Model:
        image = keras.Input((8, 8, 3))
        return keras.Model(image, _scored(fold.build(image, rectify)))

    return build


def _photos(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(side).uniform(-1, 1, (count, side, side, 3)).astype(np.float32)


@pytest.mark.parametrize("name", FOLDS)
def test_a_fold_is_exact_to_float32_rounding(name: str, tmp_path: Path) -> None:
    fold, images = FOLDS[name], _photos(4, 8)
    build = _network(fold)
    model = build()
    randomize(model, seed=len(name))
    contract = replace(CONTRACT, size=(8, 8))
    graph = from_keras(model, contract)
    kinds = tuple(str(op.kind) for op in graph.ops)
    assert kinds[: len(fold.operators)] == fold.operators
    assert set(kinds[len(fold.operators) :]) <= {"RESHAPE"}, kinds
    exact = answers(exact_twin(build, model), images)
    linear = exact_twin(_network(fold, lambda x, most: x), model)
    allowed = rounding_bound(answers(magnitudes(linear), np.abs(images)), fold.roundings)
    assert (np.abs(run(graph, images) - exact) <= allowed).all()
    assert rms(allowed) < 1e-4 * rms(exact)  # a bound that says something
    path = _float_file(model, contract, tmp_path)
    assert digest(canonical_graph(path.read_bytes())) == digest(graph)
    for runtime in ("litert-reference", "litert-xnnpack"):
        with_litert = runtimes()[runtime].open(path, 1).predict(images)
        assert (np.abs(with_litert - exact) <= allowed).all(), runtime


@pytest.mark.parametrize("name", ["conv, batch norm, relu6", "dense, batch norm, relu"])
def test_the_bound_sees_another_epsilon(name: str) -> None:
    """A batch norm that is folded with an epsilon off by a hundredth is not exact any more."""
    fold, images = FOLDS[name], _photos(4, 8)
    model = _network(fold)()
    randomize(model, seed=len(name))
    twin = exact_twin(_network(fold), model)
    linear = exact_twin(_network(fold, lambda x, most: x), model)
    allowed = rounding_bound(answers(magnitudes(linear), np.abs(images)), fold.roundings)
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            layer.epsilon *= 1.01
    graph = from_keras(model, replace(CONTRACT, size=(8, 8)))
    assert (np.abs(run(graph, images) - answers(twin, images)) > allowed).any()


def _float_file(model: keras.Model, contract: Any, folder: Path) -> Path:
    path = folder / "float.tflite"
    request = ExportRequest(model, recipe("tflite-float32"), contract)
    export_targets()["tflite"].write(request, path)
    return path


QUICK = ("mobilenet_v2_small", "mobilenet_v3_small", "shufflenet_v2")
NETWORKS = [
    pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
    for name in specs_of(Task.CLASSIFICATION)
]
MORE = 4.0
"""Errors of two float32 computations of one function are of one size, for both are sums of about as
many roundings, amplified alike; folding adds at most as many again (of each weight), and the root
mean square of 40 scores tells a size to a factor of two."""


@pytest.mark.parametrize("name", NETWORKS)
def test_a_registered_network_is_as_exact_as_keras_and_litert(name: str, tmp_path: Path) -> None:
    """Errors against Keras in double precision have the same size for all."""
    spec = _small(model_specs()[name])
    images = _photos(16, SIDE)
    model = spec.build(spec)
    randomize(model)
    settle(model, images)
    exact = answers(exact_twin(lambda: spec.build(spec), model), images)
    if spec.deployed is not None:
        model = spec.deployed(model)
    own = rms(answers(model, images) - exact)
    assert 0 < own < 1e-2 * rms(exact)
    path = _float_file(model, spec.preprocessing, tmp_path)
    graph = canonical_graph(path.read_bytes())
    _assert_own_constants(graph)
    scores = run(graph, images)
    assert rms(scores - exact) <= MORE * own
    litert = runtimes()["litert-reference"].open(path, 1).predict(images)
    error = rms(litert - exact)
    assert rms(scores - exact) <= MORE * error
    assert rms(scores - litert) <= MORE * max(own, error)


def _small(spec: ModelSpec) -> ModelSpec:
    spec = spec.resized(SIDE)
    return replace(spec, classes=10, preprocessing=spec.preprocessing.with_labels(()))


def _assert_own_constants(graph: Graph) -> None:
    read = [name for op in graph.weighted for name in op.inputs[1:3]]
    assert len(read) == len(set(read))


def test_an_addition_of_single_pixels_runs_on_batches() -> None:
    """The converter drops the batch of one before such an addition."""
    image = keras.Input((4, 4, 3))
    x = L.Conv2D(6, 3, 4, "same")(image)
    model = keras.Model(image, L.Flatten()(L.Add()([x, L.Conv2D(6, 1)(x)])))
    images = _photos(5, 4)
    graph = from_keras(model, replace(CONTRACT, size=(4, 4)))
    np.testing.assert_allclose(run(graph, images), answers(model, images), rtol=0, atol=1e-5)


def test_a_gate_of_one_vector_for_each_image_runs_on_batches() -> None:
    """The converter omits the reshape of such a vector to ``[1, 1, 1, c]``."""
    image = keras.Input((4, 4, 3))
    x = L.Conv2D(4, 3)(image)
    gate = L.Reshape((1, 1, 4))(L.Dense(4, "sigmoid")(L.GlobalAveragePooling2D()(x)))
    model = keras.Model(image, L.Flatten()(L.Multiply()([x, gate])))
    images = _photos(4, 4)
    graph = from_keras(model, replace(CONTRACT, size=(4, 4)))
    np.testing.assert_allclose(run(graph, images), answers(model, images), rtol=0, atol=1e-5)
