"""TFLite files, written by TensorFlow's converter and checked afterwards.

The model is traced with a batch of one and frozen before the converter sees it: a free batch makes
files that phones and microcontrollers refuse, and functions that still hold variables lose their
weights without a word. Dense layers get one scale a weight tensor in every recipe, as the TFLite
quantization specification has it (per axis: CONV_2D and DEPTHWISE_CONV_2D only,
https://ai.google.dev/edge/litert/models/quantization_spec). The converter would give them one a
channel under an unchanged operator version, which TFLite Micro of before September 2024 runs with
wrong numbers (tflite-micro pull 2602) and NNAPI refuses (LiteRT issue 3596).
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.target import ArtifactCard, ExportRequest, ExportTarget
from export.tflite.check import check_file, check_outputs
from export.tflite.inspect import inspect
from export.tflite.metadata import INPUT_NAME, finish, read_card
from export.tflite.render import render
from foundation.errors import InvalidInputError, UnsupportedError
from network.exact_norms import exact_norms
from network.graph import Graph
from network.tflite.canonical import canonical_graph
from quantize.recipes import BatchAxis, Granularity, Layout, Precision, Recipe
from quantize.recipes import recipe as recipe_of

if TYPE_CHECKING:
    import keras
    import numpy as np

    from calibration_data.preprocessing import Preprocessing


def write(request: ExportRequest, path: Path) -> None:
    """Write a .tflite file with a static batch of one, and check it.

    Args:
        request: what to write; its recipe is one of target ``tflite``.
        path: where; the caller discards it when this raises.

    Raises:
        UnsupportedError: the recipe cannot be honoured for this model; names what stands against.
        InvalidInputError: calibration data, or a model, with values or shapes that break a rule.
    """
    recipe = request.recipe
    _refuse_what_tflite_has_not(recipe)
    image = _sample(request)
    if request.planned is None:
        function = _frozen(request)
        expected = _expected(function, image)
        content = _convert(function, request)
    else:  # its graph came from a trace already, which takes longer than the model on one image
        expected = _expected(lambda one: request.model(one, training=False), image)
        content = render(request.planned.graph, request.planned.plan, recipe.io)
    path.write_bytes(finish(content, ArtifactCard(request.preprocessing, recipe)))
    check_file(path, recipe, _other_kinds(request))
    check_outputs(path, image, expected, recipe)


def canonical(model: keras.Model, contract: Preprocessing) -> Graph:
    """The canonical float graph of a model, through a float32 file in memory.

    Args:
        model: see ``ExportRequest``.
        contract: of its input.

    Raises:
        UnsupportedError: a layer that the TFLite converter does not take.
        InvalidInputError: a model that the contract does not fit.
    """
    request = ExportRequest(model, recipe_of("tflite-float32"), contract)
    return canonical_graph(_convert(_frozen(request), request))


def _refuse_what_tflite_has_not(recipe: Recipe) -> None:
    if recipe.target != "tflite":
        raise UnsupportedError(
            "this target writes recipes of tflite",
            received=f"{recipe.name}, of {recipe.target}",
            remedy="give a recipe whose name begins with tflite",
        )
    if recipe.batch is not BatchAxis.ONE:
        raise UnsupportedError(
            "a .tflite file has a batch of one, since Android tasks, TFLite Micro and NPU compilers"
            " refuse a free axis",
            received=f"batch {recipe.batch.value}",
            remedy="use batch one, or an onnx recipe",
        )
    if recipe.layout is not Layout.NHWC:
        raise UnsupportedError(
            "a .tflite file takes NHWC, the only layout of TFLite's convolutions",
            received=f"layout {recipe.layout.value}",
            remedy="use layout nhwc, or an onnx recipe",
        )


def _other_kinds(request: ExportRequest) -> Counter[tuple[str, str]]:
    """How many operators of each kind the plan has in other types than int8."""
    if request.planned is None:
        return Counter()
    plan, ops = request.planned.plan, request.planned.graph.ops
    types = dict.fromkeys(plan.float_ops, "float32")
    types |= dict.fromkeys(plan.wide_ops, "int16")
    return Counter((types[op.name], str(op.kind)) for op in ops if op.name in types)


def _frozen(request: ExportRequest) -> Any:
    """The model as a TensorFlow function of ``[1, height, width, 3]`` without variables."""
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    return exact_norms(convert_variables_to_constants_v2(_traced(request)))


def _traced(request: ExportRequest) -> Any:
    """The model as a TensorFlow function of ``[1, height, width, 3]``."""
    import keras
    import tensorflow as tf

    if keras.config.backend() != "tensorflow":
        raise UnsupportedError(
            "TFLite files are written from Keras on TensorFlow",
            received=f"the backend {keras.config.backend()}",
            remedy="set KERAS_BACKEND=tensorflow",
        )
    height, width = request.preprocessing.size
    _check_input_shape(request.model, (height, width))

    def serve(image: tf.Tensor) -> tf.Tensor:
        outputs = tf.nest.flatten(request.model(image, training=False))
        if len(outputs) != 1:
            raise UnsupportedError(
                "an exported model has one output",
                received=f"{len(outputs)} outputs",
                remedy="build a model that ends in the one to export",
            )
        return outputs[0]

    signature = tf.TensorSpec((1, height, width, 3), tf.float32, name=INPUT_NAME)
    # Without autograph, which would rewrite the sentence of the error above.
    function = tf.function(serve, autograph=False)
    try:
        traced = function.get_concrete_function(signature)
    except (TypeError, ValueError) as error:
        raise UnsupportedError(
            f"the model takes one image, float32 [1, {height}, {width}, 3]",
            received=_essence(str(error)),
            remedy="build it with a free batch",
        ) from error
    _refuse_reduced_precision(traced)
    return traced


def _refuse_reduced_precision(function: Any) -> None:
    operations = function.graph.get_operations()
    types = {tensor.dtype.name for operation in operations for tensor in operation.outputs}
    if reduced := types & {"float16", "bfloat16"}:
        raise UnsupportedError(
            "a model to export computes in float32",
            received=f"layers in {', '.join(sorted(reduced))}",
            remedy="load its weights into a model built with the dtype policy float32",
        )


def _check_input_shape(model: Any, size: tuple[int, int]) -> None:
    inputs = getattr(model, "inputs", None)
    if inputs is None:  # a subclassed model that was never called: tracing will tell
        return
    shape = tuple(inputs[0].shape)
    fits = len(shape) == 4 and all(
        have in (None, want) for have, want in zip(shape[1:], (*size, 3), strict=True)
    )
    if len(inputs) != 1 or not fits:
        raise InvalidInputError(
            f"the model has one input [batch, {size[0]}, {size[1]}, 3], as its contract says",
            received=f"{len(inputs)} inputs, the first of shape {list(shape)}",
            remedy="correct size in the preprocessing contract, or the model",
        )


def _convert(function: Any, request: ExportRequest) -> bytes:
    """Run the converter on a frozen function."""
    import tensorflow as tf
    from tensorflow.lite.python.convert import ConverterError

    # The second argument keeps the variables of a function alive; a frozen one has none, and
    # naming it keeps the converter from a detour over a SavedModel in a temporary folder.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], function)
    _configure(converter, request.recipe)
    if request.recipe.needs_calibration:
        converter.representative_dataset = lambda: ([image] for image in _images(request))
    try:
        with warnings.catch_warnings():
            # About ranges for inputs that were fake-quantized in training, which these never are.
            warnings.filterwarnings("ignore", "Statistics for quantized inputs were expected")
            return bytes(converter.convert())
    except (ConverterError, RuntimeError, ValueError) as error:
        raise UnsupportedError(
            f"the TFLite converter takes every operator of the model in {request.recipe.name}",
            received=_essence(str(error)),
            remedy="replace these layers, or choose another recipe",
        ) from error


def _configure(converter: Any, recipe: Recipe) -> None:
    import tensorflow as tf

    # It holds versions and a hash of the content, and nothing that a runtime reads.
    converter.exclude_conversion_metadata = True
    converter._experimental_disable_per_channel = recipe.granularity is Granularity.PER_TENSOR
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    if recipe.precision is Precision.FLOAT32:
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if recipe.precision is Precision.FLOAT16:
        converter.target_spec.supported_types = [tf.float16]
    elif recipe.precision is Precision.INT8:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.as_dtype(recipe.io.value)
        converter.inference_output_type = tf.as_dtype(recipe.io.value)
    elif recipe.precision is Precision.INT16X8:
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]


def _essence(message: str) -> str:
    """The lines of a converter's message that name operators; else its first line."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    telling = [line for line in lines if "ops:" in line.lower() or "op:" in line.lower()]
    return "; ".join(dict.fromkeys(telling or lines[:1])) or "no message"


def _images(request: ExportRequest) -> Iterator[np.ndarray]:
    """Calibration images one by one, float32 ``[1, height, width, 3]``, checked."""
    import numpy as np

    if request.calibration is None:
        raise InvalidInputError(
            f"{request.recipe.name} needs calibration images",
            received="none",
            remedy="give a calibration set",
        )
    count = 0
    for batch in request.calibration():
        if batch.dtype != np.float32 or batch.shape[1:] != (*request.preprocessing.size, 3):
            raise InvalidInputError(
                "calibration gives float32 batches of the shape that the contract says",
                received=f"{batch.dtype} {list(batch.shape)}",
                remedy="apply the preprocessing contract to the images",
            )
        if not np.isfinite(batch).all():
            raise InvalidInputError(
                "calibration images hold finite numbers",
                received=f"NaN or infinity in the batch after {count} images",
                remedy="repair the data, or std in the preprocessing contract",
            )
        for image in batch:
            count += 1
            yield np.ascontiguousarray(image[None])
    if count == 0:
        raise InvalidInputError(
            f"{request.recipe.name} needs calibration images",
            received="an empty set",
            remedy="give a calibration set with images",
        )


def _sample(request: ExportRequest) -> np.ndarray:
    """One image for the check run: of the calibration set, or noise in the contract's range."""
    import numpy as np

    needed = request.recipe.needs_calibration and request.planned is None
    if request.calibration is not None or needed:
        return next(_images(request))
    low, high = request.preprocessing.value_range
    shape = (1, *request.preprocessing.size, 3)
    return np.random.default_rng(request.seed).uniform(low, high, shape).astype(np.float32)


def _expected(function: Any, image: np.ndarray) -> np.ndarray:
    import numpy as np
    import tensorflow as tf

    outputs = np.asarray(tf.nest.flatten(function(tf.constant(image)))[0])
    if not np.isfinite(outputs).all():
        raise InvalidInputError(
            "a model gives finite outputs",
            received="NaN or infinity for the first image",
            remedy="look for NaN in the weights, and at the preprocessing contract",
        )
    return outputs


TARGET = ExportTarget(
    name="tflite",
    suffix=".tflite",
    write=write,
    inspect=inspect,
    read_card=read_card,
    packages=("tensorflow", "keras", "ai-edge-litert", "flatbuffers"),
)
