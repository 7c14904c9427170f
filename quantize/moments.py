"""Second moments of what a weighted operator reads, in the float and in the quantized network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Any

import numpy as np

from quantize.affine import QuantParams
from quantize.execute import dequantized
from quantize.graph import Graph, Op, OpKind
from quantize.parallel import in_parallel
from quantize.rows import Rows

_PADDING = ("SAME", "VALID")

GROUP_BYTES = 48 * 1024**2
"""Of float32 windows that are worth a product of matrices of its own."""

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
    step = _grid_step(op, graph, positions)
    _, *extent, _ = (1, 1, *graph.tensors[op.name].shape)[-4:]
    places = int(np.prod([-(-side // step) for side in extent]))
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
    import tensorflow as tf

    zero = params.zero_point[0] if params else 0
    wanted = tf.concat([windows(op, graph, exact, positions) for exact, _ in group], 0)
    wanted = tf.cast(wanted, tf.float32)
    reads = tf.concat([windows(op, graph, own, positions, zero) for _, own in group], 0)
    reads = tf.cast(reads, tf.float32) if params is None else dequantized(reads, params)
    if op.kind == OpKind.DEPTHWISE_CONV:  # [positions, inputs, channels]
        losses = tf.reduce_sum((wanted - reads) * weight.T, 1)  # [positions, channels]
        lost = tf.transpose(tf.reduce_sum(losses[:, None] * reads, 0))
        sums = [tf.transpose(tf.reduce_sum(x, 0)) for x in (reads, wanted)]
        apart = tf.transpose(reads, (2, 1, 0))
        own = tf.matmul(apart, apart, transpose_b=True)
    else:  # [positions, inputs]
        losses = tf.matmul(wanted - reads, weight, transpose_b=True)
        lost = tf.matmul(losses, reads, transpose_a=True)
        sums = [tf.reduce_sum(x, 0) for x in (reads, wanted)]
        values = np.asarray(reads)
        own = values.T @ values  # BLAS knows that it is symmetric, and does half of the work
    arrays = (own, lost, tf.reduce_sum(losses, 0), *sums)
    return Moments(int(reads.shape[0]), *(np.asarray(value, np.float64) for value in arrays))


def _grid_step(op: Op, graph: Graph, positions: int) -> int:
    """Of the grid on which an output's positions are sampled."""
    if op.kind == OpKind.DENSE:
        return 1
    _, rows, columns, _ = graph.tensors[op.name].shape
    step = 1
    while -(-rows // step) * -(-columns // step) > positions:
        step += 1
    return step


def windows(op: Op, graph: Graph, image: Any, positions: int, zero: int = 0) -> Any:
    """What each position of an operator's output reads.

    Returns:
        The image's numbers, ``[positions, inputs]``, for depthwise ``[positions, height * width,
        channels]``; ``zero`` stands outside the image.
    """
    import tensorflow as tf

    weight = graph.weight(op)
    if op.kind == OpKind.DENSE:
        return tf.reshape(image, (-1, weight.shape[-1]))
    height, width = weight.shape[1:3]
    channels = image.shape[-1]
    _, rows, columns, _ = graph.tensors[op.name].shape
    step = _grid_step(op, graph, positions)
    strides = [int(op.options["strideH"]), int(op.options["strideW"])]
    dilations = [int(op.options["dilationHFactor"]), int(op.options["dilationWFactor"])]
    padded = tf.convert_to_tensor(image)
    if _PADDING[int(op.options["padding"])] == "SAME":  # by hand: a coarser grid has the same phase
        need = [
            max((out - 1) * stride + (size - 1) * dilation + 1 - have, 0)
            for out, stride, size, dilation, have in zip(
                (rows, columns), strides, (height, width), dilations, image.shape[1:3], strict=True
            )
        ]
        padded = tf.pad(
            padded,
            [[0, 0], *([n // 2, n - n // 2] for n in need), [0, 0]],
            constant_values=padded.dtype.as_numpy_dtype(zero),
        )
    coarse = [1, strides[0] * step, strides[1] * step, 1]
    if (height, width) == (1, 1):
        patches = padded[:, :: coarse[1], :: coarse[2]]
    else:
        patches = tf.image.extract_patches(  # six times as fast as on integers
            tf.cast(padded, tf.float32), [1, height, width, 1], coarse, [1, *dilations, 1], "VALID"
        )
    if op.kind == OpKind.DEPTHWISE_CONV:
        return tf.reshape(patches, (-1, height * width, channels))
    return tf.reshape(patches, (-1, height * width * channels))
