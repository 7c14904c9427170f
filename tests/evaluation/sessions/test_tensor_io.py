from __future__ import annotations

import numpy as np
import pytest

from evaluation.sessions.tensor_io import InputTensor
from foundation.errors import InvalidInputError
from quantize.settings import Layout


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 16, 24, 3), InputTensor((16, 24, 3), Layout.NHWC, 1)),
        ((None, 16, 24, 3), InputTensor((16, 24, 3), Layout.NHWC, None)),
        ((-1, 16, 24, 3), InputTensor((16, 24, 3), Layout.NHWC, None)),
        (("batch", 3, 16, 24), InputTensor((16, 24, 3), Layout.NCHW, None)),
        ((2, 3, 16, 3), InputTensor((3, 16, 3), Layout.NHWC, 2)),
        ((1, 28, 20, 1), InputTensor((28, 20, 1), Layout.NHWC, 1)),
        ((1, 1, 28, 20), InputTensor((28, 20, 1), Layout.NCHW, 1)),
        ((1, 4, 28, 20), InputTensor((28, 20, 4), Layout.NCHW, 1)),
        ((1, 28, 20, 8), InputTensor((28, 20, 8), Layout.NHWC, 1)),
        ((None, 49, 10), InputTensor((49, 10), Layout.NHWC, None)),
        ((1, 7), InputTensor((7,), Layout.NHWC, 1)),
    ],
)
def test_shapes_are_read(shape: tuple[int | None, ...], expected: InputTensor) -> None:
    assert InputTensor.from_shape(shape, "x") == expected


@pytest.mark.parametrize(
    "shape",
    [(1, 2, 16, 16, 4), (1, "h", 16, 3), (1, 3, None, 16), (1, -1, -1, 3), (1, None), (1,), ()],
)
def test_shapes_of_other_inputs_are_refused(shape: tuple[int | None, ...]) -> None:
    with pytest.raises(InvalidInputError, match="axes of fixed sizes"):
        InputTensor.from_shape(shape, "x")


def test_chunks_are_filled_up_and_arranged() -> None:
    images = np.arange(3 * 2 * 2 * 3, dtype=np.float32).reshape(3, 2, 2, 3)
    calls = list(InputTensor((2, 2, 3), Layout.NCHW, 2).chunks(images))
    assert [(call.shape, wanted) for call, wanted in calls] == [
        ((2, 3, 2, 2), 2),
        ((2, 3, 2, 2), 1),
    ]
    assert np.array_equal(calls[1][0][0], images[2].transpose(2, 0, 1))
    assert np.array_equal(calls[1][0][1], calls[1][0][0])
    whole = list(InputTensor((2, 2, 3), Layout.NHWC, None).chunks(images))
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
        list(InputTensor((2, 2, 3), Layout.NHWC, 1).chunks(images))


def test_the_clock_takes_one_image_and_a_file_that_takes_one() -> None:
    image = np.zeros((1, 2, 2, 3), np.float32)
    assert InputTensor((2, 2, 3), Layout.NHWC, 1).single(image).shape == (1, 2, 2, 3)
    with pytest.raises(InvalidInputError, match="time of one image"):
        InputTensor((2, 2, 3), Layout.NHWC, 4).single(image)
    with pytest.raises(InvalidInputError, match="time of one image"):
        InputTensor((2, 2, 3), Layout.NHWC, 1).single(np.zeros((2, 2, 2, 3), np.float32))
