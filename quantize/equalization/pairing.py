"""The order of channels in which no two large weights of one sign meet in one 16-bit pair.

Channels between convolutions may stand in any order, if all that give or read them agree on it; the
function of the network is the same to the last bit of each product. Where x86 kernels multiply in
pairs (see ``rounding.neighbours``), the order decides how much a channel's scale has to give way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from network.graph import Graph, Op
from network.operators import OpKind
from quantize.equalization.groups import Groups
from quantize.ranges.extremes import Extremes

MOST_ROWS = 256
"""Rows of the readers that judge an order; of more, evenly spread ones do."""


@dataclass(frozen=True)
class Bundle:
    """Activations whose channels stand in one order.

    Attributes:
        channels: how many.
        names: of the activations.
        givers: convolutions and dense layers whose rows make the channels.
        takers: those whose columns read them.
        between: depthwise convolutions.
    """

    channels: int
    names: tuple[str, ...]
    givers: tuple[Op, ...]
    takers: tuple[Op, ...]
    between: tuple[Op, ...]


def bundles(graph: Graph) -> Iterator[Bundle]:
    """Every group of activations whose channels may be put into another order."""
    groups = Groups(graph.activations)
    for op in graph.ops:
        if op.traits.keeps_channels:
            names = [n for n in (*op.inputs, *op.outputs) if n and not graph.is_constant(n)]
            for name in names[1:]:
                groups.join(names[0], name)
    for names in groups.sets().values():
        bundle = _bundle(graph, tuple(names))
        if bundle is not None and bundle.takers and bundle.givers:
            yield bundle


def _bundle(graph: Graph, names: tuple[str, ...]) -> Bundle | None:
    """The bundle of these activations; None when something stands against it."""
    widths = {graph.tensors[name].shape[-1] for name in names}
    if len(widths) != 1 or graph.input in names or graph.output in names:
        return None
    (channels,) = widths
    givers: dict[Op, None] = {}
    takers: dict[Op, None] = {}
    between: dict[Op, None] = {}
    for name in names:
        op = graph.producers[name]
        if op.kind in (OpKind.CONV, OpKind.DENSE) and _plain(graph, op):
            givers[op] = None
        elif not _passes(graph, op, channels):
            return None
        if op.kind == OpKind.DEPTHWISE_CONV:
            between[op] = None
        for reader in graph.readers[name]:
            if reader.kind in (OpKind.CONV, OpKind.DENSE) and _reads(graph, reader, channels):
                takers[reader] = None
            elif not _passes(graph, reader, channels):
                return None
    return Bundle(channels, names, tuple(givers), tuple(takers), tuple(between))


def _plain(graph: Graph, op: Op) -> bool:
    """Whether a convolution has one group."""
    shape = graph.tensors[op.inputs[0]].shape
    return op.kind == OpKind.DENSE or shape[-1] == graph.weight(op).shape[-1]


def _reads(graph: Graph, op: Op, channels: int) -> bool:
    return _plain(graph, op) and graph.weight(op).shape[-1] == channels


def _passes(graph: Graph, op: Op, channels: int) -> bool:
    if not op.traits.keeps_channels:
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
        spans: of its activations.

    Returns:
        A graph of the same function, and its spans.
    """
    values: dict[str, np.ndarray] = {}
    after = dict(spans)

    def value(name: str) -> np.ndarray:
        return values.get(name, graph.value(name))

    for bundle in bundles(graph):
        if bundle.channels % 2:
            continue
        order = _order([value(op.inputs[1]) for op in bundle.takers])
        for op in bundle.givers:
            values[op.inputs[1]] = value(op.inputs[1])[order]
            values[op.inputs[2]] = value(op.inputs[2])[order]
        for op in bundle.between:
            values[op.inputs[1]] = value(op.inputs[1])[..., order]
            values[op.inputs[2]] = value(op.inputs[2])[order]
        for op in bundle.takers:
            values[op.inputs[1]] = value(op.inputs[1])[..., order]
        for name in bundle.names:
            span = after[name]
            after[name] = Extremes(span.low[order], span.high[order])
    contiguous = {name: np.ascontiguousarray(found) for name, found in values.items()}
    return graph.with_values(contiguous), after


def _order(weights: list[np.ndarray]) -> np.ndarray:
    """Channels in pairs: the most demanding one first, each with the partner that costs least."""
    shares = []
    for weight in weights:
        rows = weight.reshape(weight.shape[0], -1)
        widest = np.maximum(np.abs(rows).max(axis=1), np.finfo(np.float32).tiny)
        share = weight / widest.reshape(-1, *([1] * (weight.ndim - 1)))
        shares.append(np.moveaxis(share, -1, 0).reshape(weight.shape[-1], -1))
    columns = np.concatenate(shares, axis=1).astype(np.float32)  # [channels, rows]
    columns = columns[:, :: -(-columns.shape[1] // MOST_ROWS)]
    sides = np.concatenate([np.maximum(columns, 0), np.maximum(-columns, 0)], axis=1)
    return _matched(sides)


def _matched(shares: np.ndarray) -> np.ndarray:
    """Greedy pairs by the squares of what two shares exceed 1 by.

    Args:
        shares: float32 ``[channels, rows]``, 0 to 1.
    """
    demand = np.square(shares).sum(axis=1)
    costs = _costs(shares)
    order: list[int] = []
    free = np.ones(len(shares), bool)
    for first in np.argsort(-demand, kind="stable").tolist():
        if free[first]:
            free[first] = False
            partner = int(np.where(free, costs[first], np.inf).argmin())
            free[partner] = False
            order += [first, partner]
    return np.array(order, np.int64)


def _costs(shares: np.ndarray) -> np.ndarray:
    """Sum over rows of the squares of what the shares of any two channels exceed 1 by.

    One of two that exceed 1 is above a half; few are, and no others are looked at.

    Returns:
        Float32 ``[channels, channels]``.
    """
    by_row = np.ascontiguousarray(shares.T)
    channels, rows = np.nonzero(shares > 0.5)  # by channel
    costs = np.zeros((len(shares), len(shares)), np.float32)
    for channel in np.unique(channels).tolist():
        own = rows[slice(*np.searchsorted(channels, [channel, channel + 1]))]
        beside = by_row[own]
        over = beside + (shares[channel, own, None] - 1)
        np.square(np.maximum(over, 0, out=over), out=over)
        costs[channel] += over.sum(axis=0)
        over[beside > 0.5] = 0  # which the other channel's turn counts
        costs[:, channel] += over.sum(axis=0)
    return costs
