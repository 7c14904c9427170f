"""Rewrites of the canonical graph: the same function, in operators with an integer form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from network.graph import Graph
from network.operators import OpKind
from network.rewriting import rewritten
from network.run_tensorflow import run
from tests.network.graphs import SIDE, Builder, images

SHAPE = (1, SIDE, SIDE, 3)
ROW = (1, SIDE, SIDE, 1)
Function = Callable[[np.ndarray], np.ndarray]


def number(b: Builder, value: float | list[float]) -> str:
    return b.constant(f"number_{len(b.tensors)}", np.asarray(value, np.float32))


def chain(b: Builder, *steps: tuple[str, float | None], source: str = "image") -> str:
    """Operators of one operand, or of one and a number, one after the other."""
    for kind, value in steps:
        inputs = (source,) if value is None else (source, number(b, value))
        source = b.op(kind, f"x{len(b.ops)}", inputs, SHAPE)
    return source


def built(*steps: tuple[str, float | None]) -> Graph:
    b = Builder(np.random.default_rng(0))
    return b.graph(chain(b, *steps))


def chosen(kind: str, border: float, above: list[tuple[str, float | None]], below: str) -> Graph:
    """SELECT between a chain from the image and a leaky or bent branch."""
    b = Builder(np.random.default_rng(0))
    compared = b.op(kind, "compared", ("image", number(b, border)), SHAPE)
    high = chain(b, *above)
    low = {
        "tenth": lambda: chain(b, ("MUL", 0.1)),
        "bent": lambda: chain(b, ("EXP", None), ("SUB", 1.0), ("MUL", 1.5)),
        "zero": lambda: number(b, 0.0),
    }[below]()
    branches = (high, low) if kind.startswith("GREATER") else (low, high)
    return b.graph(b.op("SELECT", "chosen", (compared, *branches), SHAPE))


def inverse(x: np.ndarray) -> np.ndarray:
    return x / (np.abs(x) + 1)


def quotient() -> Graph:
    b = Builder(np.random.default_rng(0))
    size = chain(b, ("ABS", None), ("ADD", 1.0))
    return b.graph(b.op("DIV", "quotient", ("image", size), SHAPE))


def soft_shrink() -> Graph:
    b = Builder(np.random.default_rng(0))
    low = b.op("LESS", "low", ("image", number(b, -0.25)), SHAPE)
    below = (low, chain(b, ("ADD", 0.25)), number(b, 0.0))
    inner = b.op("SELECT_V2", "inner", below, SHAPE)
    high = b.op("GREATER", "high", ("image", number(b, 0.25)), SHAPE)
    return b.graph(b.op("SELECT", "chosen", (high, chain(b, ("SUB", 0.25)), inner), SHAPE))


CASES: dict[str, tuple[Callable[[], Graph], Function]] = {
    "negative": (lambda: built(("NEG", None)), lambda x: -x),
    "square": (lambda: built(("SQUARE", None)), np.square),
    "cube": (lambda: built(("POW", 3.0)), lambda x: x**3),
    "fourth power": (lambda: built(("POW", 4.0)), lambda x: x**4),
    "power of a half": (lambda: built(("ABS", None), ("POW", 0.5)), lambda x: abs(x) ** 0.5),
    "inverse root": (
        lambda: built(("ABS", None), ("ADD", 0.5), ("POW", -0.5)),
        lambda x: (abs(x) + 0.5) ** -0.5,
    ),
    "quotient of a number": (lambda: built(("DIV", 3.0)), lambda x: x / 3),
    "quotient of a positive tensor": (quotient, inverse),
    "elu": (lambda: built(("ELU", None)), lambda x: np.where(x > 0, x, np.expm1(x))),
    "softplus": (
        lambda: built(("MUL", 50.0), ("EXP", None), ("ADD", 1.0), ("LOG", None)),
        lambda x: np.logaddexp(50 * x.astype(np.float64), 0),
    ),
    "leaky relu": (
        lambda: chosen("GREATER", 0.0, [], "tenth"),
        lambda x: np.where(x > 0, x, x * 0.1),
    ),
    "selu": (
        lambda: chosen("GREATER_EQUAL", 0.0, [("MUL", 1.1)], "bent"),
        lambda x: np.where(x > 0, 1.1 * x, 1.5 * np.expm1(x)),
    ),
    "the lower branch first": (
        lambda: chosen("LESS", 0.0, [("MUL", 1.1)], "bent"),
        lambda x: np.where(x > 0, 1.1 * x, 1.5 * np.expm1(x)),
    ),
    "branches that meet elsewhere": (
        lambda: chosen("GREATER", 0.5, [("SUB", 0.45)], "tenth"),
        lambda x: np.where(x > 0.5, x - 0.45, 0.1 * x),
    ),
    "a branch that ends at a number": (
        lambda: chosen("GREATER", 0.5, [("SUB", 0.5)], "zero"),
        lambda x: np.maximum(x - 0.5, 0),
    ),
    "soft shrink": (
        soft_shrink,
        lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.25, 0),
    ),
    "elu of another alpha": (
        lambda: chosen("GREATER", 0.0, [("ELU", None)], "bent"),
        lambda x: np.where(x > 0, x, 1.5 * np.expm1(x)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_function_stays_in_operators_with_integer_forms(name: str) -> None:
    build, function = CASES[name]
    pictures = images(2)
    graph = rewritten(build())
    assert {op.kind for op in graph.ops} <= set(OpKind)
    np.testing.assert_allclose(run(graph, pictures), function(pictures), rtol=2e-5, atol=2e-6)


def test_the_parts_of_softplus_stay_small() -> None:
    values: list[np.ndarray] = []
    graph = rewritten(CASES["softplus"][0]())
    run(graph, images(2), lambda _, value: values.append(np.asarray(value)) or value)
    assert max(np.abs(value).max() for value in values) < 51


@pytest.mark.parametrize(
    "build",
    [
        lambda: chosen("GREATER", 0.5, [], "zero"),
        lambda: chosen("GREATER", 0.5, [], "tenth"),
        lambda: built(("POW", 1.7)),
        lambda: built(("DIV", 0.0)),
        lambda: built(("EXP", None), ("ADD", 2.0), ("LOG", None)),
    ],
)
def test_what_no_rule_fits_stays(build: Callable[[], Graph]) -> None:
    graph = build()
    assert rewritten(graph) is graph


def normalized(offset: str, dense: bool) -> tuple[Graph, Function]:
    """Layer normalization as the converter writes it; ``offset`` is how beta enters it."""
    b = Builder(np.random.default_rng(3))
    gain, shift = b.rng.uniform(0.5, 2, 3), b.rng.normal(0, 1, 3)
    stored = [b.constant(n, v.astype(np.float32)) for n, v in (("g", gain), ("b", shift))]
    axis = b.constant("axis", np.array([-1], np.int32))
    keep = {"keepDims": True}
    mean = b.op(OpKind.MEAN, "mean", ("image", axis), ROW, "ReducerOptions", **keep)
    spread = b.op(OpKind.SQUARED_DIFFERENCE, "spread", ("image", mean), SHAPE)
    variance = b.op(OpKind.MEAN, "variance", (spread, axis), ROW, "ReducerOptions", **keep)
    lifted = b.op(OpKind.ADD, "lifted", (variance, number(b, 1e-3)), ROW)
    root = b.op(OpKind.RSQRT, "root", (lifted,), ROW)
    factor = b.op(OpKind.MUL, "factor", (root, stored[0]), SHAPE)
    if offset == "subtracted":
        product = b.op(OpKind.MUL, "product", (mean, factor), SHAPE)
        moved = b.op(OpKind.SUB, "moved", (stored[1], product), SHAPE)
    else:
        negative = b.op("NEG", "negative", (mean,), ROW)
        moved = b.op(OpKind.MUL, "product", (negative, factor), SHAPE)
        if offset == "added":
            moved = b.op(OpKind.ADD, "moved", (moved, stored[1]), SHAPE)
    scaled = b.op(OpKind.MUL, "scaled", ("image", factor), SHAPE)
    result = b.op(OpKind.ADD, "normal", (scaled, moved), SHAPE)
    if dense:
        result = b.conv("conv", result, 5)

    def function(x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scale = gain / np.sqrt(np.square(centred).mean(-1, keepdims=True) + 1e-3)
        normal = centred * scale + (0 if offset == "none" else shift)
        if not dense:
            return normal
        weight, bias = (b.tensors[f"conv.{n}"].value for n in ("weight", "bias"))
        return normal @ weight[:, 0, 0].T + bias

    return b.graph(result), function


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("offset", ["none", "added", "subtracted"])
def test_layer_normalization_takes_the_mean_off_first(offset: str, dense: bool) -> None:
    graph, function = normalized(offset, dense)
    found, pictures = rewritten(graph), images(2)
    np.testing.assert_allclose(run(found, pictures), function(pictures), rtol=1e-4, atol=1e-5)
    kinds = [op.kind for op in found.ops]
    assert kinds.count(OpKind.SUB) == 1
    assert OpKind.SQUARED_DIFFERENCE not in kinds
    assert kinds.count(OpKind.MUL) == (2 if dense else 3)  # a convolution absorbs the gain


def test_a_convolution_keeps_its_weight_behind_other_products() -> None:
    b = Builder(np.random.default_rng(3))
    scaled = b.op(OpKind.MUL, "scaled", ("image", number(b, [1.0, 2.0, 3.0])), SHAPE)
    b.conv("conv", scaled, 5)
    graph = b.graph("conv")
    assert rewritten(graph) is graph


def pooled(height: int, width: int, step: int, result: int, *, same: bool = False) -> Graph:
    b = Builder(np.random.default_rng(3))
    options = {
        "padding": 0 if same else 1, "strideW": step, "strideH": step, "filterWidth": width,
        "filterHeight": height, "fusedActivationFunction": 1,
    }  # fmt: skip
    shape = (1, result, result, 3)
    return b.graph(b.op(OpKind.AVERAGE_POOL, "pool", ("image",), shape, "Pool2DOptions", **options))


@pytest.mark.parametrize("same", [False, True])
def test_small_means_are_convolutions_of_equal_weights(same: bool) -> None:
    graph, pictures = pooled(2, 2, 2, SIDE // 2, same=same), images(2) - 0.5
    found = rewritten(graph)
    assert [op.kind for op in found.ops] == [OpKind.DEPTHWISE_CONV]
    blocks = pictures.reshape(2, SIDE // 2, 2, SIDE // 2, 2, 3)
    np.testing.assert_allclose(run(found, pictures), np.maximum(blocks.mean((2, 4)), 0), atol=1e-6)


@pytest.mark.parametrize(
    "graph",
    [
        pooled(3, 3, 1, SIDE - 2),  # of nine numbers no sum is a tie
        pooled(SIDE, SIDE, 1, 1),  # of 64 hardly one is
        pooled(2, 2, 1, SIDE, same=True),  # the last windows are smaller
        pooled(4, 4, 2, SIDE // 2, same=True),
    ],
)
def test_other_means_stay(graph: Graph) -> None:
    assert rewritten(graph) is graph


def test_a_dense_layer_on_a_map_is_a_pointwise_convolution() -> None:
    b = Builder(np.random.default_rng(3))
    constants = b.weights("dense", (5, 3), 5)
    options = {"fusedActivationFunction": 1, "keepNumDims": True}
    shape, table = (1, SIDE, SIDE, 5), "FullyConnectedOptions"
    dense = b.op(OpKind.DENSE, "dense", ("image", *constants), shape, table, **options)
    graph, pictures = b.graph(dense), images(2)
    found = rewritten(graph)
    assert [(op.kind, found.weight(op).shape) for op in found.ops] == [(OpKind.CONV, (5, 1, 1, 3))]
    np.testing.assert_allclose(run(found, pictures), run(graph, pictures), atol=1e-6)


def test_a_dense_layer_on_a_vector_stays() -> None:
    b = Builder(np.random.default_rng(3))
    graph = b.graph(b.dense("dense", b.mean("mean", "image"), 5))
    assert rewritten(graph) is graph
