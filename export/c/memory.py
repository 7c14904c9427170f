"""Memory plan: where in one arena each buffer of a network lies, and when.

A buffer lives from the step that writes it to the last step that reads it. Two buffers that live
at the same step lie apart, with one exception: a step that computes its result in the order of its
source may write over what it has read already, so the result may begin a little before its source
(Blacker et al. 2020, "Diagonal Memory Optimisation", arXiv:2010.01668). In-place operators are the
case of no distance.

Offsets are packed greedily in several orders and improved by exchanges; ``MemoryPlan.bound`` is
what no packing of this order of execution can go below, so equality proves the optimum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

from models.cost.graph import LayerGraph, Operator, Role
from models.cost.memory import peak_memory

ALIGNMENT = 4
"""Bytes that every offset is a multiple of, so that kernels may read words."""
_EXCHANGES = 400
"""Most packings that are tried after the greedy ones."""


@dataclass(frozen=True)
class Overlap:
    """Permission for a result to lie over a source that no later step reads.

    Attributes:
        result: name of the result.
        source: name of the source.
        gap: bytes by which the result must begin before the source at least; 0 in place.
    """

    result: str
    source: str
    gap: int


@dataclass(frozen=True)
class Step:
    """One call of the network, as far as memory is concerned.

    Attributes:
        name: name of the operator.
        kind: kind of the operator, for readers.
        reads: names of the buffers that it reads.
        writes: names and sizes of the buffers that it writes, in bytes.
        scratch: bytes that it needs only while it runs.
        overlaps: results that may lie over sources.
    """

    name: str
    kind: str
    reads: tuple[str, ...]
    writes: tuple[tuple[str, int], ...]
    scratch: int = 0
    overlaps: tuple[Overlap, ...] = ()


@dataclass(frozen=True)
class Place:
    """A buffer with its lifetime and its place.

    Attributes:
        name: name of the tensor, or of the step whose scratch memory it is.
        size: bytes, a multiple of ``ALIGNMENT``.
        first: first step at which it lives, from 0.
        last: last step at which it lives.
        offset: first byte in the arena.
    """

    name: str
    size: int
    first: int
    last: int
    offset: int = 0

    @property
    def end(self) -> int:
        """First byte behind it."""
        return self.offset + self.size


@dataclass(frozen=True)
class MemoryPlan:
    """Places of all buffers.

    Attributes:
        steps: steps in the order of execution.
        places: places by the name of the buffer, the inputs first.
        bound: bytes that no packing of this order can go below.
    """

    steps: tuple[Step, ...]
    places: Mapping[str, Place] = field(repr=False)
    bound: int

    @property
    def arena(self) -> int:
        """Bytes of the arena."""
        return max((place.end for place in self.places.values()), default=0)

    @property
    def optimal(self) -> bool:
        """Whether the arena is as small as this order of execution allows."""
        return self.arena == self.bound

    def live(self, step: int) -> tuple[Place, ...]:
        """Buffers that live at a step, the lowest first."""
        living = (p for p in self.places.values() if p.first <= step <= p.last)
        return tuple(sorted(living, key=lambda place: (place.offset, place.end)))

    def in_use(self, step: int) -> int:
        """Bytes from the start of the arena to the end of the highest buffer of a step."""
        return max((place.end for place in self.live(step)), default=0)

    def lines(self) -> list[str]:
        """The plan as text: a line for each step, then the size with its proof."""
        rows = [
            f"{number:4d}  {step.kind:<20} {self.in_use(number):>11,}  "
            + ", ".join(f"{p.name} {p.offset:,}-{p.end:,}" for p in self.live(number))
            for number, step in enumerate(self.steps)
        ]
        head = f"{'step':>4}  {'operator':<20} {'bytes':>11}  buffers, first byte-end"
        return [head, *rows, f"arena: {self.arena:,} bytes, {self.proof}"]

    @property
    def proof(self) -> str:
        """How far the arena is from the bound, in words."""
        if self.optimal:
            return "the least of this order of execution"
        above = 100 * (self.arena / self.bound - 1) if self.bound else 0.0
        return f"at most {above:.1f} % above the least of this order ({self.bound:,})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "arena_bytes": self.arena,
            "bound_bytes": self.bound,
            "optimal": self.optimal,
            "steps": [
                {"name": step.name, "kind": step.kind, "bytes": self.in_use(number)}
                for number, step in enumerate(self.steps)
            ],
            "buffers": [
                {
                    "name": place.name,
                    "offset": place.offset,
                    "size": place.size,
                    "first": place.first,
                    "last": place.last,
                }
                for place in self.places.values()
            ],
        }


def plan_memory(
    steps: Sequence[Step],
    inputs: Mapping[str, int],
    outputs: Iterable[str],
    *,
    quick: bool = False,
) -> MemoryPlan:
    """Plan with the least arena over the orders that are known.

    Orders are that of the steps and the one of least peak memory, see ``models.cost.memory``.

    Args:
        steps: steps in an order in which they can run.
        inputs: sizes of the buffers that are filled before the first step, in bytes.
        outputs: names of the buffers that are read after the last step.
        quick: whether only this order and the greedy packings are tried.

    Raises:
        ValueError: a step that reads a buffer before it is written.
    """
    kept = tuple(outputs)
    _lifetimes(tuple(steps), inputs, kept)  # refuses an order that cannot run
    if quick:
        return _packed(tuple(steps), inputs, kept, exchanges=0)
    plans = [_packed(order, inputs, kept) for order in _orders(steps, inputs, kept)]
    return min(plans, key=lambda plan: plan.arena)


def _orders(
    steps: Sequence[Step], inputs: Mapping[str, int], outputs: tuple[str, ...]
) -> list[tuple[Step, ...]]:
    sizes = dict(inputs) | {name: size for step in steps for name, size in step.writes}
    index = {name: number for number, name in enumerate(sizes)}
    operators = tuple(
        Operator(
            step.name,
            step.kind,
            Role.OTHER,
            tuple(index[name] for name in step.reads),
            tuple(index[name] for name, _ in step.writes),
        )
        for step in steps
    )
    shapes = tuple((size,) for size in sizes.values())
    ends = tuple(index[n] for n in inputs), tuple(index[n] for n in outputs)
    best = peak_memory(LayerGraph(operators, shapes, *ends)).order
    orders = [tuple(steps), tuple(steps[position] for position in best)]
    return list(dict.fromkeys(orders))


def _packed(
    steps: tuple[Step, ...],
    inputs: Mapping[str, int],
    outputs: tuple[str, ...],
    exchanges: int = _EXCHANGES,
) -> MemoryPlan:
    lives = _lifetimes(steps, inputs, outputs)
    overlaps = {
        (o.result, o.source): o.gap
        for step in steps
        for o in step.overlaps
        if lives[o.source].last == lives[o.result].first
    }
    packing = _Packing(tuple(lives.values()), overlaps)
    bound = max((_needed(packing, n) for n in range(len(steps))), default=0)
    places = packing.best(bound, exchanges)
    return MemoryPlan(steps, {name: places[name] for name in lives}, bound)


def _lifetimes(
    steps: tuple[Step, ...], inputs: Mapping[str, int], outputs: tuple[str, ...]
) -> dict[str, Place]:
    lives = {name: Place(name, _aligned(size), 0, 0) for name, size in inputs.items()}
    for number, step in enumerate(steps):
        for name in step.reads:
            if name not in lives:
                raise ValueError(f"{step.name} reads {name} before it is written")
            lives[name] = _until(lives[name], number)
        for name, size in step.writes:
            lives[name] = Place(name, _aligned(size), number, number)
        if step.scratch:
            name = f"{step.name} (rows)"
            lives[name] = Place(name, _aligned(step.scratch), number, number)
    for name in outputs:
        lives[name] = _until(lives[name], len(steps))  # longer than any source of the last step
    return lives


def _until(place: Place, step: int) -> Place:
    return Place(place.name, place.size, place.first, step)


@dataclass(frozen=True)
class _Packing:
    """Buffers to pack, and the pairs that may overlap: (result, source) -> gap."""

    buffers: tuple[Place, ...]
    overlaps: Mapping[tuple[str, str], int]

    def best(self, bound: int, exchanges: int) -> dict[str, Place]:
        """Packing with the least arena that greedy orders and exchanges find."""
        neighbours = self._neighbours()
        orders = self._greedy_orders()
        found = min((self._placed(order, neighbours) for order in orders), key=_arena)
        random = Random(len(self.buffers))
        order = sorted(self.buffers, key=lambda b: (found[b.name].offset, -b.size))
        for _ in range(exchanges if len(order) > 1 else 0):
            if _arena(found) <= bound:
                break
            tried = _exchanged(order, found, random)
            places = self._placed(tried, neighbours)
            if _arena(places) <= _arena(found):
                found, order = places, tried
        return found

    def _greedy_orders(self) -> list[list[Place]]:
        keys = (
            lambda b: (-b.size, b.first),
            lambda b: (b.first, -b.size),
            lambda b: (-b.last, b.first),
            lambda b: (b.first - b.last, -b.size),
            lambda b: (-b.size * (b.last - b.first + 1), b.first),
        )
        return [sorted(self.buffers, key=key) for key in keys]

    def _neighbours(self) -> dict[str, list[Place]]:
        """Buffers that live at a step of each buffer."""
        return {
            b.name: [
                other
                for other in self.buffers
                if other is not b and other.first <= b.last and b.first <= other.last
            ]
            for b in self.buffers
        }

    def _placed(
        self, order: Sequence[Place], neighbours: Mapping[str, list[Place]]
    ) -> dict[str, Place]:
        """Each buffer at the lowest offset that those before it leave."""
        placed: dict[str, Place] = {}
        for buffer in order:
            forbidden = sorted(
                self._forbidden(buffer, placed[other.name])
                for other in neighbours[buffer.name]
                if other.name in placed
            )
            offset = 0
            for above, below in forbidden:  # offsets strictly between the two
                if above < offset < below:
                    offset = -(-below // ALIGNMENT) * ALIGNMENT
            # A later interval may reach below an earlier one, so the sweep repeats until it holds.
            while any(above < offset < below for above, below in forbidden):
                worst = max(below for above, below in forbidden if above < offset < below)
                offset = -(-worst // ALIGNMENT) * ALIGNMENT
            placed[buffer.name] = Place(buffer.name, buffer.size, buffer.first, buffer.last, offset)
        return placed

    def _forbidden(self, buffer: Place, other: Place) -> tuple[int, int]:
        """Offsets, ends excluded, at which a buffer would clash with a placed one."""
        low, high = other.offset - buffer.size, other.end
        if (gap := self.overlaps.get((buffer.name, other.name))) is not None:
            low = max(low, other.offset - gap)
        if (gap := self.overlaps.get((other.name, buffer.name))) is not None:
            high = min(high, other.offset + gap)
        return low, high


def _exchanged(order: list[Place], places: Mapping[str, Place], random: Random) -> list[Place]:
    """Another order: the highest buffer earlier, or two buffers exchanged."""
    tried = list(order)
    top = max(tried, key=lambda b: places[b.name].end)
    position = tried.index(top)
    if position and random.random() < 0.5:
        tried.insert(random.randrange(position), tried.pop(position))
    else:
        one, two = random.randrange(len(tried)), random.randrange(len(tried))
        tried[one], tried[two] = tried[two], tried[one]
    return tried


def _arena(places: Mapping[str, Place]) -> int:
    return max((place.end for place in places.values()), default=0)


def _needed(packing: _Packing, step: int) -> int:
    """Bytes that the buffers of one step take at least.

    Where results may lie over sources, each saves at most what its pair overlaps; a result over two
    sources saves no more than its own size.
    """
    sizes = {b.name: b.size for b in packing.buffers if b.first <= step <= b.last}
    savings: dict[str, list[int]] = {}
    for (result, source), gap in packing.overlaps.items():
        if result in sizes and source in sizes:
            extent = max(sizes[result], sizes[source] + _aligned(gap))
            savings.setdefault(result, []).append(sizes[result] + sizes[source] - extent)
    saved = sum(
        min(sizes[result], sum(max(0, amount) for amount in amounts))
        for result, amounts in savings.items()
    )
    apart = sum(size for name, size in sizes.items() if name not in savings)
    return max(apart, sum(sizes.values()) - saved)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def drawn(plan: MemoryPlan, width: int = 64) -> list[str]:
    """The plan as a picture of text: a line for each step, the arena from left to right.

    A letter stands for a buffer, and is told where it begins to live; ``.`` is unused memory.
    """
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    marks = {name: letters[number % len(letters)] for number, name in enumerate(plan.places)}
    scale = max(plan.arena, 1) / width
    cuts = [round(number * scale) for number in range(width + 1)]
    rows = []
    for number in range(len(plan.steps)):
        living = plan.live(number)
        row = ""
        for low, high in pairwise(cuts):
            inside = [
                marks[p.name] for p in living if p.offset < max(high, low + 1) and low < p.end
            ]
            row += inside[-1] if inside else "."
        new = "  ".join(f"{marks[p.name]} {p.name}" for p in living if p.first == number)
        rows.append(f"{number:4d}  {row}  {new}".rstrip())
    return rows
