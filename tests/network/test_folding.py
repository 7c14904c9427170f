"""Rewrites of a graph that has just been read: the same numbers, in fewer or other operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from network.folding import folded
from network.graph import Graph, Tensor
from network.operators import OpKind
from network.run_tensorflow import KERNELS, run
from tests.network.graphs import SIDE, Builder, images

PICTURES = images(3, seed=2)
CONV = {
    "padding": 1, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1,
    "fusedActivationFunction": 1,
}  # fmt: skip


def stored(b: Builder, name: str, *numbers: Any) -> str:
    return b.constant(name, np.array(numbers[0] if len(numbers) == 1 else numbers, np.int32))


def kinds(graph: Graph) -> list[str]:
    return [str(op.kind) for op in graph.ops]


def tiled(graph: Graph, pictures: np.ndarray) -> np.ndarray:
    """Run a graph with TILE, which has no kernel of its own."""
    import tensorflow as tf

    kernels = {**KERNELS, "TILE": lambda _, __, inputs: tf.tile(*inputs)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("network.run_tensorflow.KERNELS", kernels)
        return run(graph, pictures)


def dilated(margins: tuple[int, int], crops: tuple[int, int], side: int) -> Graph:
    """A depthwise convolution of blocks of every second pixel."""
    b = Builder(np.random.default_rng(1))
    b.tensors["image"] = Tensor("image", (1, side, side, 3))
    block, other = stored(b, "block", 2, 2), stored(b, "other", 2, 2)
    half = (side + sum(margins)) // 2
    pads, cuts = stored(b, "pads", [margins] * 2), stored(b, "cuts", [crops] * 2)
    split = b.op("SPACE_TO_BATCH_ND", "split", ("image", block, pads), (4, half, half, 3))
    shape = (4, half - 2, half - 2, 3)
    constants = b.weights("conv", (1, 3, 3, 3), 3)
    table = "DepthwiseConv2DOptions"
    conv = b.op(OpKind.DEPTHWISE_CONV, "conv", (split, *constants), shape, table, **CONV)
    out = 2 * (half - 2) - sum(crops)
    b.op("BATCH_TO_SPACE_ND", "scores", (conv, other, cuts), (1, out, out, 3))
    return b.graph()


@pytest.mark.parametrize(
    ("margins", "crops", "side", "found"),
    [
        ((2, 2), (0, 0), 8, ["DEPTHWISE_CONV_2D"]),
        ((2, 3), (0, 1), 33, ["DEPTHWISE_CONV_2D"]),
        ((0, 0), (0, 0), 8, ["DEPTHWISE_CONV_2D"]),
        ((4, 0), (0, 0), 8, ["PAD", "DEPTHWISE_CONV_2D"]),
    ],
    ids=["same", "an odd size", "valid", "zeros on one side"],
)
def test_blocks_around_a_convolution_are_its_dilation(
    margins: tuple[int, int], crops: tuple[int, int], side: int, found: list[str]
) -> None:
    import tensorflow as tf

    graph = dilated(margins, crops, side)
    after = folded(graph)
    assert kinds(after) == found
    image = np.random.default_rng(0).normal(size=(2, side, side, 3)).astype(np.float32)
    weight, bias = graph.value("conv.weight"), graph.value("conv.bias")
    blocks = tf.space_to_batch(image, [2, 2], [margins] * 2)
    filters = weight.transpose(1, 2, 3, 0)
    blocks = tf.nn.depthwise_conv2d(blocks, filters, [1, 1, 1, 1], "VALID")
    expected = tf.batch_to_space(tf.nn.relu(blocks + bias), [2, 2], [crops] * 2)
    assert np.allclose(run(after, image), expected, atol=1e-5)


def test_blocks_of_another_size_stay() -> None:
    graph = dilated((2, 2), (0, 0), 8)
    changed = graph.with_values({"other": np.array([2, 4], np.int32)})
    assert kinds(folded(changed)) == kinds(graph)
    cropped = dilated((2, 2), (1, 1), 8)
    assert kinds(folded(cropped)) == kinds(cropped)


def test_arithmetic_on_shapes_is_done_once() -> None:
    b = Builder(np.random.default_rng(1))
    conv = b.conv("stem", "image", 6)
    shape = b.op("SHAPE", "shape", (conv,), (4,), "ShapeOptions", outType=2)
    ends = [stored(b, f"end{n}", [n]) for n in (0, 1, 3)]
    masks = {f"{m}Mask": 0 for m in ("begin", "end", "ellipsis", "newAxis")}
    batch = b.op(
        OpKind.STRIDED_SLICE, "batch", (shape, ends[0], ends[1], ends[1]), (),
        "StridedSliceOptions", **masks, shrinkAxisMask=1, offset=False,
    )  # fmt: skip
    rest, channels = stored(b, "rest", SIDE * SIDE), stored(b, "channels", 6)
    whole = b.op(OpKind.PACK, "whole", (batch, rest, channels), (3,), "PackOptions",
                 axis=0, valuesCount=3)  # fmt: skip
    rows = b.op(OpKind.RESHAPE, "rows", (conv, whole), (1, SIDE * SIDE, 6), "ReshapeOptions")
    axes = stored(b, "axes", [1])
    pooled = b.op(OpKind.MEAN, "pool", (rows, axes), (1, 6), "ReducerOptions", keepDims=False)
    b.dense("scores", pooled, 4)
    after = folded(b.graph())
    assert kinds(after) == ["CONV_2D", "RESHAPE", "MEAN", "FULLY_CONNECTED"]
    assert after.value("whole").tolist() == [1, SIDE * SIDE, 6]


def upsampled() -> Graph:
    """UpSampling2D((2, 3)), as the converter writes it."""
    b = Builder(np.random.default_rng(1))
    shapes = [(1, 8, 1, 8, 3), (1, 8, 2, 8, 3), (1, 16, 8, 1, 3), (1, 16, 8, 3, 3), (1, 16, 24, 3)]
    times = {1: (1, 1, 2, 1, 1), 3: (1, 1, 1, 3, 1)}
    source = "image"
    for number, shape in enumerate(shapes):
        name = f"step_{number}" if number < 4 else "scores"
        if number in times:
            inputs = (source, stored(b, f"{name}.times", *times[number]))
            source = b.op("TILE", name, inputs, shape, "TileOptions")
        else:
            inputs = (source, stored(b, f"{name}.shape", *shape))
            source = b.op(OpKind.RESHAPE, name, inputs, shape, "ReshapeOptions")
    return b.graph()


def test_repeated_pixels_are_a_resize() -> None:
    graph = upsampled()
    after = folded(graph)
    assert kinds(after) == ["RESIZE_NEAREST_NEIGHBOR"]
    assert np.array_equal(run(after, PICTURES), tiled(graph, PICTURES))


def test_pixels_in_another_order_are_none() -> None:
    graph = upsampled()
    turned = graph.with_values({"step_1.times": np.array([1, 2, 1, 1, 1], np.int32)})
    assert "RESIZE_NEAREST_NEIGHBOR" not in kinds(folded(turned))


@pytest.mark.parametrize(
    ("before", "times", "found"),
    [
        ((1, 8, 8, 3), (1, 2, 1, 3), ["CONCATENATION", "CONCATENATION"]),
        ((1, 64, 1, 3), (1, 1, 4, 1), ["RESHAPE", "BROADCAST_TO"]),
        ((1, 64, 1, 3), (1, 2, 4, 1), ["RESHAPE", "BROADCAST_TO", "CONCATENATION"]),
    ],
    ids=["pixels and channels", "an axis of one place", "both"],
)
def test_copies_are_joined_or_spread(
    before: tuple[int, ...], times: tuple[int, ...], found: list[str]
) -> None:
    b = Builder(np.random.default_rng(1))
    source = "image"
    if before != b.tensors["image"].shape:
        inputs = (source, stored(b, "rows.shape", *before))
        source = b.op(OpKind.RESHAPE, "rows", inputs, before, "ReshapeOptions")
    after = tuple(n * t for n, t in zip(before, times, strict=True))
    b.op("TILE", "scores", (source, stored(b, "times", *times)), after, "TileOptions")
    graph = b.graph()
    assert kinds(folded(graph)) == found
    assert np.array_equal(run(folded(graph), PICTURES), tiled(graph, PICTURES))


def test_a_sum_is_a_mean_times_a_number() -> None:
    b = Builder(np.random.default_rng(1))
    axes = stored(b, "axes", 1, 3)
    b.op("SUM", "scores", ("image", axes), (1, 1, SIDE, 1), "ReducerOptions", keepDims=True)
    after = folded(b.graph())
    assert kinds(after) == ["MEAN", "MUL"]
    assert np.allclose(run(after, PICTURES), PICTURES.sum((1, 3), keepdims=True), atol=1e-5)


def test_stored_places_are_picked_along_one_axis() -> None:
    b = Builder(np.random.default_rng(1))
    places = stored(b, "places", [[0, 7, 0], [0, 2, 5]])
    b.op("GATHER_ND", "picked", ("image", places), (2, 3))
    b.op(OpKind.EXPAND_DIMS, "scores", ("picked", stored(b, "axis", 0)), (1, 2, 3))
    after = folded(b.graph())
    assert kinds(after) == ["RESHAPE", "GATHER", "RESHAPE", "EXPAND_DIMS"]
    found = run(after, PICTURES[:1])
    assert np.array_equal(found[0], PICTURES[0, [7, 2], [0, 5]])


@pytest.mark.parametrize("turned", [False, True])
def test_a_product_with_a_stored_matrix_has_a_weight(turned: bool) -> None:
    b = Builder(np.random.default_rng(1))
    shape = (5, 3) if turned else (3, 5)
    matrix = b.constant("matrix", b.rng.normal(size=shape).astype(np.float32))
    inputs, out = ("image", matrix), (1, SIDE, SIDE, 5)
    b.op(OpKind.BATCH_MATMUL, "scores", inputs, out, "BatchMatMulOptions", adjX=False, adjY=turned)
    graph = b.graph()
    after = folded(graph)
    assert kinds(after) == ["FULLY_CONNECTED"]
    assert np.allclose(run(after, PICTURES), run(graph, PICTURES), atol=1e-5)
