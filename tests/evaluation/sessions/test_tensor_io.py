from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.sessions.tensor_io import ImageInput, Quantization
from foundation.errors import InvalidInputError
from quantize.recipes import Layout


def by_formula(value: float, scale: float, zero_point: int, low: int, high: int) -> int:
    """clamp(round(value / scale) + zero_point) on the single-precision quotient, exactly."""
    steps = Fraction(float(np.float32(value) / np.float32(scale)))
    half = Fraction(1, 2)
    rounded = int(steps + half) if steps >= 0 else -int(-steps + half)
    return min(max(rounded + zero_point, low), high)


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(st.floats(-300, 300, width=32), min_size=1, max_size=20),
    scale=st.floats(2**-12, 4, width=32),
    dtype=st.sampled_from(["int8", "uint8", "int16"]),
    data=st.data(),
)
def test_quantize_and_dequantize_are_the_formula_to_the_integer(
    values: list[Any], scale: float, dtype: str, data: st.DataObject
) -> None:
    limits = np.iinfo(dtype)
    low, high = int(limits.min), int(limits.max)
    zero_point = data.draw(st.integers(low, high))
    quantization = Quantization(scale, zero_point, dtype)
    integers = quantization.quantize(np.array(values, np.float32))
    assert integers.dtype == dtype
    assert integers.tolist() == [by_formula(v, scale, zero_point, low, high) for v in values]
    expected = [np.float32(scale) * np.float32(int(q) - zero_point) for q in integers]
    assert quantization.dequantize(integers).tolist() == expected


def test_rounding_is_away_from_zero_and_is_not_fooled_by_single_precision() -> None:
    below_half = float(np.nextafter(np.float32(0.5), np.float32(0)))
    values = np.array([0.5, 1.5, 2.5, -0.5, -2.5, below_half, -below_half, 1e9, -1e9], np.float32)
    integers = Quantization(1.0, 3, "int8").quantize(values)
    assert integers.tolist() == [4, 5, 6, 2, 0, 3, 3, 127, -128]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 16, 24, 3), ImageInput(16, 24, Layout.NHWC, 1)),
        ((None, 16, 24, 3), ImageInput(16, 24, Layout.NHWC, None)),
        ((-1, 16, 24, 3), ImageInput(16, 24, Layout.NHWC, None)),
        (("batch", 3, 16, 24), ImageInput(16, 24, Layout.NCHW, None)),
        ((2, 3, 16, 3), ImageInput(3, 16, Layout.NHWC, 2)),
    ],
)
def test_shapes_are_read(shape: tuple[int | None, ...], expected: ImageInput) -> None:
    assert ImageInput.from_shape(shape, "x") == expected


@pytest.mark.parametrize(
    "shape",
    [(1, 16, 16, 4), (1, 16, 16), (1, "h", 16, 3), (1, 3, None, 16), (1, -1, -1, 3), ()],
)
def test_shapes_of_other_inputs_are_refused(shape: tuple[int | None, ...]) -> None:
    with pytest.raises(InvalidInputError, match="fixed height and width"):
        ImageInput.from_shape(shape, "x")


def test_chunks_are_filled_up_and_arranged() -> None:
    images = np.arange(3 * 2 * 2 * 3, dtype=np.float32).reshape(3, 2, 2, 3)
    calls = list(ImageInput(2, 2, Layout.NCHW, 2).chunks(images))
    assert [(call.shape, wanted) for call, wanted in calls] == [
        ((2, 3, 2, 2), 2),
        ((2, 3, 2, 2), 1),
    ]
    assert np.array_equal(calls[1][0][0], images[2].transpose(2, 0, 1))
    assert np.array_equal(calls[1][0][1], calls[1][0][0])
    whole = list(ImageInput(2, 2, Layout.NHWC, None).chunks(images))
    assert len(whole) == 1
    assert np.array_equal(whole[0][0], images)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 2, 2, 3)),
        np.zeros((1, 2, 3, 3), np.float32),
        np.zeros((2, 2, 3), np.float32),
        np.full((1, 2, 2, 3), np.nan, np.float32),
    ],
)
def test_wrong_images_are_refused(images: np.ndarray) -> None:
    with pytest.raises(InvalidInputError):
        list(ImageInput(2, 2, Layout.NHWC, 1).chunks(images))


def test_the_clock_takes_one_image_and_a_file_that_takes_one() -> None:
    image = np.zeros((1, 2, 2, 3), np.float32)
    assert ImageInput(2, 2, Layout.NHWC, 1).single(image).shape == (1, 2, 2, 3)
    with pytest.raises(InvalidInputError, match="time of one image"):
        ImageInput(2, 2, Layout.NHWC, 4).single(image)
    with pytest.raises(InvalidInputError, match="time of one image"):
        ImageInput(2, 2, Layout.NHWC, 1).single(np.zeros((2, 2, 2, 3), np.float32))
