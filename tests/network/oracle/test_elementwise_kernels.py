"""Kernels of elementwise operators equal LiteRT's reference kernels bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import UnsupportedError
from network.affine import IntType, QuantParams, symmetric_params
from network.operators import OpKind
from network.oracle.reader import read_operators
from tests.network.oracle.cases import SCALE, SEED, params, some, values
from tests.network.oracle.files import Compared, Options, Slot, constant, write_operator

HERE = Compared()
WIDE = Compared()

ALL = np.arange(-128, 128).astype(np.int8)[None]  # every int8 number
TABLES: dict[str, Options] = {"EXP": ("ExpOptions", {}), "LOG": None, "ABS": ("AbsOptions", {})}
SHAPES = st.sampled_from([(2, 3, 4), (4,), (1, 3, 1), (2, 1, 4), (1,)])
EXTREME = ("MaximumMinimumOptions", {})


@HERE.of("EXP", "LOG", "ABS")
@pytest.mark.parametrize("kind", TABLES)
@some
@given(params(), params())
def test_functions_of_every_integer(kind: str, source: QuantParams, result: QuantParams) -> None:
    slots = Slot(ALL.shape, params=source), Slot(ALL.shape, params=result)
    assert HERE.differing(kind, [slots[0]], [slots[1]], TABLES[kind], [ALL]) == []


def test_absolute_values_divide_scales_in_single_precision() -> None:
    # 0.5 / float32(1/3) is 1.5 in single precision, and below it in double precision.
    source, result = QuantParams((0.5,), (0,)), QuantParams((1 / 3,), (0,))
    slots = Slot(ALL.shape, params=source), Slot(ALL.shape, params=result)
    assert HERE.differing("ABS", [slots[0]], [slots[1]], TABLES["ABS"], [ALL]) == []


@HERE.of("TANH")
@some
@given(params())
def test_tanh(source: QuantParams) -> None:
    slots = Slot(ALL.shape, params=source), Slot(ALL.shape, params=QuantParams((1 / 128,), (0,)))
    assert HERE.differing("TANH", [slots[0]], [slots[1]], None, [ALL]) == []


@HERE.of("GELU")
@some
@given(params(), params(), st.booleans())
def test_gelu(source: QuantParams, result: QuantParams, approximate: bool) -> None:
    slots = Slot(ALL.shape, params=source), Slot(ALL.shape, params=result)
    options = ("GeluOptions", {"approximate": approximate})
    assert HERE.differing("GELU", [slots[0]], [slots[1]], options, [ALL]) == []


@HERE.of("SQRT", "RSQRT")
@pytest.mark.parametrize("kind", ["SQRT", "RSQRT"])
@some
@given(params(), params())
def test_roots(kind: str, source: QuantParams, result: QuantParams) -> None:
    feed = np.maximum(ALL, source.zero_point[0]).astype(np.int8)
    slots = Slot(ALL.shape, params=source), Slot(ALL.shape, params=result)
    assert HERE.differing(kind, [slots[0]], [slots[1]], None, [feed]) == []


@pytest.mark.parametrize("kind", ["SQRT", "RSQRT"])
def test_roots_of_negative_numbers_are_refused(kind: str, tmp_path: Path) -> None:
    slot = Slot(ALL.shape, params=QuantParams((0.1,), (0,)))
    operators = read_operators(write_operator(tmp_path / "one.tflite", kind, [slot], [slot]))
    with pytest.raises(UnsupportedError, match="negative value"):
        operators.run({"t0": ALL})


@HERE.of("RELU_N1_TO_1", "RELU_0_TO_1")
@pytest.mark.parametrize("kind", ["RELU_N1_TO_1", "RELU_0_TO_1"])
@some
@given(params(), params())
def test_clips(kind: str, source: QuantParams, result: QuantParams) -> None:
    slots = Slot(ALL.shape, params=source), Slot(ALL.shape, params=result)
    assert HERE.differing(kind, [slots[0]], [slots[1]], None, [ALL]) == []


@HERE.of("LEAKY_RELU")
@some
@given(params(), params(), st.floats(-0.5, 1.5, width=32))
def test_leaky_relu(source: QuantParams, result: QuantParams, alpha: float) -> None:
    slots = Slot(ALL.shape, params=source), Slot(ALL.shape, params=result)
    options = ("LeakyReluOptions", {"alpha": alpha})
    assert HERE.differing("LEAKY_RELU", [slots[0]], [slots[1]], options, [ALL]) == []


@HERE.of("PRELU")
@some
@given(params(), params(), params(), SEED, st.sampled_from([(1, 1, 4), (3, 5, 4), (1, 1, 1)]))
def test_prelu(
    source: QuantParams,
    slope: QuantParams,
    result: QuantParams,
    seed: int,
    shape: tuple[int, ...],
) -> None:
    rng = np.random.default_rng(seed)
    inputs = [Slot((1, 3, 5, 4), params=source), constant(values(rng, shape), slope)]
    outputs = [Slot((1, 3, 5, 4), params=result)]
    assert HERE.differing("PRELU", inputs, outputs, None, [values(rng, (1, 3, 5, 4))]) == []


@HERE.of("SQUARED_DIFFERENCE")
@some
@given(params(), params(), params(), SEED, SHAPES)
def test_squared_difference(
    first: QuantParams,
    second: QuantParams,
    result: QuantParams,
    seed: int,
    shape: tuple[int, ...],
) -> None:
    rng = np.random.default_rng(seed)
    inputs = [Slot((2, 3, 4), params=first), Slot(shape, params=second)]
    feeds = [values(rng, (2, 3, 4)), values(rng, shape)]
    options = ("SquaredDifferenceOptions", {})
    outputs = [Slot((2, 3, 4), params=result)]
    assert HERE.differing("SQUARED_DIFFERENCE", inputs, outputs, options, feeds) == []


@HERE.of("MAXIMUM", "MINIMUM")
@pytest.mark.parametrize("kind", ["MAXIMUM", "MINIMUM"])
@some
@given(params(), SEED, SHAPES, st.booleans())
def test_extremes(
    kind: str, source: QuantParams, seed: int, shape: tuple[int, ...], stored: bool
) -> None:
    rng = np.random.default_rng(seed)
    slot, second = Slot((2, 3, 4), params=source), values(rng, shape)
    other = constant(second, source) if stored else Slot(shape, params=source)
    feeds = [values(rng, (2, 3, 4)), *([] if stored else [second])]
    assert HERE.differing(kind, [slot, other], [slot], EXTREME, feeds) == []


def test_extremes_of_two_scales_are_refused(tmp_path: Path) -> None:
    slots = [Slot((1, 4), params=QuantParams((scale,), (0,))) for scale in (0.1, 0.2)]
    path = write_operator(tmp_path / "one.tflite", "MAXIMUM", slots, slots[:1], EXTREME)
    feed = np.zeros((1, 4), np.int8)
    with pytest.raises(UnsupportedError, match="other scales"):
        read_operators(path).run({"t0": feed, "t1": feed})


@st.composite
def wide(draw: st.DrawFn) -> QuantParams:
    return symmetric_params(draw(SCALE) * 128, bits=16, dtype=IntType.INT16)


@WIDE.of("MUL", "MAXIMUM", "MINIMUM")
@pytest.mark.parametrize("kind", ["MUL", "MAXIMUM", "MINIMUM"])
@some
@given(wide(), wide(), wide(), SEED, SHAPES)
def test_wide_operands(
    kind: str,
    first: QuantParams,
    second: QuantParams,
    result: QuantParams,
    seed: int,
    shape: tuple[int, ...],
) -> None:
    rng = np.random.default_rng(seed)
    moves = OpKind(kind) is not OpKind.MUL
    inputs = [
        Slot((2, 3, 4), "int16", first),
        Slot(shape, "int16", first if moves else second),
    ]
    outputs = [Slot((2, 3, 4), "int16", first if moves else result)]
    feeds = [values(rng, (2, 3, 4), "int16"), values(rng, shape, "int16")]
    options = EXTREME if moves else ("MulOptions", {})
    assert WIDE.differing(kind, inputs, outputs, options, feeds) == []


@WIDE.of("LEAKY_RELU")
@some
@given(wide(), wide(), st.floats(0, 1, width=32), SEED)
def test_wide_leaky_relu(source: QuantParams, result: QuantParams, alpha: float, seed: int) -> None:
    slots = Slot((1, 300), "int16", source), Slot((1, 300), "int16", result)
    feed = values(np.random.default_rng(seed), (1, 300), "int16")
    options = ("LeakyReluOptions", {"alpha": alpha})
    assert WIDE.differing("LEAKY_RELU", [slots[0]], [slots[1]], options, [feed]) == []
