"""Every kernel equals LiteRT's reference kernels bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import UnsupportedError
from network.affine import IntType, QuantParams, bias_params
from network.oracle.reader import read_operators
from tests.network.oracle import files
from tests.network.oracle.cases import (
    FUSED,
    PADDING,
    SCALE,
    SEED,
    Case,
    convolutions,
    params,
    some,
    values,
)
from tests.network.oracle.files import Compared, Slot, constant, reference, write_operator

HERE = Compared()


@HERE.of("CONV_2D")
@some
@given(convolutions(depthwise=False))
def test_convolution(case: Case) -> None:
    inputs, outputs, options, feed = case
    assert HERE.differing("CONV_2D", inputs, outputs, ("Conv2DOptions", options), [feed]) == []


def test_a_convolution_over_many_channels_sums_in_double_precision() -> None:
    rng = np.random.default_rng(5)
    weight = rng.integers(100, 128, (3, 1, 1, 2000)).astype(np.int8)
    source = QuantParams((0.02,), (-128,))
    weights = QuantParams((0.001,), (0,))
    bias = constant(np.zeros(3, np.int32), bias_params(source, weights))
    inputs = [Slot((1, 2, 2, 2000), params=source), constant(weight, weights), bias]
    options = {
        "padding": 1, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1,
    }  # fmt: skip
    outputs = [Slot((1, 2, 2, 3), params=QuantParams((5.0,), (-128,)))]
    feed = rng.integers(0, 128, (1, 2, 2, 2000)).astype(np.int8)
    assert HERE.differing("CONV_2D", inputs, outputs, ("Conv2DOptions", options), [feed]) == []


@HERE.of("DEPTHWISE_CONV_2D")
@some
@given(convolutions(depthwise=True))
def test_depthwise_convolution(case: Case) -> None:
    inputs, outputs, options, feed = case
    assert (
        HERE.differing(
            "DEPTHWISE_CONV_2D", inputs, outputs, ("DepthwiseConv2DOptions", options), [feed]
        )
        == []
    )


@HERE.of("FULLY_CONNECTED")
@some
@given(params(), params(), SCALE, FUSED, SEED, st.booleans(), st.booleans())
def test_fully_connected(
    source: QuantParams,
    result: QuantParams,
    scale: float,
    fused: int,
    seed: int,
    biased: bool,
    per_channel: bool,
) -> None:
    rng = np.random.default_rng(seed)
    count = 5 if per_channel else 1
    scales = tuple(scale * rng.uniform(0.01, 0.1, count))
    weights = QuantParams(scales, (0,) * count, axis=0 if per_channel else None)
    weight = rng.integers(-127, 128, (5, 7)).astype(np.int8)
    inputs = [Slot((300, 7), params=source), constant(weight, weights)]
    if biased:
        bias = rng.integers(-5000, 5000, 5).astype(np.int32)
        inputs.append(constant(bias, bias_params(source, weights)))
    options = ("FullyConnectedOptions", {"fusedActivationFunction": fused})
    outputs = [Slot((300, 5), params=result)]
    assert (
        HERE.differing("FULLY_CONNECTED", inputs, outputs, options, [values(rng, (300, 7))]) == []
    )


@HERE.of("ADD", "SUB", "MUL")
@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
@some
@given(params(), params(), params(), FUSED, SEED, st.booleans(), st.booleans())
def test_arithmetic(
    kind: str,
    first: QuantParams,
    second: QuantParams,
    result: QuantParams,
    fused: int,
    seed: int,
    broadcast: bool,
    stored: bool,
) -> None:
    rng = np.random.default_rng(seed)
    shape = (1, 4, 5, 3)
    other = (1, 1, 1, 3) if broadcast else shape
    left, right = values(rng, shape), values(rng, other)
    operand = constant(right, second) if stored else Slot(other, params=second)
    table = {"ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions"}[kind]
    feeds = [left] if stored else [left, right]
    assert (
        HERE.differing(
            kind,
            [Slot(shape, params=first), operand],
            [Slot(shape, params=result)],
            (table, {"fusedActivationFunction": fused}),
            feeds,
        )
        == []
    )


@HERE.of("MEAN")
@some
@given(params(), params(), SEED, st.booleans(), st.sampled_from([(1, 2), (2, 1), (3,), (1, 3)]))
def test_mean(
    source: QuantParams, result: QuantParams, seed: int, keep: bool, axes: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(seed)
    shape = (1, 5, 7, 3)
    kept = [1 if i in axes else size for i, size in enumerate(shape)]
    out = tuple(kept if keep else [s for i, s in enumerate(shape) if i not in axes])
    assert (
        HERE.differing(
            "MEAN",
            [Slot(shape, params=source), constant(np.asarray(axes, np.int32))],
            [Slot(out, params=result)],
            ("ReducerOptions", {"keepDims": keep}),
            [values(rng, shape)],
        )
        == []
    )


@HERE.of("AVERAGE_POOL_2D", "MAX_POOL_2D")
@pytest.mark.parametrize("kind", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@some
@given(params(), FUSED, SEED, PADDING, st.integers(1, 3), st.integers(1, 4), st.integers(1, 2))
def test_pooling(
    kind: str,
    source: QuantParams,
    fused: int,
    seed: int,
    padding: int,
    height: int,
    width: int,
    stride: int,
) -> None:
    rng = np.random.default_rng(seed)
    shape = (1, 6, 7, 3)
    out = [
        -(-s // stride) if padding == 0 else (s - w) // stride + 1
        for s, w in zip(shape[1:3], (height, width), strict=True)
    ]
    options = {
        "padding": padding, "strideH": stride, "strideW": stride, "filterHeight": height,
        "filterWidth": width, "fusedActivationFunction": fused,
    }  # fmt: skip
    outputs = [Slot((1, *out, 3), params=source)]
    assert (
        HERE.differing(
            kind,
            [Slot(shape, params=source)],
            outputs,
            ("Pool2DOptions", options),
            [values(rng, shape)],
        )
        == []
    )


@HERE.of("RELU", "RELU6")
@pytest.mark.parametrize("kind", ["RELU", "RELU6"])
@some
@given(params(), params(), SEED)
def test_rectifiers(kind: str, source: QuantParams, result: QuantParams, seed: int) -> None:
    feed = values(np.random.default_rng(seed), (1, 64))
    assert (
        HERE.differing(
            kind, [Slot((1, 64), params=source)], [Slot((1, 64), params=result)], None, [feed]
        )
        == []
    )


@HERE.of("LOGISTIC")
@some
@given(params())
def test_logistic(source: QuantParams) -> None:
    result = QuantParams((1 / 256,), (-128,))
    feed = np.arange(-128, 128).astype(np.int8)[None]
    assert (
        HERE.differing(
            "LOGISTIC",
            [Slot((1, 256), params=source)],
            [Slot((1, 256), params=result)],
            None,
            [feed],
        )
        == []
    )


@HERE.of("HARD_SWISH")
@settings(parent=some, max_examples=60)
@given(params(), st.floats(0.02, 100.0), st.integers(-128, 127))
def test_hard_swish(source: QuantParams, ratio: float, zero: int) -> None:
    result = QuantParams((source.scale[0] * ratio,), (zero,))
    feed = np.arange(-128, 128).astype(np.int8)[None]
    assert (
        HERE.differing(
            "HARD_SWISH",
            [Slot((1, 256), params=source)],
            [Slot((1, 256), params=result)],
            ("HardSwishOptions", {}),
            [feed],
        )
        == []
    )


@HERE.of("SOFTMAX")
@settings(parent=some, max_examples=60)
@given(params(), SEED, st.integers(1, 40), st.sampled_from([1.0, 0.5, 2.0]))
def test_softmax(source: QuantParams, seed: int, classes: int, beta: float) -> None:
    result = QuantParams((1 / 256,), (-128,))
    feed = values(np.random.default_rng(seed), (3, classes))
    assert (
        HERE.differing(
            "SOFTMAX",
            [Slot((3, classes), params=source)],
            [Slot((3, classes), params=result)],
            ("SoftmaxOptions", {"beta": beta}),
            [feed],
        )
        == []
    )


TYPES = st.sampled_from([IntType.INT8, IntType.UINT8])


@HERE.of("QUANTIZE")
@some
@given(st.data(), TYPES, TYPES, SEED)
def test_requantization(data: st.DataObject, first: IntType, second: IntType, seed: int) -> None:
    source, result = data.draw(params(first)), data.draw(params(second))
    feed = values(np.random.default_rng(seed), (1, 64), first.value)
    slots = Slot((1, 64), first.value, source), Slot((1, 64), second.value, result)
    assert HERE.differing("QUANTIZE", [slots[0]], [slots[1]], ("QuantizeOptions", {}), [feed]) == []


@HERE.of("QUANTIZE", "DEQUANTIZE")
@some
@given(st.data(), TYPES, SEED)
def test_quantization_and_back(data: st.DataObject, dtype: IntType, seed: int) -> None:
    chosen = data.draw(params(dtype))
    rng = np.random.default_rng(seed)
    floats = rng.normal(0, 40 * chosen.scale[0], (1, 64)).astype(np.float32)
    floats[0, :9] = np.float32(chosen.scale[0]) * (np.arange(-4, 5) + np.float32(0.5))
    real, whole = Slot((1, 64), "float32"), Slot((1, 64), dtype.value, chosen)
    assert HERE.differing("QUANTIZE", [real], [whole], ("QuantizeOptions", {}), [floats]) == []
    feed = values(rng, (1, 64), dtype.value)
    assert HERE.differing("DEQUANTIZE", [whole], [real], ("DequantizeOptions", {}), [feed]) == []


@HERE.of("PAD", "RESHAPE", "TRANSPOSE", "SPLIT")
@some
@given(params(), SEED, st.integers(0, 2), st.integers(0, 2))
def test_moves(source: QuantParams, seed: int, before: int, after: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (1, 4, 6, 2)
    feed, slot = values(rng, shape), Slot(shape, params=source)

    def result(*sizes: int) -> Slot:
        return Slot(sizes, params=source)

    margins = np.asarray([[0, 0], [before, after], [after, before], [0, 0]], np.int32)
    padded = result(1, 4 + before + after, 6 + before + after, 2)
    assert (
        HERE.differing("PAD", [slot, constant(margins)], [padded], ("PadOptions", {}), [feed]) == []
    )
    flat = result(1, 48)
    target = constant(np.asarray([1, 48], np.int32))
    assert (
        HERE.differing(
            "RESHAPE", [slot, target], [flat], ("ReshapeOptions", {"newShape": [1, 48]}), [feed]
        )
        == []
    )
    order = constant(np.asarray([0, 3, 1, 2], np.int32))
    assert (
        HERE.differing(
            "TRANSPOSE", [slot, order], [result(1, 2, 4, 6)], ("TransposeOptions", {}), [feed]
        )
        == []
    )
    axis = constant(np.asarray(2, np.int32))
    thirds = [result(1, 4, 2, 2)] * 3
    assert (
        HERE.differing("SPLIT", [axis, slot], thirds, ("SplitOptions", {"numSplits": 3}), [feed])
        == []
    )


@HERE.of("CONCATENATION")
def test_concatenation() -> None:
    rng = np.random.default_rng(2)
    slot = Slot((1, 2, 3, 2), params=QuantParams((0.03,), (-5,)))
    options = {"axis": 3, "fusedActivationFunction": 0}
    out = Slot((1, 2, 3, 4), params=slot.params)
    feeds = [values(rng, slot.shape), values(rng, slot.shape)]
    assert (
        HERE.differing(
            "CONCATENATION", [slot, slot], [out], ("ConcatenationOptions", options), feeds
        )
        == []
    )


@HERE.of("STRIDED_SLICE")
@pytest.mark.parametrize(
    ("begin", "end", "step", "masks", "out"),
    [
        ((0, 1, 0, 0), (1, 4, 5, 3), (1, 2, 1, 1), {}, (1, 2, 5, 3)),
        ((0, 0, 0, 1), (0, 0, 0, 3), (1, 1, 1, 1), {"beginMask": 7, "endMask": 7}, (1, 4, 5, 2)),
        ((0, 2, 0, 0), (1, 3, 5, 3), (1, 1, 1, 1), {"shrinkAxisMask": 2}, (1, 5, 3)),
        ((0, -1, 0, 0), (1, -5, 5, 3), (1, -1, 1, 1), {}, (1, 4, 5, 3)),
        ((0, 0, 1, 0), (1, 4, -1, 3), (1, 1, 1, 1), {}, (1, 4, 3, 3)),
    ],
)
def test_strided_slice(
    begin: tuple[int, ...],
    end: tuple[int, ...],
    step: tuple[int, ...],
    masks: dict[str, Any],
    out: tuple[int, ...],
) -> None:
    slot = Slot((1, 4, 5, 3), params=QuantParams((0.03,), (-5,)))
    fields = {"beginMask": 0, "endMask": 0, "shrinkAxisMask": 0} | masks
    numbers = [constant(np.asarray(x, np.int32)) for x in (begin, end, step)]
    feed = values(np.random.default_rng(1), slot.shape)
    outputs = [Slot(out, params=slot.params)]
    assert (
        HERE.differing(
            "STRIDED_SLICE", [slot, *numbers], outputs, ("StridedSliceOptions", fields), [feed]
        )
        == []
    )


def test_a_bit_that_differs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "reference", lambda *given: [a ^ 1 for a in reference(*given)])
    slot = Slot((1, 4), params=QuantParams((0.03,), (-5,)))
    feed = np.arange(4, dtype=np.int8)[None]
    assert len(files.differing("RELU", [slot], [slot], None, [feed])) == 1


def test_a_form_that_has_no_kernel_is_named(tmp_path: Path) -> None:
    slot = Slot((1, 4), params=QuantParams((0.03,), (-5,)))
    other = Slot((1, 8), params=QuantParams((0.04,), (-5,)))
    options = ("ConcatenationOptions", {"axis": 1})
    path = write_operator(tmp_path / "one.tflite", "CONCATENATION", [slot, slot], [other], options)
    operators = read_operators(path)
    feed = np.zeros((1, 4), np.int8)
    with pytest.raises(UnsupportedError, match="CONCATENATION"):
        operators.run({"t0": feed, "t1": feed})
