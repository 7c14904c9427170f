"""Second moments of what a weighted operator reads, in the float and in the quantized network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quantize.graph import Graph, Op, OpKind

_PADDING = ("SAME", "VALID")

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
        cross: likewise, float inputs (rows) with quantized ones (columns).
        quantized: float64 ``[(channels), inputs]``, sum of the quantized inputs.
        exact: likewise, of the float ones.
    """

    count: int
    own: np.ndarray = field(repr=False)
    cross: np.ndarray = field(repr=False)
    quantized: np.ndarray = field(repr=False)
    exact: np.ndarray = field(repr=False)

    def joined(self, other: Moments) -> Moments:
        """Those of both sets of images."""
        return Moments(
            self.count + other.count,
            self.own + other.own,
            self.cross + other.cross,
            self.quantized + other.quantized,
            self.exact + other.exact,
        )

    @property
    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the quantized and of the float inputs."""
        return self.quantized / self.count, self.exact / self.count

    @property
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

    @property
    def cross_covariance(self) -> np.ndarray:
        """Of float inputs (rows) with quantized inputs (columns)."""
        quantized, exact = self.means
        joint = exact[..., :, None] * quantized[..., None, :]
        return np.asarray(self.cross / self.count - joint)


def moments(
    op: Op, graph: Graph, pairs: Iterable[tuple[np.ndarray, np.ndarray]], positions: int
) -> Moments:
    """Gather the moments of an operator's first input.

    Args:
        op: weighted operator.
        graph: where it stands.
        pairs: batches of the input in the float network and in the quantized one, float32
            ``[batch, ...]``.
        positions: of one image at most; larger outputs are sampled on a grid.
    """
    total: Moments | None = None
    for exact, quantized in pairs:
        new = _batch_moments(op, graph, exact, quantized, positions)
        total = new if total is None else total.joined(new)
    assert total is not None
    return total


def _batch_moments(
    op: Op, graph: Graph, exact: np.ndarray, quantized: np.ndarray, positions: int
) -> Moments:
    import tensorflow as tf

    reads = windows(op, graph, quantized, positions)
    wanted = windows(op, graph, exact, positions)
    count = int(reads.shape[0])
    if op.kind == OpKind.DEPTHWISE_CONV:  # [positions, inputs, channels]
        reads, wanted = (tf.transpose(x, (2, 1, 0)) for x in (reads, wanted))
        products = [tf.matmul(x, reads, transpose_b=True) for x in (reads, wanted)]
        sums = [tf.reduce_sum(x, 2) for x in (reads, wanted)]
    else:  # [positions, inputs]
        products = [tf.matmul(x, reads, transpose_a=True) for x in (reads, wanted)]
        sums = [tf.reduce_sum(x, 0) for x in (reads, wanted)]
    arrays = [np.asarray(value, np.float64) for value in (*products, *sums)]
    return Moments(count, *arrays)


def windows(op: Op, graph: Graph, image: np.ndarray, positions: int) -> Any:
    """What each position of an operator's output reads.

    Returns:
        float32 ``[positions, inputs]``, for depthwise ``[positions, height * width, channels]``.
    """
    import tensorflow as tf

    weight = graph.weight(op)
    if op.kind == OpKind.DENSE:
        return tf.reshape(image, (-1, weight.shape[-1]))
    height, width = weight.shape[1:3]
    channels = image.shape[-1]
    _, rows, columns, _ = graph.tensors[op.name].shape
    step = 1
    while -(-rows // step) * -(-columns // step) > positions:
        step += 1
    strides = [int(op.options["strideH"]), int(op.options["strideW"])]
    dilations = [int(op.options["dilationHFactor"]), int(op.options["dilationWFactor"])]
    padded = tf.constant(image)
    if _PADDING[int(op.options["padding"])] == "SAME":  # by hand: a coarser grid has the same phase
        need = [
            max((out - 1) * stride + (size - 1) * dilation + 1 - have, 0)
            for out, stride, size, dilation, have in zip(
                (rows, columns), strides, (height, width), dilations, image.shape[1:3], strict=True
            )
        ]
        padded = tf.pad(padded, [[0, 0], *([n // 2, n - n // 2] for n in need), [0, 0]])
    coarse = [1, strides[0] * step, strides[1] * step, 1]
    if (height, width) == (1, 1):
        patches = padded[:, :: coarse[1], :: coarse[2]]
    else:
        patches = tf.image.extract_patches(
            padded, [1, height, width, 1], coarse, [1, *dilations, 1], "VALID"
        )
    if op.kind == OpKind.DEPTHWISE_CONV:
        return tf.reshape(patches, (-1, height * width, channels))
    return tf.reshape(patches, (-1, height * width * channels))
