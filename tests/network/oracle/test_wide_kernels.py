"""The int16 kernels equal LiteRT's reference kernels bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import UnsupportedError
from network.affine import IntType, QuantParams
from network.operators import OpKind
from network.oracle.reader import read_operators
from quantize.plans.widening import WIDE_KINDS
from tests.network.oracle.cases import FUSED, PADDING, SEED, params, some, values
from tests.network.oracle.files import Compared, Slot, constant, differing, write_operator

WIDE = Compared()
SHAPE = (1, 5, 6, 4)
SCALE = st.floats(2.0**-16, 2.0**-8, width=32)
BIAS = st.sampled_from([2**12, 2**24, 2**31])
"""Largest bias; sums beyond int32 occur."""


def wide(scale: float) -> QuantParams:
    return QuantParams((scale,), (0,), IntType.INT16)


def slot(scale: float, shape: tuple[int, ...] = SHAPE) -> Slot:
    return Slot(shape, "int16", wide(scale))


def stored(
    rng: np.random.Generator, shape: tuple[int, ...], axis: int, source: float, largest: int
) -> tuple[Slot, Slot]:
    """An int8 weight with one scale per channel (or in all), and its int64 bias."""
    channels = shape[axis]
    count = channels if len(shape) == 4 else 1
    scales = tuple(rng.uniform(0.002, 0.02, count))
    weights = QuantParams(scales, (0,) * count, axis=axis if count > 1 else None)
    bias = rng.integers(-largest, largest, channels)
    products = tuple((source * np.asarray(weights.scale)).tolist())
    of_bias = QuantParams(products, (0,) * count, IntType.INT64, 0 if count > 1 else None)
    weight = rng.integers(-127, 128, shape).astype(np.int8)
    return constant(weight, weights), constant(bias, of_bias)


@WIDE.of("CONV_2D", "DEPTHWISE_CONV_2D")
@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D"])
@some
@given(SCALE, SCALE, FUSED, PADDING, BIAS, SEED)
def test_convolutions(
    kind: str, source: float, result: float, fused: int, padding: int, largest: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    depthwise = kind == "DEPTHWISE_CONV_2D"
    shape, axis = ((1, 3, 3, 4), 3) if depthwise else ((5, 3, 3, 4), 0)
    size = (5, 6) if padding == 0 else (3, 4)
    options = {
        "padding": padding, "strideH": 1, "strideW": 1, "dilationHFactor": 1,
        "dilationWFactor": 1, "fusedActivationFunction": fused,
    }  # fmt: skip
    if depthwise:
        options["depthMultiplier"] = 1
    assert (
        WIDE.differing(
            kind,
            [slot(source), *stored(rng, shape, axis, source, largest)],
            [slot(result * 16, (1, *size, shape[axis]))],
            ("DepthwiseConv2DOptions" if depthwise else "Conv2DOptions", options),
            [values(rng, SHAPE, "int16")],
        )
        == []
    )


@WIDE.of("FULLY_CONNECTED")
@some
@given(SCALE, SCALE, FUSED, BIAS, SEED)
def test_fully_connected(source: float, result: float, fused: int, largest: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert (
        WIDE.differing(
            "FULLY_CONNECTED",
            [slot(source, (300, 7)), *stored(rng, (5, 7), 0, source, largest)],
            [slot(result * 16, (300, 5))],
            ("FullyConnectedOptions", {"fusedActivationFunction": fused}),
            [values(rng, (300, 7), "int16")],
        )
        == []
    )


@WIDE.of("ADD", "SUB")
@pytest.mark.parametrize("kind", ["ADD", "SUB"])
@some
@given(SCALE, SCALE, SCALE, FUSED, SEED)
def test_sums(kind: str, first: float, second: float, result: float, fused: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    options = {"fusedActivationFunction": fused, "potScaleInt16": False}
    assert (
        WIDE.differing(
            kind,
            [slot(first), slot(second)],
            [slot(result)],
            (f"{kind.capitalize()}Options", options),
            [values(rng, SHAPE, "int16") for _ in range(2)],
        )
        == []
    )


@WIDE.of("MEAN")
@some
@given(SCALE, st.floats(0.25, 2), st.booleans(), SEED)
def test_mean(source: float, ratio: float, keep: bool, seed: int) -> None:
    assert (
        WIDE.differing(
            "MEAN",
            [slot(source), constant(np.asarray([1, 2], np.int32))],
            [slot(source * ratio, (1, 1, 1, 4) if keep else (1, 4))],
            ("ReducerOptions", {"keepDims": keep}),
            [values(np.random.default_rng(seed), SHAPE, "int16")],
        )
        == []
    )


@WIDE.of("AVERAGE_POOL_2D", "MAX_POOL_2D")
@pytest.mark.parametrize("kind", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@some
@given(SCALE, FUSED, SEED)
def test_pooling(kind: str, source: float, fused: int, seed: int) -> None:
    options = {
        "padding": 0, "strideH": 2, "strideW": 2, "filterHeight": 3, "filterWidth": 2,
        "fusedActivationFunction": fused,
    }  # fmt: skip
    feed = values(np.random.default_rng(seed), SHAPE, "int16")
    assert (
        WIDE.differing(
            kind, [slot(source)], [slot(source, (1, 3, 3, 4))], ("Pool2DOptions", options), [feed]
        )
        == []
    )


def numbers(*rows: object) -> Slot:
    return constant(np.asarray(rows, np.int32))


@WIDE.of("PAD", "RESHAPE", "TRANSPOSE", "SPLIT", "CONCATENATION", "STRIDED_SLICE")
def test_moves() -> None:
    rng = np.random.default_rng(3)
    feed, source = values(rng, SHAPE, "int16"), slot(0.001)

    def moved(
        kind: str,
        inputs: list[Slot],
        shapes: list[tuple[int, ...]],
        options: dict[str, Any],
        feeds: tuple[np.ndarray, ...] = (feed,),
    ) -> list[str]:
        outputs = [slot(0.001, shape) for shape in shapes]
        table = "".join(part.capitalize() for part in kind.split("_"))
        return WIDE.differing(kind, inputs, outputs, (f"{table}Options", options), list(feeds))

    margins = numbers([0, 0], [1, 2], [0, 1], [0, 0])
    assert moved("PAD", [source, margins], [(1, 8, 7, 4)], {}) == []
    assert moved("RESHAPE", [source, numbers(1, 120)], [(1, 120)], {"newShape": [1, 120]}) == []
    assert moved("TRANSPOSE", [source, numbers(0, 3, 1, 2)], [(1, 4, 5, 6)], {}) == []
    axis = constant(np.asarray(3, np.int32))
    assert moved("SPLIT", [axis, source], [(1, 5, 6, 2)] * 2, {"numSplits": 2}) == []
    both = (feed, values(rng, SHAPE, "int16"))
    options = {"axis": 3, "fusedActivationFunction": 0}
    assert moved("CONCATENATION", [source, source], [(1, 5, 6, 8)], options, both) == []
    slices = [numbers(0, 1, 0, 0), numbers(1, 4, 6, 3), numbers(1, 2, 1, 1)]
    masks = {"beginMask": 0, "endMask": 0, "shrinkAxisMask": 0}
    assert moved("STRIDED_SLICE", [source, *slices], [(1, 2, 6, 3)], masks) == []


@some
@given(params(), SCALE, st.floats(0.5, 2), SEED)
def test_changes_of_type(narrow: QuantParams, scale: float, ratio: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    eight, sixteen = Slot(SHAPE, "int8", narrow), slot(narrow.scale[0] * ratio / 100)
    options = ("QuantizeOptions", {})
    assert differing("QUANTIZE", [eight], [sixteen], options, [values(rng, SHAPE)]) == []
    assert differing("QUANTIZE", [sixteen], [eight], options, [values(rng, SHAPE, "int16")]) == []


def test_what_has_no_int16_kernel_is_refused(tmp_path: Path) -> None:
    source = slot(0.001)
    path = write_operator(tmp_path / "one.tflite", "RELU", [source], [source])
    operators = read_operators(path)
    feed = np.zeros(SHAPE, np.int16)
    assert OpKind.RELU not in WIDE_KINDS
    with pytest.raises(UnsupportedError, match="int16 input"):
        operators.run({"t0": feed, "t1": feed})
