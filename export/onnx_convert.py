"""Keras to a clean float32 ONNX graph."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from export.onnx_cleanup import clean
from export.onnx_graph import OPSET, Graph, from_model, named, to_model
from export.onnx_layout import channels_first
from export.onnx_runtime import run_model
from foundation.errors import InvalidInputError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import keras
    import onnx

    from quantize.recipes import Layout

TRACED_BATCH = 5
"""Any number that is unlikely to be a size in a network."""

MAX_CONVERSION_ERROR = 1e-2
"""Largest difference between Keras and ONNX in float32, of the largest output.

Deep networks with random weights lose digits to another order of summation (MobileOne S4: 1.8e-3);
lost weights or a wrong layout change the outputs altogether.
"""


def float_graph(model: keras.Model, layout: Layout) -> Graph:
    """Convert a network: batch norms folded, channels first, a free batch, short stable names.

    Args:
        model: one input ``[batch, height, width, 3]``, one output ``[batch, classes]``.
        layout: axes of the file's input.

    Returns:
        The graph ``image [batch, height, width, 3]`` (or ``[batch, 3, height, width]``) ->
        ``scores [batch, classes]``, float32.

    Raises:
        InvalidInputError: a model with other inputs or outputs.
        UnsupportedError: an operation that ONNX or this layout has no form for.
    """
    function = _traced(model, _check_io(model))
    with _quiet("tf2onnx", "tensorflow"):
        graph = from_model(_to_onnx(function, model.name))
    batch = int(function.inputs[0].shape[0])
    graph.output = (graph.output[0], (batch, int(model.outputs[0].shape[-1])))
    channels_first(graph, layout)
    clean(graph, batch)
    result = named(graph, _layer_names(model))
    _check_equal(result, layout, model, tuple(function.inputs[0].shape))
    return result


def _check_equal(graph: Graph, layout: Layout, model: keras.Model, shape: tuple[int, ...]) -> None:
    """Refuse a graph that does not compute what the model does."""
    import numpy as np

    images = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    expected = np.asarray(_only(model(images, training=False)))
    found = run_model(to_model(graph), images, layout)
    if not np.isfinite(expected).all():
        raise InvalidInputError(
            "the outputs of a model are finite numbers",
            received="NaN or infinity for pixels between -1 and 1",
            remedy="check the weights",
        )
    error = float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1e-30))
    if not error <= MAX_CONVERSION_ERROR:
        raise UnsupportedError(
            "a converted network must give what the Keras model gives",
            received=f"a difference of {error:.1e} of the largest output",
            remedy="report this model to the project",
        )


def _only(output: Any) -> Any:
    """The one tensor of a list or dictionary of outputs."""
    if isinstance(output, dict):
        return next(iter(output.values()))
    return output[0] if isinstance(output, list | tuple) else output


def _check_io(model: keras.Model) -> tuple[int, int]:
    """Height and width of the only input."""
    inputs, outputs = list(model.inputs), list(model.outputs)
    shapes = [tuple(t.shape) for t in [*inputs, *outputs]]
    fits = (
        len(inputs) == 1
        and len(outputs) == 1
        and len(shapes[0]) == 4
        and shapes[0][3] == 3
        and None not in shapes[0][1:]
        and len(shapes[1]) == 2
        and shapes[1][1] is not None
    )
    if not fits:
        raise InvalidInputError(
            "an ONNX export takes a model with one input [batch, height, width, 3] and one output "
            "[batch, classes]",
            received=" and ".join(str(list(shape)) for shape in shapes),
            remedy="wrap the model so that it has these",
        )
    return shapes[0][1], shapes[0][2]


def _traced(model: keras.Model, size: tuple[int, int]) -> Any:
    """The model as a function of a fixed batch.

    A fixed batch lets TensorFlow fold the shapes, and ``free_batch`` takes it out again. It is
    not 1 where the model allows: Keras adds a ``[1, 1, 1, c]`` tensor by squeezing it, which
    holds for that batch only.
    """
    import tensorflow as tf

    problem: Exception | None = None
    for batch in (TRACED_BATCH, 1):
        signature = tf.TensorSpec((batch, *size, 3), tf.float32, name="image")

        @tf.function(input_signature=[signature])  # type: ignore[untyped-decorator]
        def network(image: Any) -> Any:
            return model(image, training=False)

        try:
            with _inlined():
                return network.get_concrete_function()
        except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
            problem = error
    raise UnsupportedError(
        "an ONNX export needs a model that takes a batch of 1",
        received=f"{model.name}, which says: {_first_line(problem)}",
        remedy="rebuild it with a free batch",
    ) from problem


@contextmanager
def _inlined() -> Iterator[None]:
    """Trace functions inside functions as if they were written out.

    Keras puts a grouped convolution into a function of its own, compiled by XLA, since TensorFlow's
    CPU kernels have none; tf2onnx knows no such call.
    """
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _to_onnx(function: Any, name: str) -> onnx.ModelProto:
    import tensorflow as tf
    from tf2onnx import tf_loader
    from tf2onnx.optimizer import optimize_graph
    from tf2onnx.optimizer.const_fold_optimizer import ConstFoldOptimizer
    from tf2onnx.optimizer.identity_optimizer import IdentityOptimizer
    from tf2onnx.tfonnx import process_tf_graph

    inputs = [function.inputs[0].name]  # those after it are the captured variables
    outputs = [tensor.name for tensor in function.outputs]
    frozen = tf_loader.from_function(function, inputs, outputs)
    with tf.Graph().as_default() as tf_graph:
        tf.import_graph_def(frozen, name="")
        try:
            graph = process_tf_graph(
                tf_graph, opset=OPSET, input_names=inputs, output_names=outputs
            )
        except ValueError as error:
            raise UnsupportedError(
                "each operation of the model must have a form in ONNX",
                received=f"{name}, of which tf2onnx says: {_first_line(error)}",
                remedy="replace that layer",
            ) from error
    # tf2onnx's transpose optimizer is left out: it gives up on some graphs, and export.onnx_layout
    # does its work.
    optimizers = {"fold_constants": ConstFoldOptimizer, "remove_identity": IdentityOptimizer}
    model: onnx.ModelProto = optimize_graph(graph, optimizers=optimizers).make_model("network")
    return model


def _first_line(error: Exception | None) -> str:
    return str(error).strip().splitlines()[0][:200]


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Keep loggers to errors for a while: progress of a converter is no news to a user."""
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _layer_names(model: Any) -> list[str]:
    """Names that somebody gave; Keras's own (``conv2d_7``) depend on what was built before."""
    found = []
    for layer in model.layers:
        automatic = type(layer).__name__.lower()
        if re.sub(r"_\d+$", "", layer.name).replace("_", "") != automatic:
            found.append(layer.name)
        if hasattr(layer, "layers"):
            found += _layer_names(layer)
    return found
