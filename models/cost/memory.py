"""Peak activation memory of a graph: the minimum over the orders in which it can run.

Source: Sandler et al. 2018, section 5.1. M(G) is the minimum over execution orders of the maximum
over operators of the memory that is live while an operator runs: the tensors that exist and are
still needed, graph inputs included, and the operator's outputs. Weights are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from models.cost.graph import LayerGraph

MOST_CUTS = 200_000
"""Number of cuts after which a graph counts as too wide for the exact minimum."""


@dataclass(frozen=True)
class Peak:
    """Peak memory of a graph in elements; multiply by the bytes of an element for bytes.

    Attributes:
        elements: M(G).
        order: positions of the operators in an order that reaches M(G).
        live: elements that are live while each operator runs, by position in the graph.
        exact: whether no order is better; False for graphs of more than ``MOST_CUTS`` cuts, whose
            values are those of the graph's own order.
    """

    elements: int
    order: tuple[int, ...]
    live: tuple[int, ...]
    exact: bool


def peak_memory(graph: LayerGraph) -> Peak:
    """M(G), with an order that reaches it.

    The minimum is exact: dynamic programming over the cuts of the graph, see ``_Cuts``. A chain of
    n operators has n + 1 cuts; two branches of m and n operators have (m + 1)(n + 1) between fork
    and join.
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
    """The best way to a cut S.

    Attributes:
        peak: best(S), in elements.
        before: the cut without the operator that runs last.
        last: position of that operator.
    """

    peak: int
    before: int
    last: int


class _Cuts:
    """Dynamic programming over the cuts of a graph.

    A cut S is a set of operators that can have run while no other has: it contains the producers
    of the inputs of each of its operators. It is stored as an integer whose bit p stands for the
    operator at position p, so that ``not bits & ~S`` says that S contains all operators of
    ``bits``. In elements:

        held(S)     = tensors that are graph inputs or outputs of S, and are graph outputs or read
                      by an operator outside of S; the same for every order of S
        live(S, p)  = held(S) + outputs(p), while p runs right after S; inputs(p) are in held(S)
        held(S + p) = live(S, p) - unread outputs(p) - inputs(p) that nothing outside of S + p reads
        best(S)     = min over p in S of max(best(S - p), live(S - p, p)), with best({}) = 0
        M(G)        = best(all operators)

    where a graph output is neither unread nor released.
    """

    def __init__(self, graph: LayerGraph) -> None:
        consumers, producers = graph.consumers(), graph.producers()
        graph_outputs = set(graph.outputs)
        self._count = len(graph.operators)
        self._sizes = {t: graph.elements(t) for t in range(len(graph.tensors))}
        # By tensor: the operators that read it, as bits.
        self._readers = {t: sum(1 << p for p in reading) for t, reading in consumers.items()}
        # All others by operator: the inputs that can be released after it,
        self._releasable = [
            tuple(t for t in dict.fromkeys(operator.inputs) if t not in graph_outputs)
            for operator in graph.operators
        ]
        # the operators that must have run before it, as bits,
        self._producers = [
            sum(1 << p for p in {producers[t] for t in operator.inputs if t in producers})
            for operator in graph.operators
        ]
        # the operators that read its outputs,
        self._successors = [
            tuple(dict.fromkeys(p for t in operator.outputs for p in consumers[t]))
            for operator in graph.operators
        ]
        # and the elements of its outputs: all of them, and those that nothing needs.
        self._outputs = [
            sum(self._sizes[t] for t in operator.outputs) for operator in graph.operators
        ]
        self._unread = [
            sum(
                self._sizes[t]
                for t in operator.outputs
                if t not in graph_outputs and not consumers[t]
            )
            for operator in graph.operators
        ]
        # Elements held before any operator has run.
        self._held_at_start = sum(
            self._sizes[t] for t in graph.inputs if consumers[t] or t in graph_outputs
        )

    def best_order(self) -> tuple[int, ...] | None:
        """Order with the least peak; None for a graph of more than ``MOST_CUTS`` cuts."""
        ready_at_start = tuple(p for p in range(self._count) if not self._producers[p])
        # Every cut S of n operators -> held(S), and the operators that can run next.
        level: dict[int, tuple[int, tuple[int, ...]]] = {0: (self._held_at_start, ready_at_start)}
        # By n: every cut of n + 1 operators -> the best way to it.
        steps: list[dict[int, _Step]] = []
        visited = 0
        for _ in range(self._count):
            best: dict[int, _Step] = {}
            next_level: dict[int, tuple[int, tuple[int, ...]]] = {}
            for cut, (held, ready) in level.items():
                peak_before = steps[-1][cut].peak if steps else 0
                for position in ready:
                    cut_after = cut | 1 << position
                    peak = max(peak_before, held + self._outputs[position])
                    known = best.get(cut_after)
                    if known is None:
                        next_level[cut_after] = (
                            held + self._held_change(cut_after, position),
                            self._ready_after(ready, cut_after, position),
                        )
                    if known is None or peak < known.peak:
                        best[cut_after] = _Step(peak, cut, position)
            steps.append(best)
            level = next_level
            visited += len(best)
            if visited > MOST_CUTS:
                return None
        return tuple(reversed(list(self._backwards(steps))))

    def live_along(self, order: tuple[int, ...]) -> tuple[int, ...]:
        """Elements live while each operator runs in this order, by position in the graph."""
        held, cut = self._held_at_start, 0
        live: dict[int, int] = {}
        for position in order:
            live[position] = held + self._outputs[position]
            cut |= 1 << position
            held += self._held_change(cut, position)
        return tuple(live[position] for position in range(self._count))

    def _backwards(self, steps: list[dict[int, _Step]]) -> Iterator[int]:
        """Operators of the best order, last first."""
        cut = (1 << self._count) - 1
        for best in reversed(steps):
            yield best[cut].last
            cut = best[cut].before

    def _held_change(self, cut: int, position: int) -> int:
        """held(S + p) - held(S), for the cut S + p and the position p."""
        released = sum(
            self._sizes[t] for t in self._releasable[position] if not self._readers[t] & ~cut
        )
        return self._outputs[position] - self._unread[position] - released

    def _ready_after(self, ready: tuple[int, ...], cut: int, position: int) -> tuple[int, ...]:
        """Operators that can run after the cut S + p, from those that could after S."""
        freed = (p for p in self._successors[position] if not self._producers[p] & ~cut)
        return (*(p for p in ready if p != position), *freed)
