"""Writers of operators on places, types and orders give what LiteRT computes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from export.onnx.float_render import render_float
from export.onnx.graph import to_model
from export.onnx.runtime import run_model
from export.onnx.writers.places import FLOAT_WRITERS
from foundation.errors import UnsupportedError
from network.graph import Graph, Tensor
from network.operators import OpKind
from network.run_tensorflow import run
from quantize.settings import Layout
from tests.network.graphs import Builder, images

MAP = (1, 8, 8, 8)


def typed(b: Builder, kind: str, inputs: tuple[str, ...], shape: tuple[int, ...], dtype: str,
          options_type: str = "", **options: object) -> str:  # fmt: skip
    """An operator whose result has another type than float32."""
    name = b.op(kind, f"{kind.lower()}_{len(b.ops)}", inputs, shape, options_type, **options)
    b.tensors[name] = Tensor(name, shape, dtype=dtype)
    return name


def number(b: Builder, value: object, dtype: type = np.int32) -> str:
    return b.constant(f"number_{len(b.tensors)}", np.array(value, dtype))


def as_float(b: Builder, source: str) -> str:
    """Places as a map of one channel."""
    shape = b.tensors[source].shape
    name = b.op("CAST", "floats", (source,), shape, "CastOptions")
    sizes = number(b, (*shape, 1))
    return b.op(OpKind.RESHAPE, "map", (name, sizes), (*shape, 1), "ReshapeOptions")


def place(kind: str) -> Callable[[Builder, str], str]:
    def build(b: Builder, image: str) -> str:
        options = f"{kind.title().replace('_', '')}Options"
        found = typed(b, kind, (image, number(b, 3)), (1, 8, 8), "int32", options, outputType=2)
        return as_float(b, found)

    return build


def one_hot(b: Builder, image: str) -> str:
    found = typed(b, "ARG_MAX", (image, number(b, 3)), (1, 8, 8), "int32", "ArgMaxOptions",
                  outputType=2)  # fmt: skip
    ends = number(b, 2.0, np.float32), number(b, -1.0, np.float32)
    inputs = (found, number(b, 8), *ends)
    return b.op("ONE_HOT", "hot", inputs, MAP, "OneHotOptions", axis=-1)


def from_a_table(b: Builder, image: str) -> str:
    found = typed(b, "ARG_MAX", (image, number(b, 3)), (1, 8, 8), "int32", "ArgMaxOptions",
                  outputType=2)  # fmt: skip
    table = b.constant("table", b.rng.normal(size=(8, 5)).astype(np.float32))
    shape = (1, 8, 8, 5)
    return b.op("GATHER", "rows", (table, found), shape, "GatherOptions", axis=0, batchDims=0)


def largest(b: Builder, image: str) -> str:
    name = b.op("TOPK_V2", "top", (image, number(b, 3)), (1, 8, 8, 3), "TopKV2Options")
    b.tensors["places"] = Tensor("places", (1, 8, 8, 3), dtype="int32")
    both = b.ops.pop()
    b.ops.append(type(both)(both.kind, both.inputs, (name, "places"), {}, both.options_type))
    floats = b.op("CAST", "floats", ("places",), (1, 8, 8, 3), "CastOptions")
    return b.add("both", name, floats)


def running(b: Builder, image: str) -> str:
    options = {"exclusive": True, "reverse": True}
    return b.op("CUMSUM", "sums", (image, number(b, 2)), MAP, "CumsumOptions", **options)


def divided(kind: str) -> Callable[[Builder, str], str]:
    def build(b: Builder, image: str) -> str:
        divisor = number(b, -0.3, np.float32)
        options = f"{kind.title().replace('_', '')}Options"
        return b.op(kind, "divided", (image, divisor), MAP, options)

    return build


def unequal(b: Builder, image: str) -> str:
    zero = number(b, 0.0, np.float32)
    rectified = b.op(OpKind.RELU, "rectified", (image,), MAP)
    found = typed(b, "NOT_EQUAL", (rectified, zero), MAP, "bool", "NotEqualOptions")
    return b.op("CAST", "floats", (found,), MAP, "CastOptions")


CASES: dict[str, Callable[[Builder, str], str]] = {
    "ARG_MAX": place("ARG_MAX"),
    "ARG_MIN": place("ARG_MIN"),
    "CAST": unequal,
    "CUMSUM": running,
    "FLOOR_DIV": divided("FLOOR_DIV"),
    "FLOOR_MOD": divided("FLOOR_MOD"),
    "GATHER": from_a_table,
    "NOT_EQUAL": unequal,
    "ONE_HOT": one_hot,
    "TOPK_V2": largest,
}


def graph_of(build: Callable[[Builder, str], str]) -> Graph:
    b = Builder(np.random.default_rng(3))
    last = build(b, b.conv("stem", "image", 8, kernel=3))
    b.dense("scores", b.mean("pool", last), 4)
    return b.graph()


def test_every_writer_has_a_case() -> None:
    assert set(CASES) == set(FLOAT_WRITERS)


@pytest.mark.parametrize("kind", FLOAT_WRITERS)
def test_onnx_runtime_gives_what_litert_does(kind: str) -> None:
    graph = graph_of(CASES[kind])
    assert kind in {op.kind for op in graph.ops}
    pictures = images(3, seed=5)
    expected = run(graph, pictures)
    assert np.ptp(expected, axis=0).max() > 0
    found = run_model(to_model(render_float(graph, Layout.NHWC)), pictures, Layout.NHWC)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_places_across_images_are_refused() -> None:
    def over_the_batch(b: Builder, image: str) -> str:
        return b.op("CUMSUM", "sums", (image, number(b, 0)), MAP, "CumsumOptions")

    with pytest.raises(UnsupportedError, match="over the images of a batch"):
        render_float(graph_of(over_the_batch), Layout.NHWC)
