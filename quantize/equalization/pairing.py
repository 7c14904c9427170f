"""Order of channels in which no two large weights of one sign meet in one 16-bit pair.

Channels between convolutions may stand in any order, if all operators that write or read them agree
on it; the function of the network is the same to the last bit of each product. Where x86 kernels
multiply in pairs (``rounding.second_order.neighbours``), the order decides how much coarser a
channel's scale has to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from network.graph import Graph, Op
from network.integer_forms import obstacle
from network.operators import OpKind
from quantize.equalization.groups import Groups
from quantize.ranges.extremes import Extremes

LARGEST_ROW_COUNT = 256
"""Rows of the readers' weights that judge an order; evenly spread ones if there are more."""

_CHANNELS = 64
"""Channels whose costs are added up at once: what a core's cache holds."""


@dataclass(frozen=True)
class Bundle:
    """Activations whose channels stand in one order.

    Attributes:
        channels: number of channels.
        names: names of the activations.
        producers: convolutions and dense layers whose weights' rows compute the channels.
        readers: convolutions and dense layers whose weights' columns read the channels.
        depthwise: depthwise convolutions, which pass each channel on.
    """

    channels: int
    names: tuple[str, ...]
    producers: tuple[Op, ...]
    readers: tuple[Op, ...]
    depthwise: tuple[Op, ...]


def bundles(graph: Graph) -> Iterator[Bundle]:
    """Every group of activations whose channels may be put into another order."""
    groups = Groups(graph.activations)
    for op in graph.ops:
        if op.traits.keeps_channels and not obstacle(graph, op):
            names = [n for n in (*op.inputs, *op.outputs) if n and not graph.is_constant(n)]
            for name in names[1:]:
                groups.join(names[0], name)
    for names in groups.sets().values():
        bundle = _bundle(graph, tuple(names))
        if bundle is not None and bundle.readers and bundle.producers:
            yield bundle


def _bundle(graph: Graph, names: tuple[str, ...]) -> Bundle | None:
    """Bundle of these activations; None where an operator around them needs their order."""
    widths = {graph.tensors[name].shape[-1] for name in names}
    if len(widths) != 1 or {graph.input, *graph.outputs}.intersection(names):
        return None
    (channels,) = widths
    producers: dict[Op, None] = {}
    readers: dict[Op, None] = {}
    depthwise: dict[Op, None] = {}
    for name in names:
        op = graph.producers[name]
        if op.kind in (OpKind.CONV, OpKind.DENSE) and _has_one_group(graph, op):
            producers[op] = None
        elif not _keeps_order(graph, op, channels):
            return None
        if op.kind == OpKind.DEPTHWISE_CONV:
            depthwise[op] = None
        for reader in graph.readers[name]:
            if reader.kind in (OpKind.CONV, OpKind.DENSE) and _reads_channels(
                graph, reader, channels
            ):
                readers[reader] = None
            elif not _keeps_order(graph, reader, channels):
                return None
    return Bundle(channels, names, tuple(producers), tuple(readers), tuple(depthwise))


def _has_one_group(graph: Graph, op: Op) -> bool:
    """Whether each output channel of a convolution or dense layer reads all input channels."""
    if not op.is_weighted:
        return False
    shape = graph.tensors[op.inputs[0]].shape
    return op.kind == OpKind.DENSE or shape[-1] == graph.weight(op).shape[-1]


def _reads_channels(graph: Graph, op: Op, channels: int) -> bool:
    """Whether the last axis of the weight counts these channels."""
    return _has_one_group(graph, op) and graph.weight(op).shape[-1] == channels


def _keeps_order(graph: Graph, op: Op, channels: int) -> bool:
    """Whether an operator computes each channel of its result from the same channel, in any order.

    Constants that differ between channels would have to be reordered too, so they are refused.
    """
    if not op.traits.keeps_channels or obstacle(graph, op):
        return False
    if op.kind == OpKind.DEPTHWISE_CONV:
        return bool(graph.weight(op).shape[-1] == channels)
    if op.kind == OpKind.MEAN:
        rank = len(graph.tensors[op.inputs[0]].shape)
        return rank - 1 not in {int(a) % rank for a in np.ravel(graph.value(op.inputs[1]))}
    constants = [graph.value(n) for n in op.inputs if graph.is_constant(n)]
    return all(value.size == 1 for value in constants)


def paired(graph: Graph, spans: Mapping[str, Extremes]) -> tuple[Graph, dict[str, Extremes]]:
    """Put the channels of every bundle into an order whose pairs fit together.

    Args:
        graph: canonical.
        spans: extremes of its activations.

    Returns:
        A graph of the same function, and the extremes of its activations.
    """
    values: dict[str, np.ndarray] = {}
    reordered_spans = dict(spans)

    def value(name: str) -> np.ndarray:
        return values.get(name, graph.value(name))

    for bundle in bundles(graph):
        if bundle.channels % 2:
            continue
        order = _channel_order([value(op.inputs[1]) for op in bundle.readers])
        for op in bundle.producers:
            values[op.inputs[1]] = value(op.inputs[1])[order]
            values[op.inputs[2]] = value(op.inputs[2])[order]
        for op in bundle.depthwise:
            values[op.inputs[1]] = value(op.inputs[1])[..., order]
            values[op.inputs[2]] = value(op.inputs[2])[order]
        for op in bundle.readers:
            values[op.inputs[1]] = value(op.inputs[1])[..., order]
        for name in bundle.names:
            span = reordered_spans[name]
            reordered_spans[name] = Extremes(span.low[order], span.high[order])
    contiguous = {name: np.ascontiguousarray(weight) for name, weight in values.items()}
    return graph.with_values(contiguous), reordered_spans


def _channel_order(weights: list[np.ndarray]) -> np.ndarray:
    """Order of the channels, pair after pair: int64 ``[channels]``.

    The weight that reads channel c in the row r of a reader, as a share of the row's largest
    magnitude, is

        a_rc = w_rc / max over c of |w_rc|

    and two channels c and d in one pair make the row saturate where ``a_rc + a_rd`` exceeds 1 with
    one sign, as far as all integers of the row are used.

    Args:
        weights: weights of the readers, ``[out, ..., channels]``.
    """
    shares = []
    for weight in weights:
        rows = weight.reshape(weight.shape[0], -1)  # [out, inputs]
        largest = np.maximum(np.abs(rows).max(axis=1), np.finfo(np.float32).tiny)  # [out]
        share = weight / largest.reshape(-1, *([1] * (weight.ndim - 1)))
        shares.append(np.moveaxis(share, -1, 0).reshape(weight.shape[-1], -1))
    columns = np.concatenate(shares, axis=1).astype(np.float32)  # [channels, rows]
    step = -(-columns.shape[1] // LARGEST_ROW_COUNT)
    columns = columns[:, ::step]  # [channels, judging rows]
    # Each sign in rows of its own: [channels, 2 * judging rows], 0 to 1.
    magnitudes = np.concatenate([np.maximum(columns, 0), np.maximum(-columns, 0)], axis=1)
    return _greedy_pairs(magnitudes)


def _greedy_pairs(shares: np.ndarray) -> np.ndarray:
    """Channels in pairs: the most demanding one first, each with the partner that costs least.

    The demand of a channel is the sum of the squares of its shares.

    Args:
        shares: float32 ``[channels, rows]``, 0 to 1; an even number of channels.

    Returns:
        int64 ``[channels]``: both of the first pair, both of the second, and so on.
    """
    demand = np.square(shares).sum(axis=1)  # [channels]
    costs = _pair_costs(shares)  # [channels, channels]
    order: list[int] = []
    free = np.ones(len(shares), bool)
    for first in np.argsort(-demand, kind="stable").tolist():
        if free[first]:
            free[first] = False
            partner = int(np.where(free, costs[first], np.inf).argmin())
            free[partner] = False
            order += [first, partner]
    return np.array(order, np.int64)


def _pair_costs(shares: np.ndarray) -> np.ndarray:
    """Cost of putting two channels c and d into one pair, for the shares a of the rows r.

        cost_cd = sum over r of max(0, a_rc + a_rd - 1)^2

    One of two shares that exceed 1 together is above a half. Few are, so only rows where one of the
    two is are looked at: the rows with ``a_rc > 1/2`` in the turn of c, for all d; they count for
    (d, c) as well, but where ``a_rd > 1/2``, which the turn of d counts.

    Args:
        shares: float32 ``[channels, rows]``.

    Returns:
        float32 ``[channels, channels]``.
    """
    by_row = np.ascontiguousarray(shares.T)  # [rows, channels]
    is_large = shares > 0.5
    is_small = np.ascontiguousarray(~is_large.T, np.float32)  # [rows, channels], 0 or 1
    counts = is_large.sum(axis=1)  # [channels]
    descending = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    costs = np.zeros((len(shares), len(shares)), np.float32)
    for start in range(0, len(descending), _CHANNELS):
        channels = descending[start : start + _CHANNELS]
        # The large rows of each channel first, in ascending order: [channels of the block, rows]
        rows = np.argsort(~is_large[channels], axis=1, kind="stable")
        own = np.zeros((len(channels), len(shares)), np.float32)
        others = np.zeros_like(own)
        for number in range(int(counts[channels[0]])):
            having = int(np.count_nonzero(counts[channels] > number))  # the first ones
            row = rows[:having, number]
            excess = by_row[row]  # [having, channels]
            excess += (shares[channels[:having], row] - 1)[:, None]
            np.square(np.maximum(excess, 0, out=excess), out=excess)
            own[:having] += excess
            excess *= is_small[row]
            others[:having] += excess
        costs[channels] += own
        costs[:, channels] += others.T
    return costs
