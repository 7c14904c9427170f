"""Order of the axes of a file's input, from its sizes."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.input_layout import channels_last, file_layout, likely_layout
from quantize.settings import Layout

NHWC, NCHW = Layout.NHWC, Layout.NCHW


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((1, 224, 224, 3), NHWC),
        ((1, 3, 224, 224), NCHW),
        ((1, 3, 8, 3), NHWC),
        ((1, 28, 28, 1), NHWC),
        ((1, 1, 28, 28), NCHW),
        ((None, None, None, 4), NHWC),
        ((1, 2, 16, 4), NHWC),
        ((1, 64, 7, 64), NHWC),
        ((1, 49, 10), NHWC),
    ],
)
def test_the_end_that_is_as_short_as_channels_are(
    shape: tuple[int | None, ...], layout: Layout
) -> None:
    assert likely_layout(shape) is layout


def test_a_tie_is_decided_by_the_format() -> None:
    assert likely_layout((1, 64, 7, 64), NCHW) is NCHW
    assert file_layout(Path("a.keras"), (1, 64, 7, 64)) is NHWC


def test_examples_have_their_channels_last() -> None:
    assert channels_last((None, 1, 28, 20), NCHW) == (28, 20, 1)
    assert channels_last((1, 28, 20, 1), NHWC) == (28, 20, 1)
    assert channels_last((None, 7), NCHW) == (7,)
