"""Second moments of what a weighted operator reads, in the float and in the quantized network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property, reduce
from typing import Any

import numpy as np

from network.affine import QuantParams
from network.graph import Graph, Op
from network.operators import OpKind
from quantize.parallel import in_parallel
from quantize.rounding.rows import Rows

_PADDING = ("SAME", "VALID")

GROUP_BYTES = 48 * 1024**2
"""Of float32 windows that are worth a product of matrices of its own."""

BLOCK_BYTES = 4 * 1024**2
"""Of a depthwise operator's float32 windows at once: what a core's cache and glibc's heap hold."""

SMALL_VARIANCE = 1e-3
"""Share of the variances that must rise above single precision's rounding of the moments."""


@dataclass(frozen=True)
class Moments:
    """Sums over positions of images; those of disjoint shards add up.

    ``inputs`` is ``height * width * in`` of a convolution's window and ``height * width`` of a
    depthwise one, which has moments for each channel: axes in brackets are there for it alone.

    Attributes:
        count: positions.
        own: float64 ``[(channels), inputs, inputs]``, quantized inputs with themselves.
        lost: float64 ``[channels, inputs]``, what the float weight's outputs lose by the quantized
            inputs (before the bias) with the quantized inputs.
        missed: float64 ``[channels]``, sum of these losses.
        quantized: float64 ``[(channels), inputs]``, sum of the quantized inputs.
        exact: likewise, of the float ones.
    """

    count: int
    own: np.ndarray = field(repr=False)
    lost: np.ndarray = field(repr=False)
    missed: np.ndarray = field(repr=False)
    quantized: np.ndarray = field(repr=False)
    exact: np.ndarray = field(repr=False)

    def joined(self, other: Moments) -> Moments:
        """Those of both sets of images."""
        return Moments(
            self.count + other.count,
            self.own + other.own,
            self.lost + other.lost,
            self.missed + other.missed,
            self.quantized + other.quantized,
            self.exact + other.exact,
        )

    @property
    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the quantized and of the float inputs."""
        return self.quantized / self.count, self.exact / self.count

    @cached_property
    def covariance(self) -> np.ndarray:
        """Of the quantized inputs; the bias takes care of their mean."""
        mean, _ = self.means
        found = np.asarray(self.own / self.count - mean[..., :, None] * mean[..., None, :])
        # Where next to nothing varies, what rounding leaves could be indefinite.
        size = found.shape[-1]
        power = np.trace(self.own, axis1=-2, axis2=-1) / self.count
        floor = np.asarray(power * float(np.finfo(np.float32).eps))
        variance = np.trace(found, axis1=-2, axis2=-1) / size
        added = np.where(variance * SMALL_VARIANCE < floor, floor, 0.0)
        return np.asarray(found + np.eye(size) * added[..., None, None])

    @cached_property
    def pull(self) -> np.ndarray:
        """Covariance of the outputs' losses with the quantized inputs: ``[channels, inputs]``.

        The least squares weight for the quantized inputs differs from the float one by this times
        the inverse of ``covariance``.
        """
        mean, _ = self.means
        joint = (self.missed / self.count)[:, None] * mean
        return np.asarray(self.lost / self.count - joint)


def moments(
    op: Op,
    graph: Graph,
    pairs: Iterable[tuple[Any, Any]],
    positions: int,
    params: QuantParams | None = None,
) -> Moments:
    """Gather the moments of an operator's first input.

    Args:
        op: weighted operator.
        graph: where it stands.
        pairs: batches ``[batch, ...]`` of the input in the float network and in the quantized one.
        positions: of one image at most; larger outputs are sampled on a grid.
        params: of the quantized network's integers; None where the batches hold float numbers.
    """
    weight = Rows.of(op, graph).whole(graph.weight(op)).astype(np.float32)

    def of_batches(group: list[tuple[Any, Any]]) -> Moments:
        return _group_moments(op, graph, weight, group, positions, params)

    return reduce(Moments.joined, in_parallel(of_batches, _grouped(op, graph, pairs, positions)))


def _grouped(
    op: Op, graph: Graph, pairs: Iterable[tuple[Any, Any]], positions: int
) -> Iterator[list[tuple[Any, Any]]]:
    """Batches in groups whose windows are worth a product of matrices, and fit the memory."""
    places = _places(op, graph, positions)
    weight = graph.weight(op)
    width = graph.tensors[op.inputs[0]].shape[-1] * int(np.prod(weight.shape[1:-1]))
    group: list[tuple[Any, Any]] = []
    held = 0
    for pair in pairs:
        group.append(pair)
        held += int(pair[0].shape[0]) * places * width * 4
        if held >= GROUP_BYTES:
            yield group
            group, held = [], 0
    if group:
        yield group


def _group_moments(
    op: Op,
    graph: Graph,
    weight: np.ndarray,
    group: list[tuple[Any, Any]],
    positions: int,
    params: QuantParams | None,
) -> Moments:
    if op.kind != OpKind.DEPTHWISE_CONV:
        return _shared(*_read(op, graph, group, positions, params, 0), weight)
    channels = len(weight)
    places = sum(int(exact.shape[0]) for exact, _ in group) * _places(op, graph, positions)
    width = max(1, BLOCK_BYTES // (places * weight.shape[1] * 4))
    parts = []
    for start in range(0, channels, width):
        block = slice(start, start + width)
        some = [(np.asarray(a)[..., block], np.asarray(b)[..., block]) for a, b in group]
        parts.append(_apart(*_read(op, graph, some, positions, params, -1), weight[block]))
    arrays = (np.concatenate([vars(p)[f.name] for p in parts]) for f in fields(Moments)[1:])
    return Moments(parts[0].count, *arrays)


def _read(
    op: Op,
    graph: Graph,
    group: list[tuple[Any, Any]],
    positions: int,
    params: QuantParams | None,
    axis: int,
) -> tuple[np.ndarray, np.ndarray]:
    """What the operator reads in the float network and in the quantized one; see ``windows``.

    ``axis`` is that of the positions.
    """
    wanted = np.concatenate([windows(op, graph, exact, positions) for exact, _ in group], axis)
    zero = params.zero_point[0] if params else 0
    reads = np.concatenate([windows(op, graph, own, positions, zero) for _, own in group], axis)
    if params is not None:
        reads -= np.float32(zero)
        reads *= np.float32(params.scale[0])
    return wanted, reads


def _shared(wanted: np.ndarray, reads: np.ndarray, weight: np.ndarray) -> Moments:
    """Of inputs ``[positions, inputs]`` that all channels read."""
    sums = reads.sum(0), wanted.sum(0)
    losses = (wanted - reads) @ weight.T
    own = reads.T @ reads  # BLAS knows that it is symmetric, and does half of the work
    return _gathered(len(reads), own, losses.T @ reads, losses.sum(0), *sums)


def _apart(wanted: np.ndarray, reads: np.ndarray, weight: np.ndarray) -> Moments:
    """Of inputs ``[channels, inputs, positions]``."""
    sums = reads.sum(-1), wanted.sum(-1)
    losses = weight[:, None] @ (wanted - reads)
    across = reads.swapaxes(1, 2)
    return _gathered(
        reads.shape[-1], reads @ across, (losses @ across)[:, 0], losses.sum((1, 2)), *sums
    )


def _gathered(count: int, *sums: np.ndarray) -> Moments:
    return Moments(count, *(np.asarray(value, np.float64) for value in sums))


def _places(op: Op, graph: Graph, positions: int) -> int:
    """Positions of one image that are looked at."""
    step = _grid_step(op, graph, positions)
    _, *extent, _ = (1, 1, *graph.tensors[op.name].shape)[-4:]
    return int(np.prod([-(-side // step) for side in extent]))


def _grid_step(op: Op, graph: Graph, positions: int) -> int:
    """Of the grid on which an output's positions are sampled."""
    if op.kind == OpKind.DENSE:
        return 1
    _, rows, columns, _ = graph.tensors[op.name].shape
    step = 1
    while -(-rows // step) * -(-columns // step) > positions:
        step += 1
    return step


def windows(op: Op, graph: Graph, image: Any, positions: int, zero: int = 0) -> np.ndarray:
    """What each position of an operator's output reads.

    Returns:
        The image's numbers in float32, ``[positions, inputs]``, for depthwise ``[channels, height *
        width, positions]``; ``zero`` stands outside the image.
    """
    weight = graph.weight(op)
    values = np.asarray(image)
    if op.kind == OpKind.DENSE:
        return values.reshape(-1, weight.shape[-1]).astype(np.float32)
    lines = _lines(op, graph, values.shape[1:3], _grid_step(op, graph, positions))
    values = _touched(values, lines, zero)
    apart = op.kind == OpKind.DEPTHWISE_CONV
    if apart:  # each channel's image in one piece first: windows are then copied in longer runs
        values = np.ascontiguousarray(values.transpose(3, 0, 1, 2), np.float32)
    # What each place of the kernel reads is a window as wide as the outputs.
    extent = [(line.count - 1) * line.stride + 1 for line in lines]
    first = 2 if apart else 1  # axis of the rows
    seen = np.lib.stride_tricks.sliding_window_view(values, extent, (first, first + 1))
    places = tuple(slice(None, None, line.dilation) for line in lines)
    grid = tuple(slice(None, None, line.stride) for line in lines)
    height, width = (line.size for line in lines)
    if apart:  # [channels, images, height, width, rows, columns]
        found = seen[:, :, *places, *grid][:, :, :height, :width].transpose(0, 2, 3, 1, 4, 5)
        return np.ascontiguousarray(found).reshape(len(values), height * width, -1)
    found = seen[:, *places, :, *grid][:, :height, :width].transpose(0, 4, 5, 1, 2, 3)
    inputs = height * width * values.shape[-1]
    return np.ascontiguousarray(found, np.float32).reshape(-1, inputs)


@dataclass(frozen=True)
class _Line:
    """Rows, or columns, of an image that the windows of sampled outputs read.

    Attributes:
        read: their numbers, in order; those outside the image are padding.
        count: sampled outputs.
        size: of the kernel.
        stride: of the windows among the lines that are read.
        dilation: likewise.
    """

    read: np.ndarray
    count: int
    size: int
    stride: int
    dilation: int


def _lines(op: Op, graph: Graph, have: tuple[int, ...], step: int) -> tuple[_Line, ...]:
    """Rows and columns; a coarser grid has the same phase."""
    lines = []
    outputs = graph.tensors[op.name].shape[1:3]
    sizes = graph.weight(op).shape[1:3]
    for side, extent, count, size in zip("HW", have, outputs, sizes, strict=True):
        stride = int(op.options[f"stride{side}"])
        dilation = int(op.options[f"dilation{side}Factor"])
        reach = (size - 1) * dilation + 1
        before = 0
        if _PADDING[int(op.options["padding"])] == "SAME":
            before = max((count - 1) * stride + reach - extent, 0) // 2
        sampled, apart = -(-count // step), stride * step
        if apart >= reach:  # windows that do not meet: nothing between them is read
            read = np.add.outer(np.arange(sampled) * apart, np.arange(size) * dilation).ravel()
            lines.append(_Line(read - before, sampled, size, size, 1))
        else:
            read = np.arange((sampled - 1) * apart + reach) - before
            lines.append(_Line(read, sampled, size, apart, dilation))
    return tuple(lines)


def _touched(values: np.ndarray, lines: tuple[_Line, ...], zero: int) -> np.ndarray:
    """The rows and columns of ``[images, rows, columns, channels]`` that are read, in order."""
    read = [line.read for line in lines]
    sides = values.shape[1:3]
    whole = [np.array_equal(r, np.arange(n)) for r, n in zip(read, sides, strict=True)]
    if all(whole):
        return values
    inside = [np.clip(r, 0, n - 1) for r, n in zip(read, sides, strict=True)]
    found = values[:, inside[0][:, None], inside[1]]
    found[:, inside[0] != read[0]] = zero
    found[:, :, inside[1] != read[1]] = zero
    return np.asarray(found)
