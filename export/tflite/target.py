"""TFLite files, written by TensorFlow's converter and checked afterwards.

The model is traced with a batch of one and frozen before the converter sees it: a free batch makes
files that phones and microcontrollers refuse, and functions that still hold variables lose their
weights without a message. Dense layers get one scale per weight tensor in every recipe, as the
TFLite quantization specification says (per axis: CONV_2D and DEPTHWISE_CONV_2D only,
https://ai.google.dev/edge/litert/models/quantization_spec). The converter would give them one scale
per channel under an unchanged operator version, which TFLite Micro from before September 2024 runs
with wrong numbers (tflite-micro pull 2602) and NNAPI refuses (LiteRT issue 3596).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.target import ArtifactCard, ExportRequest, ExportTarget, random_inputs
from export.tflite.check import check_file, check_outputs, check_runs
from export.tflite.floating import FloatingWriting
from export.tflite.inspect import inspect
from export.tflite.islands import counted, found_in_float, left_in_float, needs_plan
from export.tflite.metadata import finish, read_card
from export.tflite.postprocess import add_postprocess
from export.tflite.render import render
from foundation.errors import InvalidInputError, UnsupportedError
from network.from_keras import converted, frozen, names_of_outputs
from network.graph import Graph
from network.run_litert import network_of
from quantize.islands import check_share
from quantize.recipes import Recipe
from quantize.settings import (
    INT8_ACTIVATIONS,
    BatchAxis,
    Granularity,
    Layout,
    Postprocess,
    Precision,
)

if TYPE_CHECKING:
    import numpy as np


def write(request: ExportRequest, path: Path) -> None:
    """Write a .tflite file with a static batch of one, and check it.

    Args:
        request: model, calibration images and a recipe of the target ``tflite``.
        path: path of the file to write; the caller discards it when this raises.

    Raises:
        UnsupportedError: the model cannot be written as the recipe says; names the obstacle.
        InvalidInputError: calibration data, or a model, with values or shapes that break a rule.
    """
    recipe = request.recipe
    _refuse_other_formats(recipe)
    if recipe.precision is Precision.WEIGHT_INT8 and request.planned is None:
        raise InvalidInputError(
            f"{recipe.name} is written from a plan, since TensorFlow's converter has no such file",
            received="none",
            remedy="make one with quantize.engine.make_plan",
        )
    image = _sample(request)
    float_too = request.planned is None and _leaves_floats(request)
    if request.planned is None:
        function = frozen(request.model, request.preprocessing.shape)
        expected, outputs = _expected(function, image), names_of_outputs(request.model, function)
        content = converted(
            function,
            request.recipe.name,
            lambda converter: _configure(converter, request, float_too=float_too),
        )
    else:  # the graph is from a trace already; another takes longer than the model on one image
        expected = _answers(request, request.planned.graph, image)
        outputs = request.planned.graph.outputs
        planned = request.planned
        content = (
            render(planned.graph, planned.plan, recipe.io)
            if planned.plan.settings.floating is None
            else FloatingWriting(planned.graph, planned.plan).content(recipe.io)
        )
    path.write_bytes(finish(content, ArtifactCard(request.preprocessing, recipe), outputs))
    if float_too:
        check_share(found_in_float(path), request.most_float, (), recipe.name)
    check_file(path, recipe, counted(path) if float_too else _other_kinds(request))
    check_outputs(path, image, expected, recipe)
    if recipe.postprocess is not Postprocess.NONE:
        add_postprocess(path, recipe.postprocess, request.preprocessing, outputs)
        check_runs(path, image)


def _refuse_other_formats(recipe: Recipe) -> None:
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
    """Number of operators that the plan has in other types than the recipe's, by type and kind."""
    if request.planned is None:
        return Counter()
    plan, graph = request.planned.plan, request.planned.graph
    types = {
        op.name: next((graph.tensors[n].dtype for n in op.inputs if n in computed), "float32")
        for computed in [{graph.input, *graph.producers}]
        for op in graph.ops
        if op.name in plan.settings.float_ops
    }
    if request.recipe.precision in INT8_ACTIVATIONS:
        types |= dict.fromkeys(plan.settings.wide_ops, "int16")
    return Counter((types[op.name], str(op.kind)) for op in graph.ops if op.name in types)


def _leaves_floats(request: ExportRequest) -> bool:
    """Whether the converter is allowed to leave operators in float in a quantized file."""
    return request.graph is not None and bool(left_in_float(request.graph(), request.recipe))


def _configure(converter: Any, request: ExportRequest, *, float_too: bool) -> None:
    """Set TensorFlow's converter up for a recipe that has no plan."""
    import tensorflow as tf

    recipe = request.recipe
    converter._experimental_disable_per_channel = (
        recipe.settings.granularity is Granularity.PER_TENSOR
    )
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
    if float_too:
        converter.target_spec.supported_ops.append(tf.lite.OpsSet.TFLITE_BUILTINS)
    if recipe.needs_calibration:
        converter.representative_dataset = lambda: ([image] for image in _images(request))


def _images(request: ExportRequest) -> Iterator[np.ndarray]:
    """Calibration images one by one, float32 ``[1, *shape]``; refuses broken ones."""
    import numpy as np

    if request.calibration is None:
        raise InvalidInputError(
            f"{request.recipe.name} needs calibration images",
            received="none",
            remedy="give a calibration set",
        )
    count = 0
    for batch in request.calibration():
        if batch.dtype != np.float32 or batch.shape[1:] != request.preprocessing.shape:
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
    """Image to check the file with: of the calibration set, or noise in the contract's range."""
    needed = request.recipe.needs_calibration and request.planned is None
    if request.calibration is not None or needed:
        return next(_images(request))
    return random_inputs(request.preprocessing, 1, request.seed)


def _answers(request: ExportRequest, graph: Graph, image: np.ndarray) -> list[np.ndarray]:
    """Outputs of the model, or of its float graph, for one image."""
    model = request.model
    if model is not None:
        return _expected(lambda one: model(one, training=False), image)
    return _finite(network_of(graph, graph.ops, results=graph.outputs).run({graph.input: image}))


def _expected(function: Any, image: np.ndarray) -> list[np.ndarray]:
    """Outputs of the model for one image, in its order."""
    import numpy as np
    import tensorflow as tf

    return _finite([np.asarray(x) for x in tf.nest.flatten(function(tf.constant(image)))])


def _finite(outputs: list[np.ndarray]) -> list[np.ndarray]:
    """The same outputs, which a model gives.

    Raises:
        InvalidInputError: NaN or infinity among them.
    """
    import numpy as np

    if not all(np.isfinite(output).all() for output in outputs):
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
    in_float=left_in_float,
    by_converter=True,
    needs_plan=needs_plan,
    found_in_float=found_in_float,
)
