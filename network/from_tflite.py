"""A float .tflite of any tool as the canonical graph: read as plain values, never run.

Files of TensorFlow's converter are read as they are. Those of others (litert-torch, MediaPipe,
zoos) are first brought into the same form: constants as float32, shapes as constants, channels
last, batch norms and activations in the operator before them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from foundation.errors import InvalidInputError, UnsupportedError
from foundation.foreign import printable, reading
from network.graph import Graph
from network.run_operator import fits_kernels
from network.run_tensorflow import KERNELS, forward
from network.simplifying.constants import with_constants_computed
from network.simplifying.folding import folded
from network.simplifying.layout import (
    with_channels_last,
    with_float_input,
    without_transposes,
    without_unused,
)
from network.tflite.canonical import graph_of, in_canonical_form, object_form
from network.tflite.decoding import halves_to_float, integers_to_float, quantized_part
from network.tflite.reader import WHOLE, read_flat_model

SUFFIX = ".tflite"

_REMEDY = "export the model again, as a float .tflite"
_LONGEST_NAME = 64
_ODD = re.compile(r"[^\w/;:-]", re.ASCII)
"""Letters of a name that mean something in lists of names, or in the names of constants."""


def from_tflite(path: Path) -> Graph:
    """Canonical graph of a float file.

    Args:
        path: path of a .tflite with float32 or float16 weights and float32 activations.

    Raises:
        InvalidInputError: no such file, a damaged one, or one of another form than one input with
            a batch of one and fixed sizes.
        UnsupportedError: a quantized network, or operators that are not computed here.
    """
    model = _opened(path)
    if part := quantized_part(model):
        raise UnsupportedError(
            "a .tflite to quantize holds a float network",
            received=f"{printable(path)} with {printable(part)[:200]}",
            remedy="give the float file that it was made from, or a registered --model and this "
            "file as --weights",
        )
    with reading(path, WHOLE, _REMEDY):
        _check_ends(model, path)
        halves_to_float(model)
        _plain_names(model)
        raw = graph_of(model)
        _check_order(raw)
        graph = _simplified(raw)
        _check_order(graph)
    _refuse_unknown(graph, path)
    _check_values(graph, path)
    _check_shapes(graph, path)
    return graph


def constants_of(path: Path) -> Graph:
    """Graph of a file, quantized or not, with its constants as float32.

    For its weights alone: the graph is not checked, and quantized activations read as float ones.

    Raises:
        InvalidInputError: no such file, or a damaged one.
    """
    model = _opened(path)
    with reading(path, WHOLE, _REMEDY):
        integers_to_float(model)
        _plain_names(model)
        return folded(without_unused(with_constants_computed(graph_of(model))))


def _opened(path: Path) -> Any:
    """A file in object form with its main subgraph alone, as ``read_flat_model`` bounds it."""
    read_flat_model(path)
    with reading(path, WHOLE, _REMEDY):
        model = object_form(path.read_bytes())
        model.subgraphs = model.subgraphs[:1]  # others belong to further signatures
        return model


def _check_ends(model: Any, path: Path) -> None:
    graph = model.subgraphs[0]
    inputs = list(graph.inputs)
    if len(inputs) != 1:
        raise InvalidInputError(
            "a model has one input",
            received=f"{printable(path)} with {len(inputs)} inputs",
            remedy="export the part behind one of them alone",
        )
    tensor = graph.tensors[inputs[0]]
    shape = [int(size) for size in tensor.shape]
    signature = tensor.shapeSignature
    free = shape if signature is None or not len(signature) else [int(size) for size in signature]
    if not shape or shape[0] != 1 or min(free[1:], default=1) < 1:
        raise InvalidInputError(
            "the input of a .tflite model has a batch of one, free or not, and fixed sizes",
            received=f"{printable(path)} with {free}",
            remedy="convert the model again with a batch of one and the size of its images",
        )


def _plain_names(model: Any) -> None:
    """Names of printable letters and of bounded length, as names of operators are listed."""
    for tensor in model.subgraphs[0].tensors:
        text = (tensor.name or b"").decode("utf-8", "replace")
        first, separator, rest = text.partition(";")
        parts = [part[-_LONGEST_NAME:] for part in _ODD.sub("_", first).split("/")]
        tensor.name = f"{'/'.join(parts)}{separator}{rest}".encode()


def _simplified(graph: Graph) -> Graph:
    graph = with_constants_computed(without_unused(graph))
    for op in graph.ops:  # the rewrites of the converter's files compute these in LiteRT
        if all(graph.is_constant(name) for name in op.inputs if name):
            raise ValueError(f"{op.kind} on constants, which gives {op.name}")
    graph = in_canonical_form(with_channels_last(with_float_input(graph)))
    return folded(without_transposes(graph))


def _check_order(graph: Graph) -> None:
    """Raise ValueError if an operator reads what no operator before it computes."""
    known = {graph.input, "", *(n for n, t in graph.tensors.items() if t.value is not None)}
    for op in graph.ops:
        if missing := [name for name in op.inputs if name not in known]:
            raise ValueError(f"{op.name} reads {missing[0]}, which nothing computes")
        known.update(op.outputs)
    if not known.issuperset(graph.outputs):
        raise ValueError("an output that nothing computes")


def _refuse_unknown(graph: Graph, path: Path) -> None:
    fitting = [op for op in graph.ops if op.kind in KERNELS and fits_kernels(graph, op)]
    unknown = sorted({op.kind for op in graph.ops} - {op.kind for op in fitting})
    if unknown:
        raise UnsupportedError(
            "a .tflite to quantize holds operators that are computed in float here",
            received=f"{printable(path)} with {printable(', '.join(unknown))[:200]}",
            remedy="give the Keras model, or convert the network without them",
        )


def _check_values(graph: Graph, path: Path) -> None:
    for tensor in graph.tensors.values():
        value = tensor.value
        if value is not None and value.dtype == np.float32 and not np.isfinite(value).all():
            raise InvalidInputError(
                "weights are finite numbers",
                received=f"{printable(path)} with NaN or Inf in {tensor.name}",
                remedy="train again, or restore a checkpoint from before they appeared",
            )


def _check_shapes(graph: Graph, path: Path) -> None:
    """Refuse a file whose activations have other shapes than it states."""
    import tensorflow as tf

    rule = "the activations of a .tflite have the shapes that it states"

    def compare(name: str, value: Any) -> Any:
        stated = graph.tensors[name].shape
        if tuple(value.shape) != stated:
            raise ValueError(f"{name} of {list(value.shape)}, stated as {list(stated)}")
        return value

    def serve(image: Any) -> Any:
        return forward(graph, image, compare)

    signature = tf.TensorSpec(graph.tensors[graph.input].shape, tf.float32)
    with reading(path, rule, _REMEDY, raised=(tf.errors.OpError,)):
        tf.function(serve, autograph=False).get_concrete_function(signature)
