"""The export target ``onnx``: float32, float16, dynamic and static int8 files for ONNX Runtime."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from export.onnx.check import FloatNames, check_graph
from export.onnx.float_render import check_equal, render_float, require_one_tensor
from export.onnx.graph import BATCH_NAME, OnnxGraph, from_model, to_model
from export.onnx.inspect import inspect, load, read_card
from export.onnx.postprocess import postprocessed
from export.onnx.quantize import dynamic_int8, static_int8, to_float16
from export.onnx.render import computed_in_float, render, require_writable
from export.onnx.runtime import run_outputs
from export.target import CARD_KEY, ArtifactCard, ExportRequest, ExportTarget, random_inputs
from foundation.errors import InvalidInputError, UnsupportedError
from network.graph import Graph
from quantize.islands import NO_KERNEL
from quantize.plans.plan import PlannedNetwork
from quantize.recipes import Recipe
from quantize.settings import BatchAxis, IoType, Postprocess, Precision, WeightRange

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import onnx

SATURATION_KEY = "edgequant.x86_without_vnni"
SATURATION_SAFE = "safe"
SATURATION_NOTE = "set session.x64quantprecision=1, or lose accuracy to 16-bit saturation"


def write(request: ExportRequest, path: Path) -> None:
    """Write an ONNX file and check that it is what the recipe says.

    The input is ``image``, float32, ``[batch, *shape]`` with the contract's shape, or
    ``[batch, channels, height, width]``; a single output is ``scores``, several have the model's
    names (``foundation.ends``). Outputs are float32 with the axes of the model, maps channels last,
    whatever the layout.

    Args:
        request: model, recipe and calibration images.
        path: path of the file to write.

    Raises:
        UnsupportedError: integer input and output, int16 activations, or a model with a layer
            that the recipe or ONNX has no form for.
        InvalidInputError: a model or calibration set that breaks a rule, NaN included.
        OSError: the path cannot be written.
    """
    recipe = request.recipe
    _refuse_unsupported(recipe)
    graph = _graph(request)
    batch: int | str = 1 if recipe.batch is BatchAxis.ONE else BATCH_NAME
    graph.input = (graph.input[0], (batch, *graph.input[1][1:]))
    graph.outputs = tuple((name, (batch, *sizes[1:])) for name, sizes in graph.outputs)
    _write_model(to_model(graph), request, path)
    _check_file(path, request)
    if recipe.postprocess is not Postprocess.NONE:
        longer = postprocessed(graph, recipe.postprocess, request.preprocessing)
        _write_model(to_model(longer), request, path)
        _check_outputs(_valid(path), request)


def _graph(request: ExportRequest) -> OnnxGraph:
    """The network in the number types of the recipe."""
    recipe = request.recipe
    if request.planned is not None:
        return _planned_graph(request.planned, recipe)
    graph = _float_graph(request)
    if recipe.precision is Precision.INT8:
        return static_int8(graph, recipe, request.calibration)
    if recipe.precision is Precision.DYNAMIC:
        return dynamic_int8(graph, recipe)
    return to_float16(graph) if recipe.precision is Precision.FLOAT16 else graph


def _planned_graph(planned: PlannedNetwork, recipe: Recipe) -> OnnxGraph:
    """The network in the numbers of a plan."""
    if planned.plan.settings.floating is None:
        return render(planned.graph, planned.plan, recipe.layout)
    constants = planned.plan.constants
    values = {name: constant.to_float() for name, constant in constants.items()}
    graph = render_float(planned.graph.with_values(values), recipe.layout)
    if recipe.precision is Precision.FLOAT16:
        return to_float16(graph)
    return dynamic_int8(graph, recipe, {name: constants[name].params for name in constants})


def _float_graph(request: ExportRequest) -> OnnxGraph:
    """The network in float32, after a check that it computes what the model does."""
    from network.from_keras import from_keras

    require_one_tensor(request.model)
    make = request.graph or (lambda: from_keras(request.model, request.preprocessing))
    graph = render_float(make(), request.recipe.layout)
    pixels = request.preprocessing.feeds_pixels
    check_equal(graph, request.recipe.layout, request.model, pixels=pixels)
    return graph


def _refuse_unsupported(recipe: Recipe) -> None:
    if recipe.io is not IoType.FLOAT32:
        raise UnsupportedError(
            "an ONNX file takes and gives float32, since its quantizers are operators of the graph",
            received=f"--io {recipe.io.value}",
            remedy="use --io float32, or a tflite recipe",
        )
    if recipe.precision is Precision.INT16X8:
        raise UnsupportedError(
            "ONNX Runtime has no integer kernels for int16 activations on the CPU",
            received=recipe.precision.value,
            remedy="use onnx-int8, or the recipe tflite-int16x8",
        )


def _write_model(model: onnx.ModelProto, request: ExportRequest, path: Path) -> None:
    """Add card and labels, and write the bytes; the same bytes in each run."""
    card = ArtifactCard(request.preprocessing, request.recipe)
    entries = {
        CARD_KEY: json.dumps(card.to_dict(), sort_keys=True, separators=(",", ":")),
        "labels": "\n".join(request.preprocessing.labels),
        SATURATION_KEY: _saturation(request.recipe),
    }
    for key, value in sorted(entries.items()):
        if value:
            model.metadata_props.add(key=key, value=value)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _saturation(recipe: Recipe) -> str:
    """Note on saturation on x86 cores with AVX2 and without VNNI; empty for float files."""
    if recipe.precision is Precision.INT8 and recipe.settings.weight_range is WeightRange.FULL:
        return SATURATION_NOTE
    return SATURATION_SAFE if recipe.precision in (Precision.INT8, Precision.DYNAMIC) else ""


def _check_file(path: Path, request: ExportRequest) -> None:
    """Read the file, and refuse one that is not valid, not as the recipe says or not finite."""
    model = _valid(path)
    check_graph(from_model(model), request.recipe, _in_float(request))
    _check_outputs(model, request)


def _valid(path: Path) -> onnx.ModelProto:
    """The file as a model, checked by ONNX's rules."""
    from onnx import checker

    model = load(path)
    try:
        checker.check_model(model, full_check=True)
    except checker.ValidationError as error:
        raise UnsupportedError(
            "the written file must be valid ONNX",
            received=str(error).strip().splitlines()[0][:200],
            remedy="report this model to the project",
        ) from error
    return model


def _check_outputs(model: onnx.ModelProto, request: ExportRequest) -> None:
    """Run a sample, and refuse outputs of other shapes or that are not finite."""
    import numpy as np

    graph = from_model(model)
    outputs = run_outputs(model, _sample(request), request.recipe.layout)
    fits = [
        values.shape[1:] == sizes[1:] and np.isfinite(values).all()
        for values, (_, sizes) in zip(outputs, graph.outputs, strict=True)
    ]
    if not all(fits):
        raise InvalidInputError(
            "the outputs of a written file are finite numbers",
            received=f"NaN or infinity in the {graph.output_names[fits.index(False)]} of a sample",
            remedy="check the weights, or use a float32 recipe",
        )


def _in_float(request: ExportRequest) -> FloatNames:
    """Names of the operators that a planned file computes in float."""
    if request.planned is None:
        return FloatNames()
    if request.planned.plan.settings.floating is not None:
        return FloatNames()
    planned = frozenset(request.planned.plan.settings.float_ops)
    written = computed_in_float(request.planned.graph, request.recipe.layout)
    return FloatNames(planned, frozenset(written) - planned)


def _sample(request: ExportRequest) -> np.ndarray:
    """Up to 7 images: of the calibration set, or random pixels in the contract's range."""
    if request.calibration is not None:
        return next(iter(request.calibration()))[:7]
    return random_inputs(request.preprocessing, 7, request.seed)


def _require_writable(graph: Graph, recipe: Recipe) -> None:
    if recipe.planned and recipe.settings.floating is None:
        require_writable(graph, recipe.layout)
    else:
        render_float(graph, recipe.layout)


def _computed_in_float(graph: Graph, recipe: Recipe) -> dict[str, str]:
    if not recipe.planned:  # ONNX Runtime's quantizer leaves what it does not know in float
        return {}
    return dict.fromkeys(computed_in_float(graph, recipe.layout), NO_KERNEL)


TARGET = ExportTarget(
    name="onnx",
    suffix=".onnx",
    write=write,
    inspect=inspect,
    read_card=read_card,
    packages=("onnx", "onnxruntime", "keras", "tensorflow", "ai-edge-litert", "numpy"),
    require_writable=_require_writable,
    in_float=_computed_in_float,
)
