"""Windows of an image: what each sampled position of an operator's output reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np

from network.affine import QuantParams
from network.graph import Graph, Op
from network.operators import OpKind

_PADDING = ("SAME", "VALID")


def positions_per_image(op: Op, graph: Graph, positions: int) -> int:
    """Number of sampled positions of one image's output, for at most ``positions``."""
    step = _grid_step(op, graph, positions)
    return int(np.prod([-(-side // step) for side in graph.tensors[op.name].shape[1:-1]]))


def _grid_step(op: Op, graph: Graph, positions: int) -> int:
    """Rows, and columns, from one sampled position of the output to the next."""
    if op.kind == OpKind.DENSE:
        return 1
    _, rows, columns, _ = graph.tensors[op.name].shape
    step = 1
    while -(-rows // step) * -(-columns // step) > positions or _skips(op, step):
        step += 1
    return step


def _skips(op: Op, step: int) -> bool:
    """Whether a grid leaves out places of a transposed convolution's stride.

    Its outputs read other places of the kernel at each of them.
    """
    if op.kind != OpKind.TRANSPOSE_CONV:
        return False
    return any(gcd(step, int(op.options[f"stride{axis}"])) > 1 for axis in "HW")


def windows(
    op: Op, graph: Graph, image: Any, positions: int, params: QuantParams | None = None
) -> np.ndarray:
    """What each sampled position of an operator's output reads.

    For the output position (r, c), the kernel's place (i, j) and the input channel k:

        windows[(image, r, c), (i, j, k)] = image[r stride + i dilation - before,
                                                  c stride + j dilation - before, k]

    Args:
        op: weighted operator.
        graph: graph that it belongs to.
        image: batch of the operator's input, ``[images, rows, columns, channels]``.
        positions: largest number of one image's positions.
        params: parameters of the image's integers; None where it holds float numbers.

    Returns:
        The numbers in float32, ``[positions, inputs]``; for depthwise ``[channels, height * width,
        positions]``. Outside the image stands 0.
    """
    values = np.asarray(image)
    if op.kind == OpKind.DENSE:
        values = values if params is None else params.dequantize(values)
        return values.reshape(-1, graph.weight(op).shape[-1]).astype(np.float32, copy=False)
    if op.kind == OpKind.TRANSPOSE_CONV:
        return _scattered(op, graph, values, _grid_step(op, graph, positions), params)
    sampled = SampledWindows.of(op, graph, values.shape[1:3], positions)
    if op.kind == OpKind.DEPTHWISE_CONV:
        planes = sampled.planes([values], params)
        planes = planes if params is None else params.dequantize(planes)
        height, width = sampled.kernel
        read = np.ascontiguousarray(sampled.of_planes(planes))
        return read.reshape(len(planes), height * width, -1)
    pixels = sampled.pixels(values, params)
    read = sampled.of_pixels(pixels if params is None else params.dequantize(pixels))
    return np.ascontiguousarray(read, np.float32).reshape(-1, int(np.prod(read.shape[3:])))


@dataclass(frozen=True)
class SampledWindows:
    """Windows of an operator's sampled outputs, as views of the pixels that they read.

    Attributes:
        lines: rows and columns that are read.
    """

    lines: tuple[_Line, ...]

    @classmethod
    def of(cls, op: Op, graph: Graph, sides: tuple[int, ...], positions: int) -> SampledWindows:
        """Windows of a convolution, grouped or depthwise or neither.

        Args:
            op: the operator.
            graph: graph that it belongs to.
            sides: rows and columns of its input.
            positions: largest number of one image's positions.
        """
        return cls(_lines(op, graph, sides, _grid_step(op, graph, positions)))

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of the kernel."""
        rows, columns = self.lines
        return rows.size, columns.size

    def pixels(self, values: np.ndarray, params: QuantParams | None = None) -> np.ndarray:
        """Rows and columns of ``[images, rows, columns, channels]`` that are read, in order.

        Args:
            values: batch of the operator's input.
            params: parameters of its integers; None where it holds float numbers.

        Returns:
            Numbers or integers, as they are given.
        """
        return _read_lines(values, self.lines, 0 if params is None else params.zero_point[0])

    def planes(
        self, batches: Sequence[np.ndarray], params: QuantParams | None = None
    ) -> np.ndarray:
        """Pixels that are read of all batches, each channel's image in one piece.

        Windows are then copied in longer runs. Arguments are those of ``pixels``.

        Returns:
            ``[channels, images, rows read, columns read]`` in float32, or in the type of the
            integers.
        """
        sides = [len(line.read) for line in self.lines]
        shape = (batches[0].shape[-1], sum(len(batch) for batch in batches), *sides)
        result = np.empty(shape, np.float32 if params is None else batches[0].dtype)
        images = (image for batch in batches for image in self.pixels(batch, params))
        for number, image in enumerate(images):  # one image's pixels stay in fast memory
            result[:, number] = image.transpose(2, 0, 1)
        return result

    def of_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """View ``[images, rows, columns, height, width, channels]`` of ``pixels``."""
        shifted = self._shifted(pixels, 1)  # [images, starts, starts, channels, span, span]
        read = shifted[:, *self._places, :, *self._outputs]
        height, width = self.kernel
        return read[:, :height, :width].transpose(0, 4, 5, 1, 2, 3)

    def of_planes(self, planes: np.ndarray) -> np.ndarray:
        """View ``[channels, height, width, images, rows, columns]`` of ``planes``."""
        shifted = self._shifted(planes, 2)  # [channels, images, starts, starts, span, span]
        read = shifted[:, :, *self._places, *self._outputs]
        height, width = self.kernel
        return read[:, :, :height, :width].transpose(0, 2, 3, 1, 4, 5)

    # Along each axis, kernel place i reads the lines i * dilation + stride * output: a strided
    # slice of a view that is as long as all outputs span.

    def _shifted(self, values: np.ndarray, axis: int) -> np.ndarray:
        spans = [(line.count - 1) * line.stride + 1 for line in self.lines]
        return np.lib.stride_tricks.sliding_window_view(values, spans, (axis, axis + 1))

    @property
    def _places(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, line.dilation) for line in self.lines)

    @property
    def _outputs(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, line.stride) for line in self.lines)


def _scattered(
    op: Op, graph: Graph, values: np.ndarray, step: int, params: QuantParams | None
) -> np.ndarray:
    """What sampled outputs of a transposed convolution read, ``[positions, inputs]``.

    The pixels stand ``stride`` apart between zeros; the output r and the kernel's place i meet at
    ``r + before - i`` of these.
    """
    numbers = (values if params is None else params.dequantize(values)).astype(np.float32)
    outputs, sizes = graph.tensors[op.name].shape[1:3], graph.weight(op).shape[1:3]
    for number, (result, size, letter) in enumerate(zip(outputs, sizes, "HW", strict=True)):
        axis = 1 + 2 * number  # the axis becomes two: [outputs, size]
        stride = int(op.options[f"stride{letter}"])
        before = 0
        if _PADDING[int(op.options["padding"])] == "SAME":
            before = max((-(-result // stride) - 1) * stride + size - result, 0) // 2
        place = np.arange(0, result, step)[:, None] + before - np.arange(size)  # [outputs, size]
        inside = (place % stride == 0) & (place >= 0) & (place // stride < numbers.shape[axis])
        pixels = np.clip(place // stride, 0, numbers.shape[axis] - 1)
        shape = [1] * (numbers.ndim + 1)
        shape[axis : axis + 2] = inside.shape
        numbers = np.take(numbers, pixels, axis=axis) * inside.reshape(shape)
    # Both axes of the outputs come before those of the kernel.
    read = numbers.transpose(0, 1, 3, 2, 4, 5)
    return np.ascontiguousarray(read, np.float32).reshape(-1, int(np.prod(read.shape[3:])))


@dataclass(frozen=True)
class _Line:
    """Rows, or columns, of an image that the windows of sampled outputs read.

    Attributes:
        read: their numbers, in order; those outside the image are padding.
        count: number of sampled outputs.
        size: size of the kernel.
        stride: lines of ``read`` from one window to the next.
        dilation: lines of ``read`` from one place of the kernel to the next.
    """

    read: np.ndarray
    count: int
    size: int
    stride: int
    dilation: int


def _lines(op: Op, graph: Graph, sides: tuple[int, ...], step: int) -> tuple[_Line, ...]:
    """Rows and columns that are read; a coarser grid starts at the same output."""
    lines = []
    outputs = graph.tensors[op.name].shape[1:3]
    sizes = graph.weight(op).shape[1:3]
    for axis, side, count, size in zip("HW", sides, outputs, sizes, strict=True):
        stride = int(op.options[f"stride{axis}"])
        dilation = int(op.options[f"dilation{axis}Factor"])
        reach = (size - 1) * dilation + 1
        before = 0
        if _PADDING[int(op.options["padding"])] == "SAME":
            before = max((count - 1) * stride + reach - side, 0) // 2
        sampled, distance = -(-count // step), stride * step
        if distance >= reach:  # windows that do not meet: nothing between them is read
            starts = np.arange(sampled) * distance
            read = np.add.outer(starts, np.arange(size) * dilation).ravel()
            lines.append(_Line(read - before, sampled, size, size, 1))
        else:
            read = np.arange((sampled - 1) * distance + reach) - before
            lines.append(_Line(read, sampled, size, distance, dilation))
    return tuple(lines)


def _read_lines(values: np.ndarray, lines: tuple[_Line, ...], zero: int) -> np.ndarray:
    """The rows and columns of ``[images, rows, columns, channels]`` that are read, in order."""
    read = [line.read for line in lines]
    sides = values.shape[1:3]
    if all(np.array_equal(r, np.arange(n)) for r, n in zip(read, sides, strict=True)):
        return values
    steps = [int(r[1] - r[0]) if len(r) > 1 else 1 for r in read]
    if all(
        np.array_equal(r, r[0] + s * np.arange(len(r))) for r, s in zip(read, steps, strict=True)
    ):
        return _evenly_read(values, read, steps, zero)
    inside = [np.clip(r, 0, n - 1) for r, n in zip(read, sides, strict=True)]
    result = values[:, inside[0][:, None], inside[1]]  # [images, rows read, columns read, channels]
    result[:, inside[0] != read[0]] = zero
    result[:, :, inside[1] != read[1]] = zero
    return np.asarray(result)


def _evenly_read(
    values: np.ndarray, read: list[np.ndarray], steps: list[int], zero: int
) -> np.ndarray:
    """``_read_lines`` for lines at equal distances: a view, or with padding one copied block."""
    found: list[slice] = []  # lines of the result that lie inside the image
    taken: list[slice] = []  # the same lines of the image
    for numbers, step, side in zip(read, steps, values.shape[1:3], strict=True):
        inside = np.flatnonzero((numbers >= 0) & (numbers < side))
        first, last = (int(inside[0]), int(inside[-1])) if len(inside) else (0, -1)
        found.append(slice(first, last + 1))
        start = int(numbers[first]) if len(inside) else 0
        taken.append(slice(start, start + step * (last - first) + 1, step))
    inner = values[:, taken[0], taken[1]]
    if inner.shape[1:3] == (len(read[0]), len(read[1])):
        return inner
    images, channels = len(values), values.shape[-1]
    result = np.empty((images, len(read[0]), len(read[1]), channels), values.dtype)
    result[:, : found[0].start] = result[:, found[0].stop :] = zero
    result[:, :, : found[1].start] = result[:, :, found[1].stop :] = zero
    result[:, found[0], found[1]] = inner
    return result
