"""A Keras model as the canonical float graph, through a float32 .tflite in memory.

A model that was made of a graph (``network.wrapping``) has it already.

The model is traced with a batch of one and frozen before the converter sees it: a free batch makes
files that phones and microcontrollers refuse, and functions that still hold variables lose their
weights without a word.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from foundation.ends import output_names
from foundation.errors import UnsupportedError
from network.exact_norms import exact_norms
from network.graph import INPUT_NAME, Graph
from network.input_casts import without_input_casts
from network.input_scaling import other_shape, refuse_two_normalizations
from network.output_order import require_order
from network.tflite.canonical import canonical_graph, graph_of, object_form
from network.wrapping import wrapped_graph

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from calibration_data.preprocessing import Preprocessing


def from_keras(model: keras.Model, contract: Preprocessing) -> Graph:
    """Canonical float graph of a model.

    Args:
        model: one input ``[batch, *shape]`` with the contract's shape (batch free or fixed) and
            outputs of any shape; may wrap a SavedModel in a ``TFSMLayer``.
        contract: preprocessing contract of its input.

    Raises:
        UnsupportedError: a layer that the TFLite converter does not take, or outputs that it gives
            in another order.
        InvalidInputError: a model that the contract does not fit, in its size or because both
            normalize the pixels.
    """
    function = frozen(model, contract.shape)
    refuse_two_normalizations(function, contract)
    stored = wrapped_graph(model)
    if stored is not None:
        return stored
    content = converted(function, "the canonical graph")
    if len(function.outputs) > 1:
        require_order(function, content)
    return canonical_graph(content, names_of_outputs(model, function))


def as_converted(model: keras.Model, contract: Preprocessing) -> Graph:
    """Float graph that TensorFlow's converter makes of a model, as it is, without any rewrite.

    Arguments and errors are those of ``from_keras``.
    """
    function = frozen(model, contract.shape)
    content = converted(function, "the converter's graph")
    return graph_of(object_form(content), names_of_outputs(model, function))


def names_of_outputs(model: keras.Model, function: Any) -> tuple[str, ...]:
    """Names that the outputs of a model have in every file, in the order of ``model.outputs``.

    Args:
        model: model; one that was never built has no names for its outputs.
        function: result of ``traced`` or ``frozen``.
    """
    count = len(function.outputs)
    names = [str(name) for name in getattr(model, "output_names", None) or ()]
    return output_names(names if len(names) == count else [f"output_{i}" for i in range(count)])


def frozen(model: keras.Model, shape: tuple[int, ...]) -> Any:
    """A model as a TensorFlow function of ``[1, *shape]`` without variables.

    Batch norms hold the same numbers on every CPU (``network.exact_norms``).

    Raises:
        UnsupportedError: variables that change as the network runs, as those of random layers in a
            SavedModel do.
    """
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    function = traced(model, shape)
    try:
        constant = convert_variables_to_constants_v2(function)
    except ValueError as error:
        raise UnsupportedError(
            "the variables of a network are constants when it is exported",
            received=essence(str(error))[:200],
            remedy="save the network without its random layers",
        ) from error
    return exact_norms(without_input_casts(constant))


def traced(model: keras.Model, shape: tuple[int, ...]) -> Any:
    """A model as a TensorFlow function of ``[1, *shape]``.

    Raises:
        UnsupportedError: Keras on another backend, layers that do not compute in float32, or a
            model that does not take one such input.
        InvalidInputError: an input of another shape.
    """
    import keras
    import tensorflow as tf

    if keras.config.backend() != "tensorflow":
        raise UnsupportedError(
            "TFLite files are written from Keras on TensorFlow",
            received=f"the backend {keras.config.backend()}",
            remedy="set KERAS_BACKEND=tensorflow",
        )
    _check_input_shape(model, shape)

    def serve(image: tf.Tensor) -> Any:
        outputs = tf.nest.flatten(model(image, training=False))  # dictionaries by sorted keys
        return outputs[0] if len(outputs) == 1 else outputs

    signature = tf.TensorSpec((1, *shape), tf.float32, name=INPUT_NAME)
    function = tf.function(serve, autograph=False)
    try:
        traced = function.get_concrete_function(signature)
    except (TypeError, ValueError) as error:
        raise UnsupportedError(
            f"the model takes one input, float32 {[1, *shape]}",
            received=essence(str(error)),
            remedy="build it with a free batch",
        ) from error
    _refuse_reduced_precision(traced)
    return traced


def converted(
    function: Any, purpose: str, configure: Callable[[tf.lite.TFLiteConverter], None] | None = None
) -> bytes:
    """A .tflite of a function, by TensorFlow's converter.

    Args:
        function: result of ``traced`` or ``frozen``.
        purpose: purpose of the file, for the error.
        configure: function that sets up the converter; None for float32.

    Raises:
        UnsupportedError: an operator that the converter does not take; names it.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import ConverterError

    # The second argument keeps the variables of a function alive; a frozen one has none, and
    # naming it keeps the converter from a detour over a SavedModel in a temporary folder.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], function)
    # It holds versions and a hash of the content, and nothing that a runtime reads.
    converter.exclude_conversion_metadata = True
    if configure is not None:
        configure(converter)
    try:
        with warnings.catch_warnings():
            # About ranges for inputs that were fake-quantized in training, which these never are.
            warnings.filterwarnings("ignore", "Statistics for quantized inputs were expected")
            return bytes(converter.convert())
    except (ConverterError, RuntimeError, ValueError) as error:
        raise UnsupportedError(
            f"the TFLite converter takes every operator of the model for {purpose}",
            received=essence(str(error)),
            remedy="replace these layers, or choose another recipe",
        ) from error


def essence(message: str) -> str:
    """Lines of a converter's message that name operators; its first line if none does."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    about_operators = [line for line in lines if "ops:" in line.lower() or "op:" in line.lower()]
    return "; ".join(dict.fromkeys(about_operators or lines[:1])) or "no message"


def _refuse_reduced_precision(function: Any) -> None:
    operations = function.graph.get_operations()
    types = {tensor.dtype.name for operation in operations for tensor in operation.outputs}
    if reduced := types & {"float16", "bfloat16"}:
        raise UnsupportedError(
            "a model to export computes in float32",
            received=f"layers in {', '.join(sorted(reduced))}",
            remedy="load its weights into a model built with the dtype policy float32",
        )


def _check_input_shape(model: Any, shape: tuple[int, ...]) -> None:
    inputs = getattr(model, "inputs", None)
    if inputs is None:  # a subclassed model that was never called: tracing checks it
        return
    own = tuple(inputs[0].shape)[1:]
    fits = len(own) == len(shape) and all(
        have in (None, want) for have, want in zip(own, shape, strict=True)
    )
    if len(inputs) != 1 or not fits:
        raise other_shape(shape, len(inputs), tuple(inputs[0].shape))
