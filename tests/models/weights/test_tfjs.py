"""TensorFlow.js models: what is read, which layers come out, and what is refused in a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgequant.loading import load
from foundation.errors import InvalidInputError
from models.blocks import Stage
from models.loading.request import ModelRequest
from models.spec import ModelSpec, model_spec
from models.weights.by_shape import assign_by_shape
from models.weights.tfjs import read_tfjs
from models.weights.tfjs_layers import tfjs_layers
from tests.models.networks import randomize, tiny_spec
from tests.models.weights.tfjs_files import Norms, Tfjs, entry, tfjs_of, write

STAGES = (Stage(1, 8, 1, 1), Stage(2, 8, 2, 2), Stage(2, 8, 1, 2), Stage(2, 8, 1, 2),
          Stage(2, 16, 1, 2))  # fmt: skip


def _detector() -> ModelSpec:
    """A detector with a shortcut, heads on three levels, and four classes."""
    spec = model_spec("ssdlite_fashion")
    contract = replace(spec.preprocessing, size=(64, 64), labels=())
    return replace(spec, stages=STAGES, preprocessing=contract, classes=4, alpha=1.0)


def _built(seed: int | None = None) -> keras.Model:
    spec = _detector()
    model = spec.build(spec)
    if seed is not None:
        randomize(model, seed)
    return model


def _images() -> np.ndarray:
    return np.random.default_rng(5).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)


@pytest.mark.parametrize("norms", [n for n in Norms if n is not Norms.FUSED])
def test_a_detector_has_the_function_of_the_graph_however_its_norms_are_stored(
    norms: Norms, tmp_path: Path
) -> None:
    source, model = _built(1), _built()
    assign_by_shape(model, tfjs_layers(write(tmp_path, tfjs_of(source, norms))))
    for theirs, ours in zip(source(_images()), model(_images()), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4 * float(np.abs(theirs).max()))


def test_fused_operators_end_in_their_activation(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    conv = keras.layers.Conv2D(4, 3, use_bias=False, name="conv")(image)
    x = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization(name="norm")(conv))
    model = keras.Model(image, x)
    randomize(model, 2)
    made = tfjs_of(model, Norms.FUSED)
    made.node("Mul", "behind", ["re_lu", made.constant("three", np.float32(3))])
    (layer,) = tfjs_layers(write(tmp_path, made))
    np.testing.assert_array_equal(layer.kernel, made.weights["conv/weights"])
    np.testing.assert_array_equal(layer.bias, made.weights["conv/bias"])


def test_a_dense_layer_and_one_that_is_stored_transposed(tmp_path: Path) -> None:
    made, values = Tfjs(), np.arange(6, dtype=np.float32).reshape(2, 3)
    kernel = made.constant("kernel", values)
    for name, transposed in (("plain", False), ("turned", True)):
        made.node("MatMul", name, ["image", kernel], transpose_b={"b": transposed})
    plain, turned = tfjs_layers(write(tmp_path, made))
    np.testing.assert_array_equal(plain.kernel, values)
    np.testing.assert_array_equal(turned.kernel, values.T)


@pytest.mark.parametrize(
    ("quantized", "error"), [("uint8", 1 / 255), ("uint16", 1 / 65535), ("float16", 2.0**-10)]
)
def test_quantized_weights_are_read_within_half_a_step(
    quantized: str, error: float, tmp_path: Path
) -> None:
    made, rng = Tfjs(), np.random.default_rng(3)
    values = rng.uniform(-1, 1, (5, 7)).astype(np.float32)
    made.constant("a", values)
    made.constant("whole", np.array([-7, 0, 248], np.int32))
    made.constant("plain", np.array([True, False]))
    kinds = {"a": quantized, "whole": "uint8"}
    found = read_tfjs(write(tmp_path, made, quantized=kinds)).weights
    np.testing.assert_allclose(found["a"], values, atol=error * 1.01)
    assert found["a"].dtype == np.float32
    np.testing.assert_array_equal(found["whole"], [-7, 0, 248])
    assert found["whole"].dtype == np.int32
    np.testing.assert_array_equal(found["plain"], [True, False])


def test_weights_of_several_groups_and_of_no_size(tmp_path: Path) -> None:
    made = Tfjs()
    made.constant("a", np.ones((2, 0, 3), np.float32))
    made.constant("b", np.float32(4))
    folder = write(tmp_path, made, shards=1)
    text = json.loads((folder / "model.json").read_text())
    (group,) = text["weightsManifest"]
    more, content = entry("c", np.arange(3, dtype=np.float32))
    (folder / "second").write_bytes(content)
    text["weightsManifest"] = [group, {"paths": ["second"], "weights": [more]}]
    (folder / "model.json").write_text(json.dumps(text))
    found = read_tfjs(folder / "model.json").weights
    assert found["a"].shape == (2, 0, 3)
    assert found["b"] == 4
    np.testing.assert_array_equal(found["c"], [0, 1, 2])


# A registered network


def _classifier(folder: Path) -> tuple[keras.Model, Path]:
    """The small network without its classifier's Keras layers, as a graph model."""
    spec = model_spec("mobilenet_v2_small")
    source = spec.build(spec)
    randomize(source, 4)
    features = keras.Model(source.inputs, source.layers[-3].output)
    made = tfjs_of(features, Norms.MERGED)
    kernel, bias = source.layers[-1].get_weights()
    x = made.node("Mean", "mean", ["output_0"])
    x = made.node("MatMul", "dense", [x, made.constant("dense/kernel", kernel)])
    made.node("BiasAdd", "scores", [x, made.constant("dense/bias", bias)])
    return source, write(folder, made)


def test_a_registered_network_takes_a_folder_and_a_model_json(tmp_path: Path) -> None:
    source, folder = _classifier(tmp_path / "net")
    images = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    digests = set()
    for path in (folder, folder / "model.json"):
        request = ModelRequest("mobilenet_v2_small", weights=str(path))
        np.testing.assert_allclose(
            load(request).model(images), source(images), rtol=1e-3, atol=1e-4
        )
        digests.add(request.digest())
    shard = folder / "group1-shard2of3"
    shard.write_bytes(bytes(len(shard.read_bytes())))
    assert ModelRequest("mobilenet_v2_small", weights=str(folder)).digest() not in digests


def test_a_name_of_weights_wins_over_a_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fashion_mnist").mkdir()
    monkeypatch.chdir(tmp_path)
    loaded = load(ModelRequest("mobilenet_v2_small", weights="fashion_mnist"))
    shipped = load(ModelRequest("mobilenet_v2_small"))
    pairs = zip(loaded.model.get_weights(), shipped.model.get_weights(), strict=True)
    assert all(np.array_equal(mine, theirs) for mine, theirs in pairs)


def test_a_network_that_is_no_detector_is_refused_with_a_layer(tmp_path: Path) -> None:
    small = tiny_spec()
    classifier = keras.Model((built := small.build(small)).inputs, built.layers[-3].output)
    folder = write(tmp_path, tfjs_of(classifier, Norms.MERGED))
    with pytest.raises(InvalidInputError, match=r"layers with weights for .* has a kernel"):
        assign_by_shape(_built(), tfjs_layers(folder))


# Damage


def _edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        text = json.loads((folder / "model.json").read_text())
        change(text)
        (folder / "model.json").write_text(json.dumps(text))

    return edit


def _first(text: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = text["weightsManifest"][0]["weights"][0]
    return entry


def _paths(text: dict[str, Any]) -> list[str]:
    paths: list[str] = text["weightsManifest"][0]["paths"]
    return paths


SHARD = "group1-shard2of3"
DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no model.json": (lambda f: (f / "model.json").unlink(), "does not exist"),
    "no shard": (lambda f: (f / SHARD).unlink(), "shard2of3, which does not exist"),
    "a shard that is cut": (
        lambda f: (f / SHARD).write_bytes((f / SHARD).read_bytes()[:-4]),
        r"[\d,]+ bytes in group1-shard1of3 to group1-shard3of3, where its weights take [\d,]+",
    ),
    "a shard that is longer": (
        lambda f: (f / SHARD).write_bytes((f / SHARD).read_bytes() + b"abcd"),
        "where its weights take",
    ),
    "a shard that is a folder": (
        lambda f: ((f / SHARD).unlink(), (f / SHARD).mkdir()),
        "which is a folder",
    ),
    "a shard elsewhere": (
        _edited(lambda t: _paths(t).__setitem__(0, "../group1-shard1of3")),
        "no name of a file beside it",
    ),
    "a shard at a URL": (
        _edited(lambda t: _paths(t).__setitem__(0, "https://example.com/a")),
        "no name of a file beside it",
    ),
    "one weight less": (
        _edited(lambda t: t["weightsManifest"][0]["weights"].pop()),
        "where its weights take",
    ),
    "another shape": (_edited(lambda t: _first(t)["shape"].append(2)), "where its weights take"),
    "a huge shape": (_edited(lambda t: _first(t).update(shape=[2**62, 2**62])), "its weights take"),
    "a negative shape": (_edited(lambda t: _first(t).update(shape=[-1])), r"the shape \[-1\]"),
    "text": (_edited(lambda t: _first(t).update(dtype="string")), "of the type string"),
    "an unknown quantization": (
        _edited(lambda t: _first(t).update(quantization={"dtype": "int4", "scale": 1, "min": 0})),
        "quantized to int4",
    ),
    "no scale": (
        _edited(lambda t: _first(t).update(quantization={"dtype": "uint8", "min": 0})),
        "without scale or min",
    ),
    "an infinite scale": (
        _edited(
            lambda t: _first(t).update(
                quantization={"dtype": "uint8", "min": 0, "scale": float("inf")}
            )
        ),
        "the scale inf",
    ),
    "one name twice": (
        _edited(lambda t: t["weightsManifest"][0]["weights"].append(_first(t))),
        "two weights have one name",
    ),
    "no manifest": (_edited(lambda t: t.pop("weightsManifest")), "no weightsManifest"),
    "no graph": (_edited(lambda t: t.pop("modelTopology")), "no modelTopology"),
    "a layers model": (
        _edited(lambda t: t.update(modelTopology={"model_config": {}})),
        "a layers model, not a graph model",
    ),
    "no JSON": (lambda f: (f / "model.json").write_text("{"), "model.json"),
    "JSON of a list": (lambda f: (f / "model.json").write_text("[]"), "not of an object"),
    "a norm without its tensors": (
        _edited(lambda t: [n["input"].pop() for n in t["modelTopology"]["node"]
                           if n["op"] == "FusedBatchNormV3"]),
        "constants of a layer, not 4",
    ),
    "a node twice": (
        _edited(lambda t: t["modelTopology"]["node"].append(t["modelTopology"]["node"][0])),
        "two nodes have one name",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    small = tiny_spec()
    built = small.build(small)
    randomize(built, 1)
    features = keras.Model(built.inputs, built.layers[-3].output)
    return write(tmp_path_factory.mktemp("whole"), tfjs_of(features, Norms.OPERATOR))


def _copied(source: Path, folder: Path) -> Path:
    for path in source.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_one_sentence(kind: str, whole: Path, tmp_path: Path) -> None:
    folder = _copied(whole, tmp_path)
    assert tfjs_layers(folder)
    change, said = DAMAGE[kind]
    change(folder)
    with pytest.raises(InvalidInputError, match=said) as caught:
        tfjs_layers(folder)
    assert str(caught.value).count("\n") == 0


def test_a_circle_in_the_graph_ends(tmp_path: Path) -> None:
    made = Tfjs()
    kernel = made.constant("kernel", np.ones((1, 1, 2, 2), np.float32))
    made.node("Conv2D", "conv", ["second", kernel])
    made.node("Identity", "first", ["conv"])
    made.node("Add", "second", ["first"])
    (layer,) = tfjs_layers(write(tmp_path, made))
    assert layer.kernel.shape == (1, 1, 2, 2)


def test_a_number_per_channel_that_no_layer_takes_is_refused(tmp_path: Path) -> None:
    made = Tfjs()
    x = made.node("Conv2D", "conv", ["image", made.constant("k", np.ones((1, 1, 3, 2), "f4"))])
    x = made.node("Relu6", "relu", [x])
    made.node("Mul", "late", [x, made.constant("factor", np.ones(2, "f4"))])
    with pytest.raises(InvalidInputError, match="late is part of no convolution or dense layer"):
        tfjs_layers(write(tmp_path, made))
