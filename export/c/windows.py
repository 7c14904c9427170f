"""Windows of operators on images: which rows a row of the result needs, and what it may overwrite.

Kernels compute the pixels of a result row by row, from left to right, so what a pixel and those
after it no longer read may be overwritten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from network.graph import Op
from network.operators import OpKind
from network.oracle.call import spread_of

_SAME = 0
_WINDOWED = (OpKind.CONV, OpKind.DEPTHWISE_CONV)
_POOLS = (OpKind.AVERAGE_POOL, OpKind.MAX_POOL)

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """Windows along one axis.

    Attributes:
        extent: pixels from the first to the last of a window, dilation included.
        stride: distance of two windows.
        before: pixels of padding before the first pixel.
        count: number of windows.
    """

    extent: int = 1
    stride: int = 1
    before: int = 0
    count: int = 1

    def first(self, number: int, size: int) -> int:
        """First pixel inside an axis of ``size`` pixels that a window reads."""
        return min(max(number * self.stride - self.before, 0), size)

    def end(self, number: int, size: int) -> int:
        """Pixel behind the last one that a window reads."""
        return min(number * self.stride - self.before + self.extent, size)


Spans = tuple[tuple[int, int], ...]
"""First pixel and the one behind the last of each tensor of a chain, from the source on."""


def spans(windows: Sequence[Window], sizes: Sequence[int], first: int, end: int) -> Spans:
    """Pixels along an axis that a chain needs for pixels of its result.

    Args:
        windows: windows of its operators.
        sizes: pixels of what each operator reads.
        first: first pixel of the result.
        end: pixel behind the last one.

    Returns:
        Pixels of the source, then of the result of each operator.
    """
    found = [(first, end)]
    for window, size in zip(reversed(windows), reversed(sizes), strict=True):
        first, end = window.first(first, size), window.end(end - 1, size)
        found.append((first, end))
    return tuple(reversed(found))


def windows_of(op: Op, source: Shape, weight: Shape | None) -> tuple[Window, Window] | None:
    """Windows along rows and columns; None for an operator that is no convolution and no pool.

    Args:
        op: operator.
        source: shape of its image, ``[1, height, width, channels]``.
        weight: shape of its weight, ``[o, kh, kw, c]``.
    """
    options = op.options
    if op.kind in _WINDOWED and weight is not None:
        height, width = weight[1:3]
        down, across = int(options["dilationHFactor"]), int(options["dilationWFactor"])
    elif op.kind in _POOLS:
        height, width = int(options["filterHeight"]), int(options["filterWidth"])
        down = across = 1
    else:
        return None
    same = options["padding"] == _SAME
    return (
        _window(source[1], (height - 1) * down + 1, int(options["strideH"]), same=same),
        _window(source[2], (width - 1) * across + 1, int(options["strideW"]), same=same),
    )


def _window(size: int, extent: int, stride: int, *, same: bool) -> Window:
    count, before, _ = spread_of(size, extent, stride, same=same)
    return Window(extent, stride, before, count)


def overlap_gap(rows: Window, columns: Window, source: Shape, channels: int) -> int:
    """Bytes by which a result must begin before its source to be written while that is read.

    All channels of a pixel of the result are written while its window is still being read.

    Args:
        rows: windows along the rows.
        columns: windows along the columns.
        source: shape of the source, ``[1, height, width, channels]``.
        channels: channels of the result.
    """
    _, height, width, depth = source
    down = np.clip(np.arange(rows.count) * rows.stride - rows.before, 0, height)
    across = np.clip(np.arange(columns.count) * columns.stride - columns.before, 0, width)
    reads = ((down[:, None] * width + across) * depth).reshape(-1)
    needed = np.minimum.accumulate(reads[::-1])[::-1]  # by this pixel and all after it
    written = (np.arange(reads.size) + 1) * channels
    return max(0, int((written - needed).max(initial=0)))
