"""Second moments of what a weighted operator reads, in the float and in the quantized network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Any

import numpy as np

from network.affine import QuantParams
from network.graph import Graph, Op
from network.operators import OpKind
from quantize.parallel import in_parallel
from quantize.rounding.rows import Rows
from quantize.rounding.windows import SampledWindows, positions_per_image, windows

GROUP_BYTES = 16 * 1024**2
"""Bytes of float32 windows that are worth a product of matrices."""

BLOCK_BYTES = 4 * 1024**2
"""Bytes of a depthwise operator's float32 windows at once: what a core's cache and glibc's heap
hold."""

PLANE_CHANNELS = 32
"""Channels of a depthwise operator whose pixels are read at once, in blocks as near as whole ones
come: fewer take lines of the cache in parts, more take memory."""

SMALL_VARIANCE = 1e-3
"""Share of the variances that must rise above single precision's rounding of the moments."""


@dataclass(frozen=True)
class Moments:
    """Sums over positions of images; those of disjoint sets of images add up.

    With the window x that a position reads in the quantized network, the window z in the float
    network and the float weight W, the loss of the outputs (before the bias) is ``l = W (z - x)``.
    ``inputs`` is ``height * width * in`` of a convolution's window and ``height * width`` of a
    depthwise one, which has moments for each channel: axes in brackets are there for it alone.

    Attributes:
        count: number of positions.
        input_products: sum of x x^T, float64 ``[(channels), inputs, inputs]``.
        loss_products: sum of l x^T, float64 ``[channels, inputs]``.
        losses: sum of l, float64 ``[channels]``.
        inputs: sum of x, float64 ``[(channels), inputs]``.
        float_inputs: sum of z, float64 ``[(channels), inputs]``.
    """

    count: int
    input_products: np.ndarray = field(repr=False)
    loss_products: np.ndarray = field(repr=False)
    losses: np.ndarray = field(repr=False)
    inputs: np.ndarray = field(repr=False)
    float_inputs: np.ndarray = field(repr=False)

    def joined(self, other: Moments) -> Moments:
        """Moments of both sets of images together."""
        return Moments(
            count=self.count + other.count,
            input_products=self.input_products + other.input_products,
            loss_products=self.loss_products + other.loss_products,
            losses=self.losses + other.losses,
            inputs=self.inputs + other.inputs,
            float_inputs=self.float_inputs + other.float_inputs,
        )

    @classmethod
    def of_sums(cls, *, count: int, **sums: np.ndarray) -> Moments:
        """Moments from sums in single precision, by the names of the attributes."""
        return cls(count, **{name: np.asarray(value, np.float64) for name, value in sums.items()})

    @classmethod
    def of_channels(cls, blocks: Sequence[Moments]) -> Moments:
        """Moments of a depthwise operator from those of blocks of its channels, same positions."""
        return cls(
            count=blocks[0].count,
            input_products=np.concatenate([block.input_products for block in blocks]),
            loss_products=np.concatenate([block.loss_products for block in blocks]),
            losses=np.concatenate([block.losses for block in blocks]),
            inputs=np.concatenate([block.inputs for block in blocks]),
            float_inputs=np.concatenate([block.float_inputs for block in blocks]),
        )

    @property
    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """Means of the quantized inputs x and of the float inputs z, ``[(channels), inputs]``."""
        return self.inputs / self.count, self.float_inputs / self.count

    @cached_property
    def covariance(self) -> np.ndarray:
        """Covariance of the quantized inputs, ``[(channels), inputs, inputs]``.

        ``mean(x x^T) - mean(x) mean(x)^T``: the bias takes care of the mean.
        """
        mean, _ = self.means
        covariance = np.asarray(self.input_products / self.count)
        covariance -= mean[..., :, None] * mean[..., None, :]
        # Where next to nothing varies, what rounding leaves could be indefinite.
        size = covariance.shape[-1]
        power = np.trace(self.input_products, axis1=-2, axis2=-1) / self.count  # [(channels)]
        floor = np.asarray(power * float(np.finfo(np.float32).eps))
        variance = np.trace(covariance, axis1=-2, axis2=-1) / size  # [(channels)]
        added = np.where(variance * SMALL_VARIANCE < floor, floor, 0.0)
        np.einsum("...ii->...i", covariance)[...] += added[..., None]  # a view: the diagonals
        return covariance

    @cached_property
    def pull(self) -> np.ndarray:
        """Covariance of the outputs' losses with the quantized inputs: ``[channels, inputs]``.

        ``mean(l x^T) - mean(l) mean(x)^T``. The least squares weight for the quantized inputs
        differs from the float one by this times the inverse of ``covariance``.
        """
        mean, _ = self.means
        product_of_means = (self.losses / self.count)[:, None] * mean
        return np.asarray(self.loss_products / self.count - product_of_means)


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
        graph: graph that it belongs to.
        pairs: batches ``[batch, ...]`` of the input in the float network and in the quantized one.
        positions: largest number of one image's positions; larger outputs are sampled on a grid.
        params: parameters of the quantized network's integers; None where the batches hold float
            numbers.
    """
    weight = Rows.of(op, graph).full_rows(graph.weight(op)).astype(np.float32)

    def of_group(group: list[tuple[Any, Any]]) -> Moments:
        return _group_moments(op, graph, weight, group, positions, params)

    return reduce(Moments.joined, in_parallel(of_group, _grouped(op, graph, pairs, positions)))


def _grouped(
    op: Op, graph: Graph, pairs: Iterable[tuple[Any, Any]], positions: int
) -> Iterator[list[tuple[Any, Any]]]:
    """Batches in groups whose windows are worth a product of matrices, and fit the memory."""
    per_image = positions_per_image(op, graph, positions)
    weight = graph.weight(op)
    width = graph.tensors[op.inputs[0]].shape[-1] * int(np.prod(weight.shape[1:-1]))
    group: list[tuple[Any, Any]] = []
    size = 0
    for pair in pairs:
        group.append(pair)
        size += int(pair[0].shape[0]) * per_image * width * 4
        if size >= GROUP_BYTES:
            yield group
            group, size = [], 0
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
    """Moments of a group of batches."""
    if op.kind == OpKind.DEPTHWISE_CONV:
        return _depthwise_moments(op, graph, weight, group, positions, params)
    # Windows z of the float network and x of the quantized one.
    float_read = _joined([windows(op, graph, exact, positions) for exact, _ in group])
    read = _joined([windows(op, graph, x, positions, params) for _, x in group])
    return _dense_moments(float_read, read, weight)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """Rows of all parts; those of a single one are not copied."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _dense_moments(float_read: np.ndarray, read: np.ndarray, weight: np.ndarray) -> Moments:
    """Moments of inputs that all channels read.

    Args:
        float_read: z, float32 ``[positions, inputs]``.
        read: x, float32 ``[positions, inputs]``.
        weight: W, float32 ``[channels, inputs]``.
    """
    loss = float_read - read  # z - x, [positions, inputs]
    channels, inputs = weight.shape
    if inputs < 2 * channels:  # W (sum of (z - x) x^T) takes fewer products than the sum of l x^T
        losses, loss_products = weight @ loss.sum(0), weight @ (loss.T @ read)
    else:
        of_channels = loss @ weight.T  # l, [positions, channels]
        losses, loss_products = of_channels.sum(0), of_channels.T @ read
    return Moments.of_sums(
        count=len(read),
        # BLAS knows that this is symmetric, and does half of the work.
        input_products=read.T @ read,  # [inputs, inputs]
        loss_products=loss_products,  # [channels, inputs]
        losses=losses,
        inputs=read.sum(0),
        float_inputs=float_read.sum(0),
    )


def _depthwise_moments(
    op: Op,
    graph: Graph,
    weight: np.ndarray,
    group: list[tuple[Any, Any]],
    positions: int,
    params: QuantParams | None,
) -> Moments:
    """Moments of a depthwise operator; arguments are those of ``_group_moments``."""
    exact, found = ([np.asarray(pair[i]) for pair in group] for i in range(2))
    sampled = SampledWindows.of(op, graph, exact[0].shape[1:3], positions)
    images = sum(len(batch) for batch in exact)
    channels, inputs = weight.shape
    channel_bytes = images * positions_per_image(op, graph, positions) * inputs * 4
    width = max(1, BLOCK_BYTES // channel_bytes)
    slab = width * max(1, PLANE_CHANNELS // width)
    blocks = []
    for first in range(0, channels, slab):
        of_slab = [[batch[..., first : first + slab] for batch in x] for x in (exact, found)]
        float_planes, planes = sampled.planes(of_slab[0]), sampled.planes(of_slab[1], params)
        for start in range(0, len(planes), width):
            block = slice(start, start + width)
            of_block = planes[block] if params is None else params.dequantize(planes[block])
            float_view = sampled.of_planes(float_planes[block])
            view = sampled.of_planes(of_block)
            blocks.append(_block_moments(float_view, view, weight[first : first + slab][block]))
    return Moments.of_channels(blocks)


def _block_moments(float_view: np.ndarray, view: np.ndarray, weight: np.ndarray) -> Moments:
    """Moments of some channels of a depthwise operator.

    Args:
        float_view: z, float32 ``[channels, height, width, images, rows, columns]``.
        view: x, float32, the same shape.
        weight: W, float32 ``[channels, inputs]``.
    """
    shape = (*weight.shape, -1)  # [channels, inputs, positions]
    float_read = np.array(float_view, order="C").reshape(shape)  # a copy, to be changed
    read = np.ascontiguousarray(view).reshape(shape)
    float_inputs = float_read.sum(-1)
    float_read -= read
    losses = weight[:, None] @ float_read  # [channels, 1, positions]
    transposed = read.swapaxes(1, 2)  # [channels, positions, inputs]
    return Moments.of_sums(
        count=read.shape[-1],
        input_products=read @ transposed,  # [channels, inputs, inputs]
        loss_products=(losses @ transposed)[:, 0],  # [channels, 1, inputs] -> [channels, inputs]
        losses=losses.sum((1, 2)),
        inputs=read.sum(-1),
        float_inputs=float_inputs,
    )
