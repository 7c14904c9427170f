"""Peak activation memory of a graph: the least over the orders in which it can run.

Source: Sandler et al. 2018, section 5.1. M(G) is the minimum over execution orders of the maximum
over operators of the memory that is live while one runs: what was made before and is still
needed, what is given and still needed, and what the operator makes. Weights are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from models.cost.graph import LayerGraph

MOST_CUTS = 200_000
"""Cuts that are looked at before a graph is called too wide for the exact minimum."""


@dataclass(frozen=True)
class Peak:
    """Peak memory of a graph, in elements; times the bytes of one for bytes.

    Attributes:
        elements: M(G).
        order: positions of the operators in an order that reaches it.
        live: elements that are live while each operator runs, by position in the graph.
        exact: whether no order is better; False for graphs of more than ``MOST_CUTS`` cuts,
            whose own order is taken.
    """

    elements: int
    order: tuple[int, ...]
    live: tuple[int, ...]
    exact: bool


def peak_memory(graph: LayerGraph) -> Peak:
    """M(G), with an order that reaches it.

    The minimum is exact: dynamic programming over the cuts of the graph, a cut being a set of
    operators that can have run when no other has. A chain has one cut an operator, two branches
    of m and n operators have (m + 1)(n + 1) between fork and join.
    """
    cuts = _Cuts(graph)
    order = cuts.best_order()
    exact = order is not None
    if order is None:
        order = tuple(range(len(graph.operators)))
    live = cuts.live_along(order)
    return Peak(max(live, default=0), order, live, exact)


@dataclass(frozen=True)
class _Step:
    """The best way to a cut: its peak, and what ran last on which cut before."""

    peak: int
    before: int
    last: int


class _Cuts:
    """Sets of operators, as bits of a number, and what is live between them."""

    def __init__(self, graph: LayerGraph) -> None:
        consumers, producers = graph.consumers(), graph.producers()
        kept = set(graph.outputs)
        self._count = len(graph.operators)
        self._takers = {t: sum(1 << p for p in takers) for t, takers in consumers.items()}
        self._takes = [
            tuple(t for t in dict.fromkeys(operator.inputs) if t not in kept)
            for operator in graph.operators
        ]
        self._needs = [
            sum(1 << p for p in {producers[t] for t in operator.inputs if t in producers})
            for operator in graph.operators
        ]
        self._makes = [
            sum(graph.elements(t) for t in operator.outputs) for operator in graph.operators
        ]
        self._useless = [
            sum(graph.elements(t) for t in operator.outputs if t not in kept and not consumers[t])
            for operator in graph.operators
        ]
        self._next = [
            tuple(dict.fromkeys(p for t in operator.outputs for p in consumers[t]))
            for operator in graph.operators
        ]
        self._size = {t: graph.elements(t) for t in range(len(graph.tensors))}
        self._given = sum(self._size[t] for t in graph.inputs if consumers[t] or t in kept)

    def best_order(self) -> tuple[int, ...] | None:
        """The order of least peak; None where there are more than ``MOST_CUTS`` cuts."""
        first = tuple(p for p in range(self._count) if not self._needs[p])
        level: dict[int, tuple[int, tuple[int, ...]]] = {0: (self._given, first)}
        steps: list[dict[int, _Step]] = []
        seen = 0
        for _ in range(self._count):
            found: dict[int, _Step] = {}
            following: dict[int, tuple[int, tuple[int, ...]]] = {}
            for cut, (held, ready) in level.items():
                peak = steps[-1][cut].peak if steps else 0
                for position in ready:
                    cut_after = cut | 1 << position
                    reached = max(peak, held + self._makes[position])
                    known = found.get(cut_after)
                    if known is None:
                        following[cut_after] = (
                            held + self._change(cut_after, position),
                            self._ready(ready, cut_after, position),
                        )
                    if known is None or reached < known.peak:
                        found[cut_after] = _Step(reached, cut, position)
            steps.append(found)
            level = following
            seen += len(found)
            if seen > MOST_CUTS:
                return None
        return tuple(reversed(list(self._backwards(steps))))

    def live_along(self, order: tuple[int, ...]) -> tuple[int, ...]:
        """Elements live while each operator runs, by position, when they run in this order."""
        held, cut = self._given, 0
        live: dict[int, int] = {}
        for position in order:
            live[position] = held + self._makes[position]
            cut |= 1 << position
            held += self._change(cut, position)
        return tuple(live[position] for position in range(self._count))

    def _backwards(self, steps: list[dict[int, _Step]]) -> Iterator[int]:
        cut = (1 << self._count) - 1
        for found in reversed(steps):
            yield found[cut].last
            cut = found[cut].before

    def _change(self, cut: int, position: int) -> int:
        """What is held more once ``position``, the last of ``cut``, has run."""
        done = sum(self._size[t] for t in self._takes[position] if not self._takers[t] & ~cut)
        return self._makes[position] - self._useless[position] - done

    def _ready(self, ready: tuple[int, ...], cut: int, position: int) -> tuple[int, ...]:
        freed = (p for p in self._next[position] if not self._needs[p] & ~cut)
        return (*(p for p in ready if p != position), *freed)
