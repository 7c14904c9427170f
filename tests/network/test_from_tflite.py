"""Float .tflite files of any tool as graphs: equal answers with LiteRT, or one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from calibration_data.preprocessing import Crop, Preprocessing
from foundation.errors import InvalidInputError, UnsupportedError
from network.affine import IntType, QuantParams
from network.from_keras import converted, from_keras, frozen
from network.from_tflite import constants_of, from_tflite
from network.graph import Graph
from network.tflite.canonical import object_form
from network.tflite.writer import FlatFile
from network.wrapping import as_model, wrapped_graph
from tests.models.networks import classifier
from tests.network.drawn_files import VALID, Drawing, loose_norms, of_bytes, of_pytorch


def _litert(path: Path, images: np.ndarray) -> np.ndarray:
    """Answers of LiteRT's reference kernels, image by image."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    answers = []
    for image in images:
        interpreter.set_tensor(given["index"], image[None].astype(given["dtype"]))
        interpreter.invoke()
        answers.append(interpreter.get_tensor(result["index"])[0].copy())
    return np.stack(answers)


def _answers(graph: Graph, images: np.ndarray) -> np.ndarray:
    return np.asarray(as_model(graph, "net")(images, training=False))


def _pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)


def test_loose_norms_are_folded_and_the_answers_stay(tmp_path: Path) -> None:
    path = loose_norms(tmp_path / "net.tflite")
    graph, images = from_tflite(path), _pixels(4, 8, 8, 3)
    kinds = ["CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "FULLY_CONNECTED"]
    assert [op.kind for op in graph.ops] == kinds
    assert [op.fused.value for op in graph.ops] == ["RELU6", "RELU", "RELU", "NONE", "NONE"]
    expected = _litert(path, images)
    assert np.ptp(expected, axis=0).min() > 1e-2
    np.testing.assert_allclose(_answers(graph, images), expected, atol=1e-5)


def test_channels_first_of_pytorch_become_last(tmp_path: Path) -> None:
    path = of_pytorch(tmp_path / "net.tflite")
    graph, images = from_tflite(path), _pixels(4, 8, 6, 3)
    assert graph.tensors[graph.input].shape == (1, 8, 6, 3)
    kinds = ["CONV_2D", "CONV_2D", "TRANSPOSE", "RESHAPE", "FULLY_CONNECTED"]
    assert [op.kind for op in graph.ops] == kinds
    expected = _litert(path, images.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(_answers(graph, images), expected, atol=1e-5)


def test_pixels_in_bytes_are_pixels_in_floats(tmp_path: Path) -> None:
    path = of_bytes(tmp_path / "net.tflite")
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.float32)
    found = _answers(from_tflite(path), images)
    np.testing.assert_allclose(found, _litert(path, images), atol=1e-5)


def test_a_reshape_of_the_age_of_toco_has_its_shape_in_its_options(tmp_path: Path) -> None:
    draw = Drawing()
    image = draw.file.tensor("input", (1, 2, 2, 3), "float32")
    x = draw.op("RESHAPE", [image], (1, 12), "ReshapeOptions", newShape=[1, 12])
    weight = draw.constant(draw.rng.normal(0, 1, (3, 12)))
    x = draw.op("FULLY_CONNECTED", [x, weight, -1], (1, 3), "FullyConnectedOptions")
    path = draw.saved(tmp_path / "net.tflite", image, x)
    graph, images = from_tflite(path), _pixels(2, 2, 2, 3)
    np.testing.assert_array_equal(graph.value(graph.ops[0].inputs[1]), [1, 12])
    np.testing.assert_allclose(_answers(graph, images), _litert(path, images), atol=1e-5)


def test_several_outputs_keep_their_order_and_names(tmp_path: Path) -> None:
    draw = Drawing()
    image = draw.file.tensor("input", (1, 8, 8, 3), "float32")
    x = draw.conv(image, (1, 8, 8, 4), 3)
    axes = draw.constant([1, 2], "int32")
    mean = draw.op("MEAN", [x, axes], (1, 4), "ReducerOptions", keepDims=False)
    half = draw.op("MUL", [x, draw.constant(0.5)], (1, 8, 8, 4), "MulOptions")
    draw.file.renamed(mean, "heads/class/x")
    draw.file.renamed(half, "heads/map/x")
    path = tmp_path / "net.tflite"
    path.write_bytes(draw.file.content([image], [half, mean]))
    graph = from_tflite(path)
    model = as_model(graph, "net")
    assert graph.outputs == ("map", "class")
    assert list(model.output_names) == ["map", "class"]
    assert [tuple(o.shape) for o in model.outputs] == [(None, 8, 8, 4), (None, 4)]
    found = model(_pixels(2, 8, 8, 3))
    np.testing.assert_allclose(np.mean(found[0], (1, 2)) * 2, found[1], atol=1e-5)
    contract = Preprocessing(size=(8, 8), crop=Crop.STRETCH)
    assert from_keras(model, contract) is graph


@pytest.fixture(scope="module")
def small() -> keras.Model:
    """The small classifier, once: Keras numbers the layers of a process."""
    return classifier()


@pytest.fixture(scope="module")
def float32(small: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small classifier by TensorFlow's converter."""
    path = tmp_path_factory.mktemp("float32") / "net.tflite"
    path.write_bytes(converted(frozen(small, (8, 8, 3)), "a test"))
    return path


def _equal(first: Graph, second: Graph) -> bool:
    same = first.ops == second.ops and list(first.tensors) == list(second.tensors)
    values = [(first.tensors[n].value, second.tensors[n].value) for n in first.tensors]
    return same and all(
        one is other if one is None or other is None else one.tobytes() == other.tobytes()
        for one, other in values
    )


def test_a_file_of_the_converter_is_the_graph_of_its_keras_model(
    small: keras.Model, float32: Path
) -> None:
    contract = Preprocessing(size=(8, 8), crop=Crop.STRETCH)
    graph = from_tflite(float32)
    assert _equal(graph, from_keras(small, contract))
    model = as_model(graph, "net")
    assert wrapped_graph(model) is graph
    assert from_keras(model, contract) is graph
    assert wrapped_graph(small) is None


def test_float16_weights_are_their_own_values(
    small: keras.Model, float32: Path, tmp_path: Path
) -> None:
    import tensorflow as tf

    def halve(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]

    path = tmp_path / "half.tflite"
    path.write_bytes(converted(frozen(small, (8, 8, 3)), "a test", halve))
    graph, whole = from_tflite(path), from_tflite(float32)
    assert [op.kind for op in graph.ops] == [op.kind for op in whole.ops]
    for op, other in zip(graph.weighted, whole.weighted, strict=True):
        halved = whole.weight(other).astype(np.float16)
        np.testing.assert_array_equal(graph.weight(op), halved.astype(np.float32))


def test_a_free_batch_a_second_signature_and_metadata_are_no_obstacle(
    float32: Path, tmp_path: Path
) -> None:
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = object_form(float32.read_bytes())
    main = model.subgraphs[0]
    main.tensors[main.inputs[0]].shapeSignature = [-1, 8, 8, 3]
    second = {"tensors": main.tensors, "inputs": main.inputs, "outputs": main.inputs}
    model.subgraphs.append(schema.SubGraphT(**second, operators=[], name=b"second"))
    model.buffers.append(schema.BufferT(data=np.frombuffer(b"anything", np.uint8)))
    model.metadata = [schema.MetadataT(name=b"TFLITE_METADATA", buffer=len(model.buffers) - 1)]
    path = tmp_path / "more.tflite"
    path.write_bytes(flatbuffer_utils.convert_object_to_bytearray(model) + b"PK: a zip of labels")
    assert _equal(from_tflite(path), from_tflite(float32))


def test_names_that_lists_of_names_could_not_hold_are_mended(float32: Path, tmp_path: Path) -> None:
    from ai_edge_litert.tools import flatbuffer_utils

    model = object_form(float32.read_bytes())
    for number, tensor in enumerate(model.subgraphs[0].tensors):
        tensor.name = f"jit(f)/a, b.{number}\n{'x' * 300}".encode()
    path = tmp_path / "odd.tflite"
    path.write_bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    names = [op.name for op in from_tflite(path).ops]
    assert len(set(names)) == len(names)
    assert all(len(name) < 80 and not set(name) & set(", .\n") for name in names)


def _int8_weights(tensor: Any) -> None:
    from ai_edge_litert import schema_py_generated as schema

    tensor.type, tensor.name = 9, b"stem/weights"
    tensor.quantization = schema.QuantizationParametersT(scale=[0.1], zeroPoint=[0])


def _changed(path: Path, target: Path, change: Callable[[Any], None]) -> Path:
    from ai_edge_litert.tools import flatbuffer_utils

    model = object_form(path.read_bytes())
    change(model.subgraphs[0])
    target.write_bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    return target


def _batch_of_eight(graph: Any) -> None:
    graph.tensors[graph.inputs[0]].shape = [8, 8, 8, 3]


def _free_size(graph: Any) -> None:
    graph.tensors[graph.inputs[0]].shapeSignature = [1, -1, -1, 3]


def _two_inputs(graph: Any) -> None:
    graph.inputs = [*graph.inputs, graph.operators[0].inputs[1]]


def _other_shape(graph: Any) -> None:
    graph.tensors[graph.operators[0].outputs[0]].shape = [1, 7, 7, 5]


def _backwards(graph: Any) -> None:
    graph.operators = graph.operators[::-1]


def _weights_cut(graph: Any) -> None:
    graph.tensors[graph.operators[0].inputs[1]].shape = [5, 3, 3, 4]


def _quantized(graph: Any) -> None:
    _int8_weights(graph.tensors[graph.operators[0].inputs[1]])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_batch_of_eight, r"\[8, 8, 8, 3\]: convert the model again with a batch of one"),
        (_free_size, r"\[1, -1, -1, 3\]: convert the model again"),
        (_two_inputs, "2 inputs"),
        (_other_shape, "stated as"),
        (_backwards, "which nothing computes"),
        (_weights_cut, "whole FlatBuffer"),
        (_quantized, "stem/weights in int8: give the float file .* --weights"),
    ],
)
def test_what_is_no_float_network_of_one_image_is_one_sentence(
    float32: Path, tmp_path: Path, change: Callable[[Any], None], said: str
) -> None:
    path = _changed(float32, tmp_path / "changed.tflite", change)
    with pytest.raises(InvalidInputError, match=said):
        from_tflite(path)


def test_operators_that_are_not_computed_here_are_named(tmp_path: Path) -> None:
    draw = Drawing()
    image = draw.file.tensor("image", (1, 8, 8, 3), "float32")
    x = draw.conv(image, (1, 8, 8, 2), 3)
    x = draw.op("CUMSUM", [x, draw.constant(1, "int32")], (1, 8, 8, 2), "CumsumOptions")
    path = draw.saved(tmp_path / "net.tflite", image, x)
    with pytest.raises(UnsupportedError, match="CUMSUM"):
        from_tflite(path)


def test_weights_are_finite(tmp_path: Path) -> None:
    draw = Drawing()
    image = draw.file.tensor("image", (1, 8, 8, 3), "float32")
    x = draw.op("MUL", [image, draw.constant([1, np.nan, 1])], (1, 8, 8, 3), "MulOptions")
    path = draw.saved(tmp_path / "net.tflite", image, x)
    with pytest.raises(InvalidInputError, match="NaN or Inf"):
        from_tflite(path)


def test_constants_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    draw = Drawing()
    image = draw.file.tensor("image", (1, 8, 8, 3), "float32")
    wide = draw.constant([30_000, 30_000], "int32")
    filled = draw.op("FILL", [wide, draw.constant(1.0)], (30_000, 30_000), "FillOptions")
    x = draw.op("MUL", [image, filled], (1, 8, 8, 3), "MulOptions")
    path = draw.saved(tmp_path / "net.tflite", image, x)
    with pytest.raises(InvalidInputError, match="900,000,000 elements"):
        from_tflite(path)


@pytest.mark.parametrize("dtype", [IntType.INT8, IntType.UINT8])
@pytest.mark.parametrize("channels", [1, 4])
def test_integer_weights_are_read_with_their_scales(
    tmp_path: Path, dtype: IntType, channels: int
) -> None:
    """A convolution between QUANTIZE and DEQUANTIZE, per tensor or per channel."""
    rng, file = np.random.default_rng(0), FlatFile()
    zero = 7 if dtype is IntType.UINT8 else 0
    scale = tuple(float(s) for s in rng.uniform(0.01, 0.1, channels))
    params = QuantParams(scale, (zero,) * channels, dtype, None if channels == 1 else 0)
    low = dtype.limits[0]
    weight = rng.integers(low + 1, low + 255, (4, 1, 1, 3)).astype(dtype.value)
    bias = rng.integers(-1000, 1000, 4).astype(np.int32)
    activation = QuantParams((0.5,), (zero,), dtype)
    image = file.tensor("image", (1, 2, 2, 3), "float32")
    inner = file.tensor("image_int8", (1, 2, 2, 3), dtype.value, activation)
    stored = [
        file.tensor("w", weight.shape, dtype.value, params, weight),
        file.tensor("b", bias.shape, "int32", activation, bias),
    ]
    result = file.tensor("conv", (1, 2, 2, 4), dtype.value, activation)
    file.operator("QUANTIZE", 1, [image], [inner])
    file.operator("CONV_2D", 3, [inner, *stored], [result], "Conv2DOptions",
                  {"padding": VALID, "strideW": 1, "strideH": 1})  # fmt: skip
    path = tmp_path / "net.tflite"
    path.write_bytes(file.content([image], [result]))
    (conv,) = constants_of(path).ops
    graph = constants_of(path)
    spread = np.reshape(scale, (-1, 1, 1, 1))
    np.testing.assert_allclose(graph.weight(conv), (weight.astype(int) - zero) * spread, rtol=1e-6)
    np.testing.assert_allclose(graph.bias(conv), (bias - zero) * 0.5, rtol=1e-6)
