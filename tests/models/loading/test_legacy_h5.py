"""Legacy .h5 files of tf.keras 2.0 to 2.15: equal answers, or one sentence."""

from __future__ import annotations

import copy
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from foundation.errors import InvalidInputError, UnsupportedError
from models.loading.archives import h5_config
from models.loading.files import load_keras_file
from models.loading.legacy_h5 import mended
from models.loading.request import ModelRequest, load
from tests.models.loading.legacy_configs import (
    DEPTHWISE,
    KERNEL,
    NORM,
    functional,
    layer,
    small,
    write,
)
from tests.models.loading.legacy_files import ARCHIVED, NAMES


@pytest.fixture(scope="session")
def legacy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of tf_keras with its own answers."""
    folder = tmp_path_factory.mktemp("legacy")
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1", "CUDA_VISIBLE_DEVICES": "-1"}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.models.loading.legacy_files", str(folder)],
        check=True,
        env=environment,
        capture_output=True,
    )
    return folder


FILES = [
    *(f"{name}.h5" for name in NAMES),
    *(f"{name}.keras" for name in ARCHIVED),
    "subclass",  # a SavedModel
]


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_a_file_of_tf_keras_answers_as_tf_keras_does(legacy: Path, file: str) -> None:
    model, name = load_keras_file(legacy / file), file.partition(".")[0]
    with np.load(legacy / f"{name}.npz") as known:
        outputs = keras.tree.flatten(model(known["images"], training=False))
        scores = np.asarray(outputs[0])
        np.testing.assert_allclose(scores, known["scores"], atol=1e-5, rtol=0)
        assert np.ptp(known["scores"], axis=0).max() > 1e-3  # the answers depend on the image


@pytest.mark.slow
def test_the_pipeline_takes_such_a_file(legacy: Path) -> None:
    loaded = load(ModelRequest(str(legacy / "transfer.h5")))
    assert (loaded.size, loaded.classes) == ((64, 64), 5)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_a_policy_of_mixed_precision_is_left_out_and_said(legacy: Path, suffix: str) -> None:
    loaded = load(ModelRequest(str(legacy / f"mixed{suffix}")))
    assert {layer.compute_dtype for layer in loaded.model.layers} == {"float32"}
    (remark,) = loaded.remarks
    assert "computes in float32" in remark
    assert load(ModelRequest(str(legacy / f"transfer{suffix}"))).remarks == ()


# Files of older versions, written by hand


def _expected(images: np.ndarray) -> np.ndarray:
    """``small`` in Keras 3."""
    x = keras.ops.conv(images, KERNEL)
    x = keras.ops.batch_normalization(
        x, NORM["moving_mean"], NORM["moving_variance"], 3, NORM["beta"], NORM["gamma"], 0.001
    )
    x = keras.ops.depthwise_conv(keras.ops.relu6(x), DEPTHWISE)
    return np.asarray(keras.ops.mean(x, (1, 2)))


def _images() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (2, 8, 8, 3)).astype(np.float32)


@pytest.mark.parametrize("conv", ["conv", "conv_1", "scope/conv", "model/conv"])
def test_names_of_old_sessions_are_matched(tmp_path: Path, conv: str) -> None:
    config, weights = small(conv)
    model = load_keras_file(write(tmp_path / "net.h5", config, weights))
    found = np.asarray(model(_images(), training=False))
    np.testing.assert_allclose(found, _expected(_images()), atol=1e-5)


def test_weights_out_of_order_are_matched_by_name(tmp_path: Path) -> None:
    config, weights = small()
    weights["norm"] = dict(reversed(weights["norm"].items()))
    model = load_keras_file(write(tmp_path / "net.h5", config, weights))
    found = np.asarray(model(_images(), training=False))
    np.testing.assert_allclose(found, _expected(_images()), atol=1e-5)


def _without(weights: dict[str, Any]) -> None:
    weights["conv"] = {}


def _group_missing(weights: dict[str, Any]) -> None:
    del weights["deep"]


def _one_more(weights: dict[str, Any]) -> None:
    weights["pool"] = {"pool/kernel:0": np.zeros(3, np.float32)}


def _a_foreign_layer(weights: dict[str, Any]) -> None:
    weights["other"] = {"other/kernel:0": np.zeros(3, np.float32)}


def _other_shape(weights: dict[str, Any]) -> None:
    weights["conv"] = {"conv/kernel:0": KERNEL.transpose(3, 0, 1, 2)}


def _other_names(weights: dict[str, Any]) -> None:
    values = list(weights["norm"].values())
    weights["norm"] = dict(zip(("x_1:0", "x_2:0", "x_3:0", "x_4:0"), values, strict=True))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without, "0 weights of conv, where it has 1"),
        (_group_missing, "no weights of deep"),
        (_one_more, "1 weights of pool, where it has 0"),
        (_a_foreign_layer, "weights of other, which is no layer"),
        (_other_shape, r"kernel of conv in the shape \[4, 3, 3, 3\]"),
        (_other_names, "weights of norm by other names"),
    ],
)
def test_every_weight_is_used_once_in_its_shape(tmp_path: Path, change: Any, said: str) -> None:
    config, weights = small()
    change(weights)
    with pytest.raises(InvalidInputError, match=rf"net\.h5 with {said}"):
        load_keras_file(write(tmp_path / "net.h5", config, weights))


def _answers(tmp_path: Path, config: dict[str, Any]) -> np.ndarray:
    names = {entry.get("name", entry["config"].get("name")) for entry in config["config"]["layers"]}
    model = load_keras_file(write(tmp_path / "net.h5", config, {name: {} for name in names}))
    return np.asarray(model(_images(), training=False))


def test_hard_sigmoid_is_that_of_keras_2(tmp_path: Path) -> None:
    config = functional(layer("Activation", "act", "image", activation="hard_sigmoid"))
    expected = np.clip(0.2 * _images() + 0.5, 0, 1)
    np.testing.assert_allclose(_answers(tmp_path, config), expected, atol=1e-6)


def test_hard_swish_is_that_of_mobilenet_v3(tmp_path: Path) -> None:
    config = functional(layer("Activation", "act", "image", activation="hard_swish"))
    expected = _images() * np.clip(_images() + 3, 0, 6) / 6
    np.testing.assert_allclose(_answers(tmp_path, config), expected, atol=1e-6)


def test_hard_sigmoid_beside_hard_swish_may_be_either(tmp_path: Path) -> None:
    config = functional(
        layer("Activation", "a", "image", activation="hard_swish"),
        layer("Activation", "b", "a", activation="hard_sigmoid"),
    )
    with pytest.raises(UnsupportedError, match="another hard_sigmoid"):
        _answers(tmp_path, config)


def test_graph_operators_of_2_3_are_operations(tmp_path: Path) -> None:
    def node(name: str, op: str, before: str, constants: dict[str, float]) -> dict[str, Any]:
        definition = json.dumps({"name": op, "op": op, "input": ["x", "y"]})
        return layer("TensorFlowOpLayer", name, before, node_def=definition, constants=constants)

    config = functional(
        node("add", "AddV2", "image", {"1": 3.0}),
        layer("ReLU", "relu", "add", max_value={"type": "ndarray", "value": 6.0}),
        node("mul", "Mul", "relu", {"1": 1 / 6}),
        node("sub", "Sub", "mul", {"0": 1.0}),
    )
    expected = 1 - np.clip(_images() + 3, 0, 6) / 6
    np.testing.assert_allclose(_answers(tmp_path, config), expected, atol=1e-6)


def test_a_list_of_layers_is_a_sequential_of_2_0(tmp_path: Path) -> None:
    scale = {"name": "scale", "scale": 2.0, "offset": 0.0, "batch_input_shape": [None, 8, 8, 3]}
    inner = {"class_name": "Activation", "config": {"name": "act", "activation": "relu"}}
    config = {
        "class_name": "Sequential",
        "config": [{"class_name": "Rescaling", "config": scale}, inner],
    }
    model = load_keras_file(write(tmp_path / "net.h5", config, {"scale": {}, "act": {}}))
    expected = np.maximum(2 * _images(), 0)
    np.testing.assert_allclose(np.asarray(model(_images())), expected, atol=1e-6)


def test_a_model_called_twice_is_connected_by_call(tmp_path: Path) -> None:
    inner = functional(layer("Activation", "relu", "image", activation="relu"))
    inner.update(name="inner", inbound_nodes=[[["image", 0, 0, {}]], [["neg", 0, 0, {}]]])
    function = {"function": "math.negative"}
    negative = layer("TFOpLambda", "neg", "image", **function)
    both = {**layer("Subtract", "both", None), "inbound_nodes": [[["inner", 1, 0, {}],
            ["inner", 2, 0, {}]]]}  # fmt: skip
    found = _answers(tmp_path, functional(negative, inner, both))
    np.testing.assert_allclose(found, _images(), atol=1e-6)


@pytest.mark.parametrize("dtype", ["mixed_float16", {"class_name": "Policy", "config": {"name": "mixed_float16"}}])  # fmt: skip  # noqa: E501
def test_mixed_precision_becomes_float32(tmp_path: Path, dtype: Any) -> None:
    config = functional(layer("Activation", "act", "image", activation="relu"))
    config["config"]["layers"][1]["config"]["dtype"] = dtype
    assert _answers(tmp_path, config).dtype == np.float32


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (layer("TFOpLambda", "op", "image", function="io.read_file"), "io.read_file"),
        (layer("TFOpLambda", "op", "image", function="numpy_function"), "numpy_function"),
        (layer("TFOpLambda", "op", "image", function=None), "TFOpLambda of None"),
        (layer("TFOpLambda", "op", "image", function="math.add"), "without 'y'"),
        (layer("TFOpLambda", "op", "image", function="image.resize"), "without 'size'"),
        (layer("TensorFlowOpLayer", "op", "image", node_def='{"op": "PyFunc"}'), "PyFunc"),
        (layer("DepthwiseConv2D", "op", "image", kernel_size=3, groups=2), "groups 1"),
        (layer("Lambda", "op", "image", function=["4wEAAAA=", None, None]), "Lambda layer"),
        (layer("TFSMLayer", "op", "image", filepath="/tmp"), "TFSMLayer"),
        (layer("Secret", "op", "image"), "Secret"),
        (layer("Dense", "op", "image", units=2, nonsense=1), "net.h5"),
        (layer("Activation", "op", "image", activation="secret"), "net.h5"),
    ],
)
def test_what_keras_3_cannot_express_is_one_sentence(
    tmp_path: Path, wrong: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInputError, match=said):
        _answers(tmp_path, functional(wrong))


@pytest.mark.parametrize("key", ["sparse", "ragged"])
def test_inputs_that_are_no_images_are_refused(tmp_path: Path, key: str) -> None:
    config = functional(layer("Activation", "act", "image", activation="relu"))
    config["config"]["layers"][0]["config"][key] = True
    with pytest.raises(UnsupportedError, match=key):
        _answers(tmp_path, config)


def test_mending_leaves_its_argument_as_it_is() -> None:
    config, _ = small()
    before = copy.deepcopy(config)
    assert mended(config).names["deep"] == "deep"
    assert config == before


def test_hundreds_of_names_are_no_bomb(tmp_path: Path) -> None:
    """A MobileNetV2 with an optimizer has 317 names in one attribute of texts."""
    config, weights = small()
    path = write(tmp_path / "net.h5", config, weights)
    with h5py.File(path, "a") as file:
        group = file.create_group("optimizer_weights")
        group.attrs["weight_names"] = [f"training/Adam/{number}:0" for number in range(400)]
        group["pad"] = np.random.default_rng(0).integers(0, 256, 500_000, np.uint8)
    assert h5_config(path)["class_name"] == "Model"
    load_keras_file(path)


def _with_keywords(function: str, **keywords: Any) -> dict[str, Any]:
    entry = layer("TFOpLambda", "op", "image", function=function)
    entry["inbound_nodes"] = [["image", 0, 0, keywords]]
    return functional(entry)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (_with_keywords("pad", paddings=[[0, 0]] * 4, constant_values=1), "constant_values"),
        (_with_keywords("nn.bias_add", bias=[1.0], data_format="NCHW"), "channels first"),
        (_with_keywords("image.resize", size=[4, 4], method="area"), "the method area"),
        (_with_keywords("image.resize", size=[4, 4], preserve_aspect_ratio=True), "aspect"),
        (_with_keywords("linalg.matmul", b=[[1.0]], transpose_b=True), "transpose_b"),
        (_with_keywords("split", num_or_size_splits=[-1, 2]), "sizes that are not known"),
        (_with_keywords("reshape", shape=[["image", 0, 0], 3]), "one that is computed"),
        (_with_keywords("clip_by_value", clip_value_min=["image", 0, 0], clip_value_max=1), "comp"),
        (_with_keywords("__operators__.getitem", slice_spec=[{"start": 1}]), "a slice"),
    ],
)
def test_arguments_that_keras_3_does_not_have_are_named(
    tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    with pytest.raises(UnsupportedError, match=said):
        _answers(tmp_path, config)


def test_dropout_of_the_efficientnet_package_is_dropout(tmp_path: Path) -> None:
    config = functional(layer("FixedDropout", "drop", "image", rate=0.2, noise_shape=None))
    np.testing.assert_array_equal(_answers(tmp_path, config), _images())


def test_names_that_differ_in_a_slash_stay_apart(tmp_path: Path) -> None:
    old = {"kernel_size": [1, 1], "filters": 3, "use_bias": False}
    config = functional(
        layer("Conv2D", "a/b", "image", **old), layer("Conv2D", "a_b", "a/b", **old)
    )
    first, second = (_KERNELS[i] for i in range(2))
    weights = {"image": {}, "a/b": {"a/b/kernel:0": first}, "a_b": {"a_b/kernel:0": second}}
    model = load_keras_file(write(tmp_path / "net.h5", config, weights))
    expected = _images() @ first[0, 0] @ second[0, 0]
    np.testing.assert_allclose(np.asarray(model(_images())), expected, atol=1e-5)


_KERNELS = np.random.default_rng(4).normal(size=(2, 1, 1, 3, 3)).astype(np.float32)


def _cut(path: Path, changed: str, values: Any) -> Path:
    """A .keras of Keras 2 with other content of one dataset of its weights."""
    target = path.with_name("changed.keras")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "model.weights.h5":
                stored = io.BytesIO(content)
                with h5py.File(stored, "a") as file:
                    del file[changed]
                    if values is not None:
                        file[changed] = values
                content = stored.getvalue()
            new.writestr(name, content)
    return target


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "said"),
    [
        (None, "1 weights of conv, where it has 2"),
        (np.zeros(5, np.float32), r"bias of conv in the shape \[5\]"),
    ],
)
def test_every_weight_of_an_archive_is_used_once(legacy: Path, values: Any, said: str) -> None:
    path = _cut(legacy / "mixed.keras", "layers/conv2d/vars/1", values)
    with pytest.raises(InvalidInputError, match=said):
        load_keras_file(path)


def test_layers_of_keras_architectures_are_no_foreign_code(tmp_path: Path) -> None:
    """A ConvNeXt's scale and an InceptionResNetV2's sum, which keras.layers does not hold."""
    from keras.src.applications.convnext import LayerScale
    from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

    image = keras.Input((8, 8, 3))
    x = CustomScaleLayer(scale=0.2)([image, keras.layers.Conv2D(3, 1)(image)])
    model = keras.Model(image, LayerScale(0.5, 3)(x))
    model.save(tmp_path / "net.keras")
    found = load_keras_file(tmp_path / "net.keras")(_images())
    np.testing.assert_array_equal(np.asarray(found), np.asarray(model(_images())))


def test_mixed_precision_of_keras_3_is_left_out_too(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, dtype="mixed_float16")(image)
    x = keras.layers.GlobalAveragePooling2D(dtype="mixed_float16")(x)
    model = keras.Model(image, keras.layers.Dense(3, dtype="float32")(x))
    model.save(tmp_path / "net.keras")
    loaded = load(ModelRequest(str(tmp_path / "net.keras")))
    assert len(loaded.remarks) == 1
    found = np.asarray(loaded.model(_images(), training=False))
    np.testing.assert_allclose(found, np.asarray(model(_images())), atol=1e-2)
    assert {layer.compute_dtype for layer in loaded.model.layers} == {"float32"}
