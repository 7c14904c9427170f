"""Operators without a kernel of TensorFlow run in LiteRT: eagerly, traced, without a batch axis."""

from __future__ import annotations

import numpy as np
import pytest

from foundation.errors import UnsupportedError
from network.folding import folded
from network.graph import Graph, Op
from network.operators import OpKind
from network.run_operator import fits_kernels, run_in_litert
from network.run_tensorflow import KERNELS, constants, run_op
from network.tflite.canonical import canonical_graph
from network.tflite.writer import FlatFile
from tests.network.graphs import Builder, images


def waves(kind: str = "SIN") -> Graph:
    b = Builder(np.random.default_rng(1))
    b.op(kind, "scores", ("image",), (1, 8, 8, 3))
    return b.graph()


def test_an_operator_without_a_kernel_runs_eagerly_and_while_tensorflow_traces() -> None:
    import tensorflow as tf

    graph, pictures = waves(), images(3)
    (op,) = graph.ops
    assert op.kind not in KERNELS
    (eager,) = run_op(op, graph, [tf.constant(pictures)])
    np.testing.assert_allclose(eager, np.sin(pictures), rtol=1e-5, atol=1e-6)

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def traced(values: tf.Tensor) -> tf.Tensor:
        (result,) = run_op(op, graph, [values])
        assert result.shape.as_list() == [None, 8, 8, 3]
        return result

    np.testing.assert_array_equal(traced(tf.constant(pictures)), eager)


def test_an_activation_without_a_batch_axis_is_held_for_each_image() -> None:
    b = Builder(np.random.default_rng(1))
    sizes = b.constant("sizes", np.array([192], np.int32))
    flat = b.op(OpKind.RESHAPE, "flat", ("image", sizes), (192,), "ReshapeOptions")
    b.op("SIN", "scores", (flat,), (192,))
    graph, pictures = b.graph(), images(3)
    reshape, sine = graph.ops
    assert not fits_kernels(graph, reshape)
    (values,) = run_op(reshape, graph, constants(graph, reshape, {"image": pictures}))
    np.testing.assert_array_equal(values, pictures.reshape(3, 192))
    (values,) = run_op(sine, graph, [values])
    np.testing.assert_allclose(values, np.sin(pictures.reshape(3, 192)), rtol=1e-5, atol=1e-6)


def test_what_litert_does_not_run_is_named() -> None:
    b = Builder(np.random.default_rng(1))
    other = b.constant("other", np.zeros((1, 5, 5, 7), np.float32))
    b.op("POW", "scores", ("image", other), (1, 8, 8, 3), "PowOptions")
    graph = b.graph()
    with pytest.raises(UnsupportedError, match="POW, which gives scores"):
        run_in_litert(graph.ops[0], graph, [images(1), graph.value("other")])


def test_operators_on_stored_values_become_constants() -> None:
    b = Builder(np.random.default_rng(1))
    table = b.constant("table", np.arange(3, dtype=np.float32))
    wave = b.op("SIN", "wave", (table,), (3,))
    twice = b.op(OpKind.ADD, "twice", (wave, wave), (3,), "AddOptions")
    b.op(OpKind.ADD, "scores", ("image", twice), (1, 8, 8, 3), "AddOptions")
    graph = folded(b.graph())
    assert [op.name for op in graph.ops] == ["scores"]
    np.testing.assert_allclose(graph.value("twice"), 2 * np.sin(np.arange(3)), rtol=1e-6)
    assert folded(graph) is graph


def test_random_numbers_are_no_constants() -> None:
    b = Builder(np.random.default_rng(1))
    sizes = b.constant("sizes", np.array([3], np.int32))
    noise = b.op("RANDOM_UNIFORM", "noise", (sizes,), (3,), "RandomOptions")
    b.op(OpKind.ADD, "scores", ("image", noise), (1, 8, 8, 3), "AddOptions")
    assert len(folded(b.graph()).ops) == 2


def test_a_custom_operator_is_refused_in_one_sentence() -> None:
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    file = FlatFile()
    source, sink = (file.tensor(name, (1, 4), "float32") for name in ("image", "scores"))
    file.operator("SIN", 1, [source], [sink])
    content = bytearray(file.content([source], [sink]))
    model = flatbuffer_utils.read_model_from_bytearray(content)
    code = model.operatorCodes[0]
    code.builtinCode, code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM, 32
    code.customCode = b"FlexErf"
    changed = bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    with pytest.raises(UnsupportedError, match="the custom FlexErf, which gives scores"):
        canonical_graph(changed)


def test_a_computed_weight_is_no_weight() -> None:
    b = Builder(np.random.default_rng(1))
    b.ops.append(Op(OpKind.DENSE, ("image", "image", ""), ("scores",), computed_weight=True))
    (op,) = b.ops
    assert not op.is_weighted
    assert op.traits.weighted
