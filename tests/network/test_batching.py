"""Activations that have lost the axis of the batch get it back, and the same numbers stay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from foundation.errors import UnsupportedError
from network.batching import with_batch_axis
from network.graph import Graph
from network.operators import OpKind
from network.run_litert import network_of
from network.run_tensorflow import run
from tests.network.graphs import SIDE, Builder, images

PICTURES = images(3, seed=2)
PIXELS = SIDE * SIDE
MASKS = {f"{m}Mask": 0 for m in ("begin", "end", "ellipsis", "newAxis", "shrinkAxis")}


def stored(b: Builder, name: str, *numbers: Any) -> str:
    return b.constant(name, np.array(numbers[0] if len(numbers) == 1 else numbers, np.int32))


def reshaped(b: Builder, name: str, source: str, *shape: int) -> str:
    inputs = (source, stored(b, f"{name}.shape", *shape))
    return b.op(OpKind.RESHAPE, name, inputs, shape, "ReshapeOptions")


def places(b: Builder, begin: int, end: int, stride: int) -> tuple[str, ...]:
    ends = zip(("begin", "end", "stride"), (begin, end, stride), strict=True)
    return tuple(stored(b, name, [number]) for name, number in ends)


def rows(b: Builder) -> str:
    """Pixels of the image as rows, without a batch."""
    return reshaped(b, "rows", "image", PIXELS, 3)


def ended(b: Builder, source: str) -> Graph:
    reshaped(b, "scores", source, 1, *b.tensors[source].shape)
    return b.graph()


def checked(graph: Graph) -> Graph:
    """The graph with batches, after a comparison on single images and on a batch."""
    after = with_batch_axis(graph)
    assert all(after.tensors[name].shape[:1] == (1,) for name in after.activations)
    (expected,) = network_of(graph, graph.ops).run({graph.input: PICTURES})
    assert np.allclose(run(after, PICTURES), expected, atol=1e-5)
    return after


def test_a_graph_with_batches_is_left_alone() -> None:
    b = Builder(np.random.default_rng(1))
    b.dense("scores", b.mean("pool", b.conv("stem", "image", 4)), 4)
    graph = b.graph()
    assert with_batch_axis(graph) is graph


@pytest.mark.parametrize("product", [False, True], ids=["rows", "an image"])
def test_matrix_products(product: bool) -> None:
    b = Builder(np.random.default_rng(1))
    source = rows(b)
    if product:  # which LiteRT flattens to rows
        source = reshaped(b, "square", source, SIDE, SIDE, 3)
    b.dense("dense", source, 5)
    b.tensors["dense"] = type(b.tensors["dense"])("dense", (PIXELS, 5))
    after = checked(ended(b, "dense"))
    assert next(op for op in after.ops if op.kind == OpKind.DENSE).options["keepNumDims"]


def shifted(case: str, b: Builder, source: str) -> str:
    """Operator of a kind that counts its axes, on ``[64, 3]``."""

    def op(kind: str, inputs: tuple[str, ...], shape: tuple[int, ...], table: str, **options: Any):
        return b.op(kind, "result", inputs, shape, table, **options)

    match case:
        case "transpose":
            return op(OpKind.TRANSPOSE, (source, stored(b, "c", 1, 0)), (3, PIXELS), "")
        case "mean":
            inputs = (source, stored(b, "c", [0]))
            return op(OpKind.MEAN, inputs, (1, 3), "ReducerOptions", keepDims=True)
        case "largest":
            inputs = (source, stored(b, "c", [-1]))
            return op(OpKind.REDUCE_MAX, inputs, (PIXELS,), "ReducerOptions", keepDims=False)
        case "joined":
            one = b.constant("one", np.ones((1, 3), np.float32))
            options = {"axis": 0, "fusedActivationFunction": 0}
            return op(
                OpKind.CONCATENATION,
                (source, one),
                (PIXELS + 1, 3),
                "ConcatenationOptions",
                **options,
            )
        case "stacked":
            return op(
                OpKind.PACK, (source, source), (2, PIXELS, 3), "PackOptions", axis=0, valuesCount=2
            )
        case "picked":
            inputs = (source, stored(b, "c", 5, 1))
            return op(OpKind.GATHER, inputs, (2, 3), "GatherOptions", axis=0, batchDims=0)
        case "slice":
            inputs = (source, stored(b, "c", 2, 1), stored(b, "d", 5, -1))
            return op(OpKind.SLICE, inputs, (5, 2), "")
        case "strided":
            inputs = (
                source,
                *places(b, 9, 1, -2),
            )
            return op(OpKind.STRIDED_SLICE, inputs, (4, 3), "StridedSliceOptions", **MASKS)
        case "one row":
            inputs = (
                source,
                *places(b, 9, 10, 1),
            )
            masks = {**MASKS, "shrinkAxisMask": 1}
            return op(OpKind.STRIDED_SLICE, inputs, (3,), "StridedSliceOptions", **masks)
        case "padded":
            inputs = (source, stored(b, "c", [[1, 2], [0, 1]]))
            return op(OpKind.PAD, inputs, (PIXELS + 3, 4), "PadOptions")
        case "backwards":
            return op(OpKind.REVERSE, (source, stored(b, "c", [0])), (PIXELS, 3), "")
        case "scaled":
            number = b.constant("number", np.array([1, 2, 3], np.float32))
            return op(OpKind.MUL, (source, number), (PIXELS, 3), "", fusedActivationFunction=0)
        case "softmax":
            return op(OpKind.SOFTMAX, (source,), (PIXELS, 3), "SoftmaxOptions", beta=1.0)
    raise AssertionError(case)


@pytest.mark.parametrize(
    "case",
    ["transpose", "mean", "largest", "joined", "stacked", "picked", "slice", "strided", "one row",
     "padded", "backwards", "scaled", "softmax"],
)  # fmt: skip
def test_axes_are_counted_from_the_batch(case: str) -> None:
    b = Builder(np.random.default_rng(1))
    checked(ended(b, shifted(case, b, rows(b))))


def test_parts_of_an_axis_and_their_product() -> None:
    b = Builder(np.random.default_rng(1))
    source = reshaped(b, "heads", "image", 2, PIXELS // 2, 3)
    for name in ("first", "second"):
        b.tensors[name] = type(b.tensors["heads"])(name, (PIXELS // 2, 3))
    b.op(OpKind.UNPACK, "first", (source,), (PIXELS // 2, 3), "UnpackOptions", axis=0, num=2)
    b.ops[-1] = replace(b.ops[-1], outputs=("first", "second"))
    shape, options = (PIXELS // 2, PIXELS // 2), {"adjX": False, "adjY": True}
    inputs = ("first", "second")
    product = b.op(OpKind.BATCH_MATMUL, "product", inputs, shape, "BatchMatMulOptions", **options)
    checked(ended(b, product))


def test_a_convolution_of_parts_is_refused() -> None:
    b = Builder(np.random.default_rng(1))
    parts = reshaped(b, "parts", "image", 4, SIDE // 2, SIDE // 2, 3)
    b.conv("conv", parts, 4)
    b.tensors["conv"] = type(b.tensors["conv"])("conv", (4, SIDE // 2, SIDE // 2, 4))
    with pytest.raises(UnsupportedError, match="CONV_2D conv, of which the network makes several"):
        with_batch_axis(ended(b, "conv"))
