"""Arithmetic on shapes is done once, when a graph is read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from network.folding import folded
from network.operators import OpKind
from tests.network.graphs import SIDE, Builder


def stored(b: Builder, name: str, *numbers: Any) -> str:
    return b.constant(name, np.array(numbers[0] if len(numbers) == 1 else numbers, np.int32))


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
    for name in ("batch", "whole"):
        b.tensors[name] = replace(b.tensors[name], dtype="int32")
    after = folded(b.graph())
    assert [str(op.kind) for op in after.ops] == ["CONV_2D", "RESHAPE", "MEAN", "FULLY_CONNECTED"]
    assert after.value("whole").tolist() == [1, SIDE * SIDE, 6]


def test_a_test_for_finite_numbers_is_passed_once() -> None:
    b = Builder(np.random.default_rng(2))
    conv = b.conv("stem", "image", 6)
    shape = b.tensors[conv].shape
    nothing = b.op(OpKind.SUB, "nothing", (conv, conv), shape, "SubOptions")
    zero = b.constant("zero", np.zeros((), np.float32))
    finite = b.op("EQUAL", "finite", (nothing, zero), shape, "EqualOptions")
    b.tensors[finite] = replace(b.tensors[finite], dtype="bool")
    other = b.constant("other", np.zeros(shape, np.float32))
    kept = b.op("SELECT_V2", "kept", (finite, conv, other), shape, "SelectV2Options")
    axes = stored(b, "axes", [1, 2])
    pooled = b.op(OpKind.MEAN, "pool", (kept, axes), (1, 6), "ReducerOptions", keepDims=False)
    b.dense("scores", pooled, 4)
    after = folded(b.graph())
    assert [str(op.kind) for op in after.ops] == ["CONV_2D", "MEAN", "FULLY_CONNECTED"]
    assert after.ops[1].inputs[0] == conv
