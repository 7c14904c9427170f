"""Inspection of ONNX files, whole and damaged ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.onnx.target import TARGET
from export.target import CARD_KEY
from foundation.errors import InvalidInputError
from quantize.recipes import recipe
from quantize.settings import Optimization
from tests.export.onnx.onnx_cases import ONNX_RECIPES


@pytest.fixture
def files(onnx_files):
    """Folder with a file of every recipe."""
    return onnx_files["onnx-float32"].parent


def count(inspection, name, compute=None):
    found = [o for o in inspection.operators if o.name == name and compute in (None, o.compute)]
    return sum(o.count for o in found)


@pytest.mark.parametrize("name", [r.name for r in ONNX_RECIPES])
def test_sizes_add_up_and_values_are_plain(files: Path, name: str) -> None:
    path = files / f"{name}.onnx"
    found = TARGET.inspect(path)
    assert found.size_bytes == path.stat().st_size == sum(found.size_by_part.values())
    assert min(found.size_by_part.values()) >= 0
    assert found.size_by_part["metadata"] > 300
    assert json.loads(json.dumps(found.to_dict()))["format"] == "onnx"
    assert [t.name for t in (*found.inputs, *found.outputs)] == ["image", "scores"]
    assert found.inputs[0].shape == (1, 32, 32, 3)
    assert found.opset == "ai.onnx 15"


def test_compute_types(files: Path) -> None:
    floats = TARGET.inspect(files / "onnx-float32.onnx")
    assert count(floats, "Conv", "float32") == 19
    assert count(TARGET.inspect(files / "onnx-float16.onnx"), "Conv", "float16") == 19
    assert count(TARGET.inspect(files / "onnx-dynamic.onnx"), "ConvInteger", "hybrid") == 19
    int8 = TARGET.inspect(files / "onnx-int8.onnx")
    for name, number in (("Conv", 19), ("Add", 3), ("Gemm", 1), ("GlobalAveragePool", 1)):
        assert count(int8, name, "int8") == count(int8, name) == number
    assert count(int8, "DequantizeLinear", "int32") == 20
    assert floats.size_by_part["quantization"] == 0 < int8.size_by_part["quantization"]


def test_scales_of_weights_and_activations(files: Path) -> None:
    tensors = {t.name: t for t in TARGET.inspect(files / "onnx-int8.onnx").tensors}
    weight = tensors["Conv1_relu.weight.q"]
    assert (weight.dtype, weight.axis, len(weight.scale)) == ("int8", 0, weight.shape[0])
    assert weight.constant
    assert weight.size_bytes == np.prod(weight.shape)
    assert set(weight.zero_point) == {0}
    assert tensors["scores.weight.q"].axis == 0
    image = tensors["image.moved.q"]
    assert (image.dtype, image.axis, len(image.scale)) == ("uint8", None, 1)
    assert image.scale[0] == pytest.approx(2 / 255, rel=0.01)
    bias = tensors["Conv1_relu.bias.q"]
    assert bias.dtype == "int32"
    np.testing.assert_allclose(bias.scale, np.array(weight.scale) * image.scale[0], rtol=1e-5)
    assert tensors["Conv1_relu.weight.s"].scale == ()
    one = {t.name: t for t in TARGET.inspect(files / "onnx-int8-per-tensor.onnx").tensors}
    assert (one["Conv1_relu.weight.q"].axis, len(one["Conv1_relu.weight.q"].scale)) == (None, 1)


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"PK\x03\x04 no model", b"\x08\x08"])
def test_no_onnx_model(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    for read in (TARGET.inspect, TARGET.read_card):
        with pytest.raises(InvalidInputError, match="complete ONNX model"):
            read(path)
    with pytest.raises(InvalidInputError):
        TARGET.inspect(tmp_path / "missing.onnx")


@pytest.mark.parametrize("part", [0.01, 0.3, 0.6, 0.9, 0.999])
def test_truncated(part: float, files: Path, tmp_path: Path) -> None:
    content = (files / "onnx-int8.onnx").read_bytes()
    path = tmp_path / "net.onnx"
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(InvalidInputError):
        TARGET.inspect(path)


@pytest.mark.parametrize("name", ["onnx-int8", "onnx-dynamic"])
def test_flipped_bits_give_a_result_or_one_sentence(name: str, files: Path, tmp_path: Path) -> None:
    content = (files / f"{name}.onnx").read_bytes()
    rng = np.random.default_rng(2)
    # Damage to the stored weights goes unnoticed; what matters is the structure around them.
    places = np.concatenate(
        [rng.integers(0, 40_000, 100), rng.integers(len(content) - 2_000, len(content), 50)]
    )
    path, refused = tmp_path / "net.onnx", []
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        for read in (TARGET.inspect, TARGET.read_card):
            try:
                read(path)
            except InvalidInputError as error:
                refused.append(str(error))
    assert 10 < len(refused) < 290
    assert all(message.endswith(".") for message in refused)


def foreign(path, **metadata):
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    values = [onnx.helper.make_tensor_value_info(n, 1, ["n", 3]) for n in "xy"]
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", values[:1], values[1:]))
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


def test_shapes_that_contradict_each_other(tmp_path: Path) -> None:
    path = foreign(tmp_path / "net.onnx")
    model = onnx.load(path)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros((2, 3, 4)), "x"))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InvalidInputError, match="InferenceError"):
        TARGET.inspect(path)


def test_a_foreign_file_has_no_card(tmp_path: Path) -> None:
    path = foreign(tmp_path / "net.onnx", author="someone")
    assert TARGET.read_card(path) is None
    found = TARGET.inspect(path)
    assert [(o.name, o.compute, o.count) for o in found.operators] == [("Relu", "float32", 1)]
    assert found.inputs[0].shape == (None, 3)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"preprocessing":{"size":[8,8]},"recipe":{"name":"no-such"}}', "5"],
)
def test_a_damaged_card(text: str, tmp_path: Path) -> None:
    path = foreign(tmp_path / "net.onnx", **{CARD_KEY: text})
    with pytest.raises(InvalidInputError, match="metadata entry"):
        TARGET.read_card(path)


def test_the_card_names_the_recipe(files: Path) -> None:
    card = TARGET.read_card(files / "onnx-int8.onnx")
    assert card is not None
    assert card.recipe == recipe("onnx-int8").with_effort(Optimization.FAST)
