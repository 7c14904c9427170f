from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from evaluation.session import runtime_for, runtimes
from foundation.errors import InvalidInputError
from tests.evaluation.conftest import CLASSES, SIZE, random_images

RNG = np.random.default_rng(5)
KERNEL = RNG.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32)
DENSE = RNG.normal(0, 0.5, (8, CLASSES)).astype(np.float32)
FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


def write(path: Path, nodes, constants, inputs, output=("y", FLOAT, ["batch", CLASSES])) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(*row) for row in inputs],
        [helper.make_tensor_value_info(*output)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def convolutional(path: Path, shape) -> Path:
    """A model of Conv, Clip, mean and dense; it begins with a Transpose if the input is NHWC."""
    nodes = [
        helper.make_node("Conv", ["nchw", "w"], ["c"], strides=[2, 2]),
        helper.make_node("Clip", ["c", "zero", "six"], ["r"]),
        helper.make_node("ReduceMean", ["r", "axes"], ["p"], keepdims=0),
        helper.make_node("MatMul", ["p", "d"], ["y"]),
    ]
    constants = {
        "w": KERNEL,
        "d": DENSE,
        "zero": np.float32(0),
        "six": np.float32(6),
        "axes": np.array([2, 3]),
    }
    name = "nchw" if shape[1] == 3 else "nhwc"
    if name == "nhwc":
        nodes.insert(0, helper.make_node("Transpose", ["nhwc"], ["nchw"], perm=[0, 3, 1, 2]))
    return write(path, nodes, constants, [(name, FLOAT, shape)], ("y", FLOAT, [shape[0], CLASSES]))


def expected(images: np.ndarray) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), (1, 2))[:, ::2, ::2]
    features = np.einsum("bhwcij,ocij->bhwo", windows, KERNEL)
    return np.clip(features, 0, 6).mean((1, 2)) @ DENSE


def test_both_modes_are_registered_and_the_usual_one_is_the_default(tmp_path: Path) -> None:
    path = convolutional(tmp_path / "a.onnx", ["batch", 3, SIZE, SIZE])
    assert runtime_for(path).name == "onnxruntime"
    assert runtime_for(path).open(path, 2).info.kernels == "MLAS"
    info = runtimes()["onnxruntime-precise"].open(path, 2).info
    assert (info.kernels, info.threads) == ("MLAS, x64quantprecision=1", 2)
    assert info.version.startswith("1.")


@pytest.mark.parametrize("batch", ["batch", None, 1, 4])
@pytest.mark.parametrize("axes", [(3, SIZE, SIZE), (SIZE, SIZE, 3)])
def test_layouts_and_batches_give_one_answer(
    tmp_path: Path, images: np.ndarray, batch: str | int | None, axes: tuple[Any, ...]
) -> None:
    path = convolutional(tmp_path / "a.onnx", [batch, *axes])
    outputs = runtime_for(path).open(path, 1).predict(images)
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, expected(images), rtol=1e-4, atol=1e-5)


def test_half_precision_inputs_and_outputs(tmp_path: Path, images: np.ndarray) -> None:
    nodes = [helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=0)]
    path = write(
        tmp_path / "half.onnx",
        nodes,
        {"axes": np.array([1, 2])},
        [("x", HALF, [1, SIZE, SIZE, 3])],
        ("y", HALF, [1, 3]),
    )
    outputs = runtime_for(path).open(path, 1).predict(images)
    assert outputs.dtype == np.float32
    assert np.array_equal(outputs, outputs.astype(np.float16))
    np.testing.assert_allclose(outputs, images.mean((1, 2)), atol=2e-3)


def saturating(path: Path) -> Path:
    """A model with uint8 x int8 products of 255 * 127, whose pairs do not fit 16 bits."""
    constants = {
        "s": np.float32(1 / 255),
        "z": np.uint8(0),
        "sw": np.float32(1 / 127),
        "zw": np.int8(0),
        "w": np.full((SIZE * SIZE * 3, CLASSES), 127, np.int8),
        "flat": np.array([-1, SIZE * SIZE * 3]),
        "sy": np.float32(4),
    }
    nodes = [
        helper.make_node("Reshape", ["x", "flat"], ["f"]),
        helper.make_node("QuantizeLinear", ["f", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "sw", "zw"], ["dw"]),
        helper.make_node("MatMul", ["d", "dw"], ["m"]),
        helper.make_node("QuantizeLinear", ["m", "sy", "z"], ["qy"]),
        helper.make_node("DequantizeLinear", ["qy", "sy", "z"], ["y"]),
    ]
    return write(path, nodes, constants, [("x", FLOAT, ["batch", SIZE, SIZE, 3])])


def test_the_precise_mode_does_not_saturate_sums_on_any_processor(tmp_path: Path) -> None:
    path = saturating(tmp_path / "sat.onnx")
    ones = np.ones((2, SIZE, SIZE, 3), np.float32)
    outputs = runtime_for(path, "onnxruntime-precise").open(path, 1).predict(ones)
    assert np.array_equal(outputs, np.full((2, CLASSES), SIZE * SIZE * 3, np.float32))


def test_dynamic_quantization_does_not_depend_on_the_neighbours(tmp_path: Path) -> None:
    constants = {"flat": np.array([-1, SIZE * SIZE * 3]), "half": np.float32(0.5)}
    nodes = [
        helper.make_node("Reshape", ["x", "flat"], ["f"]),
        helper.make_node("DynamicQuantizeLinear", ["f"], ["q", "s", "z"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Mul", ["d", "half"], ["y"]),
    ]
    path = write(
        tmp_path / "dyn.onnx",
        nodes,
        constants,
        [("x", FLOAT, ["batch", SIZE, SIZE, 3])],
        ("y", FLOAT, ["batch", SIZE * SIZE * 3]),
    )
    session = runtime_for(path).open(path, 1)
    images = random_images(3) * np.array([0.1, 1, 10], np.float32)[:, None, None, None]
    one_by_one = np.concatenate([session.predict(images[i : i + 1]) for i in range(3)])
    assert np.array_equal(session.predict(images), one_by_one)


def test_the_timed_call_runs_the_image(tmp_path: Path, images: np.ndarray) -> None:
    path = convolutional(tmp_path / "a.onnx", ["batch", 3, SIZE, SIZE])
    call = runtime_for(path).open(path, 1).timed_call(images[:1])
    call()
    call()
    binding = call.args[0]
    np.testing.assert_allclose(
        binding.copy_outputs_to_cpu()[0], expected(images[:1]), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("content", [b"", b"junk" * 100, None])
def test_corrupt_files_are_refused_in_one_sentence(
    tmp_path: Path, content: bytes | None, capfd: pytest.CaptureFixture[str]
) -> None:
    path = convolutional(tmp_path / "broken.onnx", [1, 3, SIZE, SIZE])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(InvalidInputError, match="can load and run") as caught:
        runtime_for(path).open(path, 1)
    assert "broken.onnx" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_file_that_fails_when_it_runs_is_refused(tmp_path: Path, images: np.ndarray) -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    path = write(
        tmp_path / "reshape.onnx",
        nodes,
        {"shape": np.array([7, 7])},
        [("x", FLOAT, ["batch", SIZE, SIZE, 3])],
        ("y", FLOAT, [7, 7]),
    )
    with pytest.raises(InvalidInputError, match="can load and run"):
        runtime_for(path).open(path, 1).predict(images)


@pytest.mark.parametrize(
    ("inputs", "rule"),
    [
        ([("x", FLOAT, [1, 8, 8, 3]), ("b", FLOAT, [1])], "one input"),
        ([("x", FLOAT, [1, "h", "w", 3])], "axes of fixed sizes"),
        ([("x", FLOAT, [1, 2, 8, 8, 4])], "axes of fixed sizes"),
        ([("x", TensorProto.INT32, [1, 8, 8, 3])], "float32 or float16"),
    ],
)
def test_other_inputs_are_refused(tmp_path: Path, inputs: list[tuple[Any, ...]], rule: str) -> None:
    nodes = [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Cast", ["s"], ["y"], to=1)]
    path = write(tmp_path / "other.onnx", nodes, {}, inputs, ("y", FLOAT, [4]))
    with pytest.raises(InvalidInputError, match=rule):
        runtime_for(path).open(path, 1)
