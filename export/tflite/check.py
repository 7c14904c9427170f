"""Checks that a written .tflite file is what its recipe asks for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.errors import InvalidInputError, UnsupportedError
from network.inspection import TensorInfo
from network.operators import traits_of
from network.tflite.four_bits import INT4
from network.tflite.reader import (
    DEQUANTIZE,
    QUANTIZE,
    FlatModel,
    GraphOperator,
    Subgraph,
    read_flat_model,
)
from quantize.plans.narrow import NARROW_VERSIONS
from quantize.recipes import Recipe
from quantize.settings import Granularity, Precision

if TYPE_CHECKING:
    import numpy as np

    from network.affine import QuantParams

DYNAMIC_MIN_ELEMENTS = 1024
"""Number of weights below which a tensor stays float in dynamic range quantization."""

FLOAT32_TOLERANCE = 1e-2
"""Largest relative L2 distance between a float32 file and its model: far above the rounding of
another summation order, far below what lost weights do."""

_ACTIVATIONS = {Precision.INT8: "int8", Precision.INT4: "int8", Precision.INT16X8: "int16"}
_WEIGHTS = {
    Precision.FLOAT32: "float32",
    Precision.FLOAT16: "float16",
    Precision.DYNAMIC: "int8",
    Precision.WEIGHT_INT8: "int8",
    Precision.INT8: "int8",
    Precision.INT4: "int8",
    Precision.INT16X8: "int8",
}
_CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}


Kinds = Mapping[tuple[str, str], int]
"""Number of operators by the type that they compute in and their name."""


def check_file(path: Path, recipe: Recipe, others: Kinds | None = None) -> None:
    """Check types, scales and shapes in a written file.

    Args:
        path: path of the file.
        recipe: recipe that it was written with.
        others: operators that a plan has in other types than the recipe's; the file must have
            these, with a change of type around them, and no others.

    Raises:
        UnsupportedError: an operator, a weight tensor, the input or the output has another type
            than the recipe asks for, or the shapes are not static with a batch of one; names them.
        InvalidInputError: a scale that is not a finite number above zero.
    """
    model = read_flat_model(path)
    _check_scales(model)
    _check_ends(model.subgraphs[0], recipe)
    planned = _planned(model, others or {})
    faults = Counter(
        fault
        for graph, exempt in zip(model.subgraphs, planned, strict=True)
        for fault in _faults(graph, recipe, exempt)
    )
    found = {Precision.DYNAMIC: _has_hybrid, Precision.WEIGHT_INT8: _has_integers}
    if recipe.precision is Precision.INT4 and not _has_four_bits(model):
        faults["no weight in 4 bits"] += 1
    if not faults and not found.get(recipe.precision, bool)(model):
        faults.update(
            f"{operator.name} with fewer than {DYNAMIC_MIN_ELEMENTS} weights"
            for graph in model.subgraphs
            for operator in graph.operators
            if traits_of(operator.name).weighted
        )
    if faults:
        raise UnsupportedError(
            f"the converter can write every operator of the model as {recipe.name} asks",
            received=", ".join(f"{fault} ({count} times)" for fault, count in faults.items()),
            remedy="replace these layers, or choose another recipe",
        )


def check_outputs(
    path: Path, image: np.ndarray, expected: Sequence[np.ndarray], recipe: Recipe
) -> None:
    """Run a written file once, with LiteRT's plain kernels, and compare with the model.

    Args:
        path: path of the file.
        image: float32 ``[1, *shape]``.
        expected: outputs of the model for the image in the file's order, float32 ``[1, ...]``.
        recipe: recipe that the file was written with.

    Raises:
        UnsupportedError: it does not load, gives NaN, another number of outputs or another shape,
            or, without quantization, gives other outputs than the model.
    """
    outputs = _run(path, image)
    fault = next(
        (
            fault
            for output, wanted in zip(outputs, expected, strict=False)
            if (fault := _output_fault(output, wanted, recipe))
        ),
        f"{len(outputs)} outputs, not {len(expected)}" if len(outputs) != len(expected) else "",
    )
    if fault:
        raise UnsupportedError(
            "a written .tflite file computes what the model does",
            received=fault,
            remedy="look for layers that the TFLite converter does not take",
        )


def check_runs(path: Path, image: np.ndarray) -> None:
    """Run a file with post-processing once.

    Args:
        path: path of the file.
        image: float32 ``[1, *shape]``.

    Raises:
        UnsupportedError: it does not load or run, or gives numbers that are not finite.
    """
    import numpy as np

    if not all(np.isfinite(output).all() for output in _run(path, image)):
        raise UnsupportedError(
            "post-processing gives finite numbers",
            received=f"{path.name} with NaN or infinity",
            remedy="look for NaN in the weights, and at the preprocessing contract",
        )


def _output_fault(output: np.ndarray, wanted: np.ndarray, recipe: Recipe) -> str:
    """Phrase for an output that is not the model's; empty for one that is."""
    import numpy as np

    if output.shape != wanted.shape:
        return f"outputs of shape {list(output.shape)} instead of {list(wanted.shape)}"
    if not np.isfinite(output).all():
        return "outputs that are not finite"
    if recipe.precision is Precision.FLOAT32:
        distance = float(np.linalg.norm((output - wanted).ravel()))
        if distance > FLOAT32_TOLERANCE * float(np.linalg.norm(wanted.ravel())) + 1e-6:
            return f"outputs at an L2 distance of {distance:.3g} from the model's"
    return ""


def _run(path: Path, image: np.ndarray) -> list[np.ndarray]:
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    try:
        interpreter = Interpreter(
            model_path=str(path),
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            num_threads=1,
        )
        interpreter.allocate_tensors()
        source, sinks = interpreter.get_input_details()[0], interpreter.get_output_details()
        value = np.asarray(image, np.float32)
        if source["dtype"] is not np.float32:
            value = _params(source).quantize(value)
        interpreter.set_tensor(source["index"], value)
        interpreter.invoke()
    except (RuntimeError, ValueError) as error:
        raise UnsupportedError(
            "a written .tflite file runs in LiteRT",
            received=str(error).strip().partition("\n")[0],
            remedy="look for layers that the TFLite converter does not take",
        ) from error
    results = [np.asarray(interpreter.get_tensor(sink["index"])) for sink in sinks]
    return [
        result
        if result.dtype in (np.float32, np.int32)  # classes have no scale
        else _params(sink).dequantize(result)
        for result, sink in zip(results, sinks, strict=True)
    ]


def _params(details: dict[str, Any]) -> QuantParams:
    """Scale and zero point of an integer input or output of an interpreter."""
    import numpy as np

    from network.affine import IntType, QuantParams

    scale, zero_point = details["quantization"]
    return QuantParams((scale,), (zero_point,), IntType(np.dtype(details["dtype"]).name))


def _check_scales(model: FlatModel) -> None:
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if not all(math.isfinite(scale) and scale > 0 for scale in tensor.scale):
                raise InvalidInputError(
                    "every scale is a finite number above zero",
                    received=f"another one in tensor {tensor.name}",
                    remedy="look for NaN, or for values out of range, in weights and calibration",
                )


def _check_ends(graph: Subgraph, recipe: Recipe) -> None:
    ends = [graph.tensors[i] for i in (*graph.inputs, *graph.outputs)]
    wrong = [
        f"{end.name} is {end.dtype} {list(end.shape)}"
        for end in ends
        if end.dtype != recipe.io.value or None in end.shape or end.shape[:1] != (1,)
    ]
    if wrong or len(graph.inputs) != 1:
        raise UnsupportedError(
            f"a .tflite file has one input, and outputs of type {recipe.io.value} and batch 1",
            received=", ".join(wrong) or f"{len(graph.inputs)} inputs",
            remedy="export a model with one image as input and fixed output shapes",
        )


def _faults(graph: Subgraph, recipe: Recipe, exempt: frozenset[int]) -> Iterator[str]:
    """Describe what a subgraph has that the recipe does not allow.

    Args:
        graph: subgraph of the file.
        recipe: recipe that it was written with.
        exempt: indices of the operators that a plan has in other types.
    """
    stored = {
        operator.outputs[0]: operator.inputs[0]
        for operator in graph.operators
        if operator.name == DEQUANTIZE and graph.tensors[operator.inputs[0]].constant
    }
    for index, operator in enumerate(graph.operators):
        if index in exempt:
            continue
        yield from _compute_faults(graph, operator, recipe)
        if traits_of(operator.name).weighted:
            weights = graph.tensors[stored.get(operator.inputs[1], operator.inputs[1])]
            if weights.constant:
                yield from _weight_faults(operator.name, weights, recipe)
    for tensor in graph.tensors:
        if recipe.settings.granularity is Granularity.PER_TENSOR and len(tensor.scale) > 1:
            yield f"{len(tensor.scale)} scales for {tensor.name}"
        if recipe.precision is Precision.FLOAT16 and _is_float32_vector(tensor):
            yield f"constant {tensor.name} in float32"


def _planned(model: FlatModel, others: Kinds) -> list[frozenset[int]]:
    """Operators that a plan has in other types than the recipe's, and the changes of type there.

    Returns:
        For each subgraph, indices into its operators.

    Raises:
        UnsupportedError: the file has other operators in these types than the plan.
    """
    if not others:
        return [frozenset() for _ in model.subgraphs]
    types = {dtype for dtype, _ in others}
    in_other_types = [
        frozenset(
            index
            for index, operator in enumerate(graph.operators)
            if operator.name not in (QUANTIZE, DEQUANTIZE) and graph.compute(operator) in types
        )
        for graph in model.subgraphs
    ]
    counts = Counter(
        (graph.compute(graph.operators[index]), graph.operators[index].name)
        for graph, indices in zip(model.subgraphs, in_other_types, strict=True)
        for index in indices
    )
    if counts != Counter(dict(others)):
        raise UnsupportedError(
            "a .tflite file computes in float32 and int16 what its plan has there",
            received=f"{_words(counts)} where the plan has {_words(others)}",
            remedy="report this model to the project",
        )
    return [
        indices | _type_changes(graph, indices)
        for graph, indices in zip(model.subgraphs, in_other_types, strict=True)
    ]


def _type_changes(graph: Subgraph, indices: frozenset[int]) -> frozenset[int]:
    """Indices of each QUANTIZE and DEQUANTIZE that shares a tensor with one of these operators."""
    tensors = {
        tensor
        for index in indices
        for tensor in (*graph.operators[index].inputs, *graph.operators[index].outputs)
    }
    return frozenset(
        index
        for index, operator in enumerate(graph.operators)
        if operator.name in (QUANTIZE, DEQUANTIZE)
        and tensors.intersection((*operator.inputs, *operator.outputs))
    )


def _words(kinds: Kinds) -> str:
    return ", ".join(f"{n} {name} in {dtype}" for (dtype, name), n in kinds.items())


def _compute_faults(graph: Subgraph, operator: GraphOperator, recipe: Recipe) -> Iterator[str]:
    compute = graph.compute(operator)
    if recipe.precision in _ACTIVATIONS:
        if operator.name in (QUANTIZE, DEQUANTIZE):
            if not _is_end(graph, operator) and not _is_rescale(graph, operator):
                yield f"{operator.name} between operators"
        elif compute != _ACTIVATIONS[recipe.precision]:
            yield f"{operator.name} in {compute}"
        return
    allowed = ("float32", "hybrid") if recipe.precision is Precision.DYNAMIC else ("float32",)
    if traits_of(operator.name).weighted and compute not in allowed:
        yield f"{operator.name} in {compute}"


def _weight_faults(name: str, weights: TensorInfo, recipe: Recipe) -> Iterator[str]:
    too_small = _elements(weights) < DYNAMIC_MIN_ELEMENTS
    may_stay = recipe.precision in (Precision.DYNAMIC, Precision.WEIGHT_INT8)
    if may_stay and too_small and weights.dtype == "float32":
        return
    narrow = recipe.precision is Precision.INT4 and name in NARROW_VERSIONS
    if weights.dtype != _WEIGHTS[recipe.precision] and not (narrow and weights.dtype == INT4):
        yield f"{name} with {weights.dtype} weights"
    elif (
        recipe.settings.granularity is Granularity.PER_CHANNEL
        and name in _CHANNEL_AXIS
        and weights.scale
    ):
        channels = weights.shape[_CHANNEL_AXIS[name]]
        if len(weights.scale) != channels:
            yield f"{name} with {len(weights.scale)} scales for {channels} channels"


def _is_end(graph: Subgraph, operator: GraphOperator) -> bool:
    return operator.inputs[0] in graph.inputs or operator.outputs[0] in graph.outputs


def _is_rescale(graph: Subgraph, operator: GraphOperator) -> bool:
    """Whether a QUANTIZE only changes the scale of an integer tensor."""
    before, after = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    return operator.name == QUANTIZE and before.dtype == after.dtype


def _has_hybrid(model: FlatModel) -> bool:
    return any(
        graph.compute(operator) == "hybrid"
        for graph in model.subgraphs
        for operator in graph.operators
    )


def _has_integers(model: FlatModel) -> bool:
    return any(t.constant and t.dtype == "int8" for graph in model.subgraphs for t in graph.tensors)


def _has_four_bits(model: FlatModel) -> bool:
    return any(t.constant and t.dtype == INT4 for graph in model.subgraphs for t in graph.tensors)


def _is_float32_vector(tensor: TensorInfo) -> bool:
    return tensor.constant and tensor.dtype == "float32" and _elements(tensor) > 1


def _elements(tensor: TensorInfo) -> int:
    return math.prod(size or 1 for size in tensor.shape)
