"""Bytes of the files that a network would become, before one is made.

Int8 files are written with random integers: their number and types do not depend on calibration.
Of TensorFlow's converter, the float32 file is at hand; its others differ from that in the types of
constants.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

import numpy as np

from calibration_data.preprocessing import Preprocessing
from export.onnx.float_render import render_float
from export.onnx.graph import OnnxGraph, to_model
from export.onnx.quantize import dynamic_int8, to_float16
from export.onnx.render import render as render_onnx
from export.target import ArtifactCard
from export.tflite.check import DYNAMIC_MIN_ELEMENTS
from export.tflite.floating import FloatingWriting
from export.tflite.metadata import finish
from export.tflite.render import render as render_tflite
from foundation.errors import UnsupportedError
from network.graph import Graph, Op
from network.operators import OpKind
from quantize.islands import with_islands
from quantize.plans.blank import blank_plan
from quantize.recipes import Recipe
from quantize.settings import Precision

_CONVERTED_CONSTANT = 124
"""Bytes that a constant in half precision costs beside its numbers: a tensor and a DEQUANTIZE."""

_SCALE = 4
"""Bytes of a scale. The converter stores equal vectors of zero points (int64) once."""

_QUANTIZED = 40
"""Bytes of the table with the scales of a tensor, without these."""


def expected_bytes(graph: Graph, converted: bytes, contract: Preprocessing, recipe: Recipe) -> int:
    """Size of the file of a recipe.

    Args:
        graph: canonical.
        converted: float32 .tflite of the network, by TensorFlow's converter, without a card.
        contract: preprocessing that is written into the file.
        recipe: recipe of the file.

    Raises:
        UnsupportedError: an operator without a form in the file; names it.
    """
    if recipe.target == "onnx":
        return _onnx_bytes(graph, contract, recipe)
    write = _planned if recipe.planned else _TFLITE[recipe.precision]
    content = write(graph, converted, recipe)
    whole = content if isinstance(content, bytes) else converted
    card = ArtifactCard(contract, with_islands(recipe, graph) if recipe.plans_integers else recipe)
    size = len(finish(whole, card, graph.outputs))
    return size + (0 if isinstance(content, bytes) else content)


def _planned(graph: Graph, _: bytes, recipe: Recipe) -> bytes:
    if recipe.settings.floating is not None:
        plan = blank_plan(graph, recipe.settings)
        return FloatingWriting(graph, plan).content(recipe.io)
    plan = blank_plan(graph, with_islands(recipe, graph).settings)
    return render_tflite(graph, plan, recipe.io)


def _float32(_: Graph, converted: bytes, __: Recipe) -> bytes:
    return converted


def _float16(graph: Graph, _: bytes, __: Recipe) -> int:
    """Difference from the float32 file."""
    stored = [t.value for t in graph.tensors.values() if t.value is not None]
    halved = [value for value in stored if value.dtype == np.float32 and value.size > 1]
    return sum(_CONVERTED_CONSTANT - 2 * value.size for value in halved)


def _dynamic(graph: Graph, _: bytes, __: Recipe) -> int:
    """Difference from the float32 file; small weights stay as they are."""
    large = [op for op in graph.weighted if graph.weight(op).size >= DYNAMIC_MIN_ELEMENTS]
    if not large:
        raise UnsupportedError(
            f"dynamic files have weights of at least {DYNAMIC_MIN_ELEMENTS} numbers",
            received="smaller ones alone",
            remedy="use another recipe",
        )
    return _with_scales(graph, large) - sum(3 * graph.weight(op).size for op in large)


def _int16x8(graph: Graph, _: bytes, __: Recipe) -> int:
    """Difference from the float32 file: int8 weights, int64 biases, scales of everything."""
    numbers = sum(4 * graph.bias(op).size - 3 * graph.weight(op).size for op in graph.weighted)
    biases = sum(_QUANTIZED + _SCALE * _scales(graph, op) for op in graph.weighted)
    activations = len(graph.activations) * (_QUANTIZED + _SCALE)
    return _with_scales(graph, graph.weighted) + numbers + biases + activations


def _with_scales(graph: Graph, ops: Iterable[Op]) -> int:
    """Bytes of the scales and zero points of these operators' weights."""
    counts = [_scales(graph, op) for op in ops]
    return sum(_QUANTIZED + _SCALE * count for count in counts) + 8 * sum({1, *counts})


def _scales(graph: Graph, op: Op) -> int:
    return 1 if op.kind == OpKind.DENSE else graph.weight(op).shape[op.channel_axis]


_TFLITE: dict[Precision, Callable[[Graph, bytes, Recipe], bytes | int]] = {
    Precision.FLOAT32: _float32,
    Precision.FLOAT16: _float16,
    Precision.DYNAMIC: _dynamic,
    Precision.INT16X8: _int16x8,
}


def _onnx_bytes(graph: Graph, contract: Preprocessing, recipe: Recipe) -> int:
    written = _onnx_graph(graph, recipe)
    card = ArtifactCard(contract, with_islands(recipe, graph) if recipe.plans_integers else recipe)
    stored = json.dumps(card.to_dict(), sort_keys=True, separators=(",", ":"))
    labels = "\n".join(contract.labels)
    content = to_model(written).SerializeToString(deterministic=True)
    return len(content) + len(stored.encode()) + len(labels.encode())


def _onnx_graph(graph: Graph, recipe: Recipe) -> OnnxGraph:
    if recipe.precision is Precision.INT8:
        plan = blank_plan(graph, with_islands(recipe, graph).settings)
        return render_onnx(graph, plan, recipe.layout)
    written = render_float(graph, recipe.layout)
    if recipe.precision is Precision.DYNAMIC:
        return dynamic_int8(written, recipe)
    return to_float16(written) if recipe.precision is Precision.FLOAT16 else written
