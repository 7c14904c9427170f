"""Kernels of shapes, sizes and products equal LiteRT's reference kernels bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from network.affine import IntType, QuantParams, bias_params, symmetric_params
from tests.network.oracle.cases import FUSED, PADDING, SEED, params, some, values
from tests.network.oracle.files import Compared, Options, Slot, constant

HERE = Compared()
WIDE = Compared()
few = settings(parent=some, max_examples=6)
IMAGE = (1, 4, 6, 8)
BOTH = pytest.mark.parametrize("wide", [False, True], ids=["int8", "int16"])


def parameters(seed: int, *, wide: bool) -> QuantParams:
    rng = np.random.default_rng(seed)
    scale = float(rng.uniform(2.0**-10, 0.5))
    if wide:
        return QuantParams((scale / 256,), (0,), IntType.INT16)
    return QuantParams((scale,), (int(rng.integers(-128, 128)),))


def slot(shape: tuple[int, ...], of: QuantParams) -> Slot:
    return Slot(shape, of.dtype.value, of)


def integers(*numbers: Any) -> Slot:
    return constant(np.asarray(numbers[0] if len(numbers) == 1 else numbers, np.int32))


MOVES: dict[str, tuple[str, tuple[int, ...], list[Slot], list[tuple[int, ...]], Options]] = {
    "SLICE": (
        "SLICE", IMAGE, [integers(0, 1, 2, 0), integers(1, -1, 3, 7)], [(1, 3, 3, 7)],
        ("SliceOptions", {}),
    ),
    "SPLIT_V": (
        "SPLIT_V", IMAGE, [integers(1, 2, 5), integers(3)], [(1, 4, 6, n) for n in (1, 2, 5)],
        ("SplitVOptions", {"numSplits": 3}),
    ),
    "the rest": (
        "SPLIT_V", IMAGE, [integers(4, -1), integers(2)], [(1, 4, 4, 8), (1, 4, 2, 8)],
        ("SplitVOptions", {"numSplits": 2}),
    ),
    "UNPACK": (
        "UNPACK", IMAGE, [], [(1, 6, 8)] * 4, ("UnpackOptions", {"axis": 1, "num": 4}),
    ),
    "GATHER": (
        "GATHER", IMAGE, [integers(7, 0, 3, 3)], [(1, 4, 6, 4)],
        ("GatherOptions", {"axis": 3, "batchDims": 0}),
    ),
    "a square of indices": (
        "GATHER", IMAGE, [integers([[5, 0], [1, 1]])], [(1, 4, 2, 2, 8)],
        ("GatherOptions", {"axis": 2, "batchDims": 0}),
    ),
    "EXPAND_DIMS": ("EXPAND_DIMS", IMAGE, [integers(1)], [(1, 1, 4, 6, 8)], None),
    "SQUEEZE": (
        "SQUEEZE", (1, 1, 6, 8), [], [(1, 6, 8)], ("SqueezeOptions", {"squeezeDims": [1]}),
    ),
    "BROADCAST_TO": (
        "BROADCAST_TO", (1, 4, 1, 8), [integers(1, 4, 5, 8)], [(1, 4, 5, 8)], None,
    ),
    "MIRROR_PAD": (
        "MIRROR_PAD", IMAGE, [integers([[0, 0], [1, 2], [3, 0], [0, 1]])], [(1, 7, 9, 9)],
        ("MirrorPadOptions", {"mode": 0}),
    ),
    "symmetric": (
        "MIRROR_PAD", IMAGE, [integers([[0, 0], [1, 2], [3, 0], [0, 1]])], [(1, 7, 9, 9)],
        ("MirrorPadOptions", {"mode": 1}),
    ),
    "REVERSE_V2": ("REVERSE_V2", IMAGE, [integers([2])], [IMAGE], None),
    "REDUCE_MAX": (
        "REDUCE_MAX", IMAGE, [integers(1, 2)], [(1, 8)], ("ReducerOptions", {"keepDims": False}),
    ),
    "REDUCE_MIN": (
        "REDUCE_MIN", IMAGE, [integers([-1])], [(1, 4, 6, 1)],
        ("ReducerOptions", {"keepDims": True}),
    ),
    "new axes": (
        "STRIDED_SLICE", IMAGE, [integers(0, 0, 5, 1), integers(0, 0, 0, 7), integers(1, 1, 1, 2)],
        [(1, 4, 6, 1, 3)], ("StridedSliceOptions", {
            "beginMask": 1, "endMask": 1, "shrinkAxisMask": 0, "ellipsisMask": 2, "newAxisMask": 4,
        }),
    ),
}  # fmt: skip
"""Kind, shape of the input, further inputs, shapes of the results, options."""
NARROW: dict[str, tuple[str, tuple[int, ...], list[Slot], list[tuple[int, ...]], Options]] = {
    "DEPTH_TO_SPACE": (
        "DEPTH_TO_SPACE", IMAGE, [], [(1, 8, 12, 2)], ("DepthToSpaceOptions", {"blockSize": 2}),
    ),
    "SPACE_TO_DEPTH": (
        "SPACE_TO_DEPTH", IMAGE, [], [(1, 2, 3, 32)], ("SpaceToDepthOptions", {"blockSize": 2}),
    ),
}  # fmt: skip
"""The same for kinds without a kernel of 16 bits."""


def differing_move(compared: Compared, case: str, *, wide: bool) -> list[str]:
    kind, shape, more, results, options = {**MOVES, **NARROW}[case]
    of = parameters(len(case), wide=wide)
    feed = values(np.random.default_rng(1), shape, of.dtype.value)
    outputs = [slot(result, of) for result in results]
    return compared.differing(kind, [slot(shape, of), *more], outputs, options, [feed])


@HERE.of(*{case[0] for case in (*MOVES.values(), *NARROW.values())})
@pytest.mark.parametrize("case", [*MOVES, *NARROW])
def test_moves(case: str) -> None:
    assert differing_move(HERE, case, wide=False) == []


@WIDE.of(*{case[0] for case in MOVES.values()})
@pytest.mark.parametrize("case", MOVES)
def test_wide_moves(case: str) -> None:
    assert differing_move(WIDE, case, wide=True) == []


@HERE.of("PACK")
@WIDE.of("PACK")
@BOTH
def test_pack(wide: bool) -> None:
    of = parameters(3, wide=wide)
    rng = np.random.default_rng(2)
    feeds = [values(rng, IMAGE, of.dtype.value) for _ in range(3)]
    options = ("PackOptions", {"axis": 4, "valuesCount": 3})
    compared = WIDE if wide else HERE
    inputs, out = [slot(IMAGE, of)] * 3, slot((*IMAGE, 3), of)
    assert compared.differing("PACK", inputs, [out], options, feeds) == []


@HERE.of("PADV2")
@WIDE.of("PADV2")
@BOTH
def test_padding_with_a_number(wide: bool) -> None:
    of = parameters(4, wide=wide)
    number = constant(np.asarray([17], of.dtype.value), of)
    margins = integers([[0, 0], [1, 2], [0, 3], [0, 0]])
    feed = values(np.random.default_rng(2), IMAGE, of.dtype.value)
    out = slot((1, 7, 9, 8), of)
    compared = WIDE if wide else HERE
    inputs = [slot(IMAGE, of), margins, number]
    assert compared.differing("PADV2", inputs, [out], ("PadV2Options", {}), [feed]) == []


@HERE.of("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
@WIDE.of("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
@pytest.mark.parametrize("kind", ["RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"])
@pytest.mark.parametrize("grid", ["alignCorners", "halfPixelCenters", "neither"])
@BOTH
@few
@given(SEED, st.tuples(st.integers(1, 7), st.integers(1, 7)), st.integers(1, 13))
def test_resizing(
    kind: str, grid: str, wide: bool, seed: int, before: tuple[int, int], after: int
) -> None:
    of = parameters(seed, wide=wide)
    shape, size = (1, *before, 2), (after, 14 - after)
    feed = values(np.random.default_rng(seed), shape, of.dtype.value)
    fields = {"alignCorners": grid == "alignCorners", "halfPixelCenters": grid.startswith("half")}
    table = {"RESIZE_BILINEAR": "ResizeBilinearOptions"}.get(kind, "ResizeNearestNeighborOptions")
    out = slot((1, *size, 2), of)
    compared = WIDE if wide else HERE
    inputs = [slot(shape, of), integers(*size)]
    assert compared.differing(kind, inputs, [out], (table, fields), [feed]) == []


@HERE.of("L2_NORMALIZATION")
@some
@given(params(), SEED, st.integers(1, 40), st.sampled_from([1, 4, 128]))
def test_normalization(source: QuantParams, seed: int, depth: int, reach: int) -> None:
    zero = source.zero_point[0]
    steps = np.random.default_rng(seed).integers(-reach, reach + 1, (1, 3, 2, depth))
    steps[0, 0, 0] = 0
    feed = np.clip(steps + zero, -128, 127).astype(np.int8)
    out = slot(feed.shape, QuantParams((1 / 128,), (0,)))
    options = ("L2NormOptions", {"fusedActivationFunction": 0})
    inputs = [slot(feed.shape, source)]
    assert HERE.differing("L2_NORMALIZATION", inputs, [out], options, [feed]) == []


@HERE.of("BATCH_MATMUL")
@WIDE.of("BATCH_MATMUL")
@BOTH
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
@few
@given(SEED, st.booleans())
def test_products_of_activations(
    wide: bool, turned: tuple[bool, bool], seed: int, one: bool
) -> None:
    rng = np.random.default_rng(seed)
    first, second, result = (parameters(seed + n, wide=wide) for n in range(3))
    left, right = (1, 3, 4, 7), (1, 1 if one else 3, 7, 5)
    left, right = (
        (*shape[:2], *shape[:1:-1]) if turn else shape
        for shape, turn in zip((left, right), turned, strict=True)
    )
    feeds = [values(rng, shape, first.dtype.value) for shape in (left, right)]
    options = ("BatchMatMulOptions", {"adjX": turned[0], "adjY": turned[1]})
    compared = WIDE if wide else HERE
    inputs = [slot(left, first), slot(right, second)]
    out = slot((1, 3, 4, 5), result)
    assert compared.differing("BATCH_MATMUL", inputs, [out], options, feeds) == []


@HERE.of("TRANSPOSE_CONV")
@WIDE.of("TRANSPOSE_CONV")
@BOTH
@few
@given(
    SEED,
    FUSED,
    PADDING,
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.booleans(),
    st.booleans(),
)
def test_transposed_convolutions(
    wide: bool,
    seed: int,
    fused: int,
    padding: int,
    strides: tuple[int, int],
    biased: bool,
    per_channel: bool,
) -> None:
    rng = np.random.default_rng(seed)
    source, result = (parameters(seed + n, wide=wide) for n in range(2))
    size, kernel, channels = (4, 5), rng.integers(1, 5, 2), 3
    out = [
        n * t if padding == 0 else (n - 1) * t + max(int(k), t)
        for n, t, k in zip(size, strides, kernel, strict=True)
    ]
    count = 2 if per_channel else 1
    weights = symmetric_params(rng.uniform(0.2, 2, count), axis=0 if per_channel else None)
    weight = rng.integers(-127, 128, (2, *kernel, channels)).astype(np.int8)
    inputs = [integers(1, *out, 2), constant(weight, weights), slot((1, *size, channels), source)]
    if biased:
        of_bias = bias_params(source, weights)
        kind = IntType.INT64 if wide else IntType.INT32
        of_bias = QuantParams(of_bias.scale, of_bias.zero_point, kind, of_bias.axis)
        inputs.append(constant(rng.integers(-5000, 5000, 2).astype(kind.value), of_bias))
    fields = {
        "padding": padding, "strideH": strides[0], "strideW": strides[1],
        "fusedActivationFunction": fused,
    }  # fmt: skip
    feed = values(rng, (1, *size, channels), source.dtype.value)
    compared = WIDE if wide else HERE
    outputs = [slot((1, *out, 2), result)]
    options = ("TransposeConvOptions", fields)
    assert compared.differing("TRANSPOSE_CONV", inputs, outputs, options, [feed]) == []
