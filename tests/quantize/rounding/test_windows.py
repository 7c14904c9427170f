"""What each output of a weighted operator reads: times the weight, it is the output."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from network.affine import QuantParams
from network.graph import Graph, Tensor
from network.operators import OpKind
from network.run_tensorflow import run
from quantize.plans.simulate import multiply_adds
from quantize.rounding.rows import Rows
from quantize.rounding.windows import positions_per_image, windows
from tests.network.graphs import SIDE, Builder, images

PICTURES = images(2, seed=4)
WINDOW = {
    "padding": 0, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1,
    "fusedActivationFunction": 0,
}  # fmt: skip


def transposed(strides: tuple[int, int], kernel: int, padding: int, more: int = 0) -> Graph:
    b = Builder(np.random.default_rng(1))
    out = [SIDE * s if padding == 0 else (SIDE - 1) * s + max(kernel, s) + more for s in strides]
    sizes = b.constant("sizes", np.array([1, *out, 5], np.int32))
    inputs = ("image", *b.weights("scores", (5, kernel, kernel, 3), 5), sizes)
    options = {
        "padding": padding, "strideH": strides[0], "strideW": strides[1],
        "fusedActivationFunction": 0,
    }  # fmt: skip
    shape = (1, *out, 5)
    b.op(OpKind.TRANSPOSE_CONV, "scores", inputs, shape, "TransposeConvOptions", **options)
    return b.graph()


def grouped(**options: Any) -> Graph:
    b = Builder(np.random.default_rng(1))
    b.tensors["image"] = Tensor("image", (1, SIDE, SIDE, 6))
    inputs = ("image", *b.weights("scores", (4, 3, 3, 3), 4))
    table = "Conv2DOptions"
    b.op(OpKind.CONV, "scores", inputs, (1, SIDE, SIDE, 4), table, **{**WINDOW, **options})
    return b.graph()


GRAPHS = {
    "transposed": transposed((2, 2), 3, 0),
    "an even kernel": transposed((2, 1), 4, 0),
    "gaps": transposed((3, 3), 2, 0),
    "valid": transposed((2, 3), 3, 1, more=1),
    "grouped": grouped(),
    "grouped and dilated": grouped(dilationHFactor=2, dilationWFactor=3),
}
"""Graphs of one operator."""


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("positions", [10_000, 60])
def test_windows_times_the_weight_are_the_outputs(name: str, positions: int) -> None:
    graph = GRAPHS[name]
    (op,) = graph.ops
    depth = graph.tensors["image"].shape[-1]
    image = np.tile(PICTURES, depth // 3)
    rows = Rows.of(op, graph).full_rows(graph.weight(op))
    read = windows(op, graph, image, positions)
    found = read @ rows.T + graph.bias(op)
    exact = run(graph, image)
    step = 1
    while len(exact[:, ::step, ::step].reshape(-1, exact.shape[-1])) > len(found):
        step += 1
    expected = exact[:, ::step, ::step].reshape(-1, exact.shape[-1])
    assert np.allclose(found, expected, atol=1e-4)
    assert len(found) == 2 * positions_per_image(op, graph, positions)
    assert positions >= positions_per_image(op, graph, positions)


def test_a_grid_meets_every_place_of_a_stride() -> None:
    """Every second output would read a part of the kernel alone."""
    graph = GRAPHS["transposed"]
    (op,) = graph.ops
    read = windows(op, graph, PICTURES, 100).reshape(-1, 3, 3, 3)
    assert np.abs(read).sum((0, 3)).min() > 0


def test_integers_outside_of_the_image_stand_for_zero() -> None:
    graph = GRAPHS["valid"]
    (op,) = graph.ops
    params = QuantParams((0.01,), (-7,))
    read = windows(op, graph, params.quantize(PICTURES), 10_000, params)
    exact = windows(op, graph, PICTURES, 10_000)
    assert np.abs(read - exact).max() <= 0.0051
    assert np.array_equal(read == 0, exact == 0) or (read[exact == 0] == 0).all()


def test_multiply_adds_of_a_transposed_convolution_are_counted_by_its_input() -> None:
    graph = GRAPHS["transposed"]
    assert multiply_adds(graph, graph.ops[0]) == SIDE * SIDE * 5 * 3 * 3 * 3


def test_multiply_adds_of_rows_and_of_products() -> None:
    b = Builder(np.random.default_rng(1))
    b.dense("rows", "image", 5)
    b.tensors["rows"] = Tensor("rows", (1, SIDE, SIDE, 5))
    product = {"adjX": True, "adjY": False}
    inputs, shape = ("rows", "rows"), (1, SIDE, 5, 5)
    b.op(OpKind.BATCH_MATMUL, "scores", inputs, shape, "BatchMatMulOptions", **product)
    rows, scores = b.graph().ops
    assert multiply_adds(b.graph(), rows) == SIDE * SIDE * 3 * 5
    assert multiply_adds(b.graph(), scores) == SIDE * 5 * 5 * SIDE
