"""The canonical graph as a float32 ONNX graph, from which every file without a plan is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from export.onnx.float_operators import FLOAT_WRITERS
from export.onnx.fusion import fused
from export.onnx.graph import OnnxGraph, to_model
from export.onnx.render import NO_PLAN, refuse_stray_transposes
from export.onnx.rendering import Rendering
from export.onnx.runtime import run_outputs
from foundation.errors import InvalidInputError, UnsupportedError
from network.graph import Graph

if TYPE_CHECKING:
    import keras
    import numpy as np

    from quantize.settings import Layout

TRIED = 5
"""Number of random images on which a graph is compared with the model."""

MAX_CONVERSION_ERROR = 1e-2
"""Largest difference between Keras and ONNX in float32, relative to the largest output.

Deep networks with random weights lose digits to another order of summation (MobileOne S4: 1.8e-3);
lost weights or a wrong layout change the outputs altogether.
"""


def render_float(graph: Graph, layout: Layout) -> OnnxGraph:
    """Write a network without a plan, with a free batch and the names of its layers.

    Images run channels first inside, whatever the layout of the input.

    Args:
        graph: canonical float graph.
        layout: axes of the file's input.

    Returns:
        The graph ``image [batch, *shape]`` (or ``[batch, channels, height, width]``) -> the
        outputs with the axes of the model, float32.

    Raises:
        UnsupportedError: an operator without a form in ONNX, or in this layout; names it.
    """
    written = Rendering(fused(graph), NO_PLAN).write_all(layout, FLOAT_WRITERS)
    _drop_zero_biases(written)
    _merge_transposes(written)
    refuse_stray_transposes(written, layout)
    _shorten_names(written)
    return written


def _drop_zero_biases(graph: OnnxGraph) -> None:
    """Leave out biases of zeros, which the canonical graph gives to weights without a bias."""
    for node in graph.nodes:
        if node.op_type in ("Conv", "ConvTranspose", "Gemm") and len(node.inputs) > 2:
            bias = graph.constants.get(node.inputs[2])
            if bias is not None and not bias.any():
                node.inputs = node.inputs[:2]


def _merge_transposes(graph: OnnxGraph) -> None:
    """Replace each pair of Transposes by one, and by none where the pair changes no axis."""
    producers = graph.producers()
    alias: dict[str, str] = {}
    for node in graph.nodes:
        node.inputs = [alias.get(name, name) for name in node.inputs]
        before = producers.get(node.inputs[0]) if node.op_type == "Transpose" else None
        if before is None or before.op_type != "Transpose":
            continue
        order = [before.attributes["perm"][axis] for axis in node.attributes["perm"]]
        node.inputs, node.attributes = before.inputs[:1], {"perm": order}
        if order == sorted(order) and node.outputs[0] not in graph.output_names:
            alias[node.outputs[0]] = node.inputs[0]
    graph.drop_unused()


def _shorten_names(graph: OnnxGraph) -> None:
    """Name each result after its operator; ``X.f`` is for values that a quantizer reads."""
    taken = {graph.input[0], *graph.output_names, *graph.constants}
    taken.update(name for node in graph.nodes for name in node.outputs)
    short: dict[str, str] = {}
    for node in graph.nodes:
        for name in node.outputs:
            wanted = name.removesuffix(".f")
            if wanted != name and wanted not in taken:
                short[name] = wanted
                taken.add(wanted)
    for node in graph.nodes:
        node.inputs = [short.get(name, name) for name in node.inputs]
        node.outputs = [short.get(name, name) for name in node.outputs]


def require_one_tensor(model: keras.Model) -> None:
    """Refuse a model that does not have the input and output of an ONNX file.

    Raises:
        InvalidInputError: other inputs than one tensor of fixed sizes, or outputs with free sizes.
    """
    inputs, outputs = list(model.inputs), list(model.outputs)
    shapes = [tuple(t.shape) for t in [*inputs, *outputs]]
    fits = (
        len(inputs) == 1
        and 2 <= len(shapes[0]) <= 4
        and not any(None in shape[1:] for shape in shapes)
    )
    if not fits:
        raise InvalidInputError(
            "an ONNX export takes a model with one input of fixed sizes behind the batch, such as "
            "[batch, height, width, channels], and outputs of fixed sizes",
            received=" and ".join(str(list(shape)) for shape in shapes),
            remedy="wrap the model so that it has these",
        )


def check_equal(
    graph: OnnxGraph, layout: Layout, model: keras.Model, *, pixels: bool = False
) -> None:
    """Refuse a float32 graph that does not compute what the model does.

    Args:
        graph: float32 graph of the model.
        layout: axes of its input.
        model: model that it was made from.
        pixels: try whole numbers 0..255 instead of numbers between -1 and 1: a model with an input
            of integers cuts off the rest.

    Raises:
        InvalidInputError: a model with NaN or infinity in its outputs.
        UnsupportedError: another function.
    """
    import numpy as np

    fixed, *shape = model.inputs[0].shape
    rng, size = np.random.default_rng(0), (fixed or TRIED, *shape)
    images = (rng.integers(0, 256, size) if pixels else rng.uniform(-1, 1, size)).astype(np.float32)
    expected = [np.asarray(value) for value in _listed(model(images, training=False))]
    outputs = run_outputs(to_model(graph), images, layout)
    if not all(np.isfinite(values).all() for values in expected):
        raise InvalidInputError(
            "the outputs of a model are finite numbers",
            received="NaN or infinity for "
            + ("pixels 0..255" if pixels else "numbers between -1 and 1"),
            remedy="check the weights",
        )
    pairs = list(zip(outputs, expected, strict=False))
    same = len(outputs) == len(expected) and all(a.shape == b.shape for a, b in pairs)
    error = max(_difference(a, b) for a, b in pairs) if same else np.inf
    if not error <= MAX_CONVERSION_ERROR:
        raise UnsupportedError(
            "a converted network must give what the Keras model gives",
            received=f"a difference of {error:.1e} of the largest output",
            remedy="report this model to the project",
        )


def _difference(outputs: np.ndarray, expected: np.ndarray) -> float:
    import numpy as np

    return float(np.abs(outputs - expected).max() / max(float(np.abs(expected).max()), 1e-30))


def _listed(output: Any) -> list[Any]:
    """Tensors of a model's output in the order of ``model.outputs``."""
    import keras

    return list(keras.tree.flatten(output))
