"""Search of the blocks of a schedule: which chains run by rows, and which of them by patches.

The step that takes most memory is replaced by a chain over it, again and again, until a budget is
kept. Of the chains that keep it, the one with the fewest multiply-adds is taken. The least arena
is found by halving the budget.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from export.c.blocks import LONGEST, Block, Tiles, joined, multiply_adds, step_of
from export.c.layout import Layout
from export.c.memory import MemoryPlan, Step
from export.c.schedule import Schedule, in_order, plan_of, plan_of_steps
from network.graph import Op

_HALVINGS = 7
_MOST_CHANGES = 200
"""Blocks that a search exchanges at most."""
_PLANNED = 32
"""Candidates that are packed at most, of those that are estimated."""


@dataclass(frozen=True)
class _Option:
    """A chain that could run as one block: the blocks then, and what they take."""

    blocks: list[Block] = field(repr=False)
    names: frozenset[str]
    estimate: int
    extra: int


@dataclass
class Search:
    """Searches blocks by rows and by patches.

    Attributes:
        start: schedule that the search begins with.
        cuts: numbers of bands and of strips that a chain may be cut into.
    """

    start: Schedule
    cuts: Sequence[tuple[int, int]] = ()
    _chains: dict[tuple[str, str], Block | None] = field(default_factory=dict, repr=False)
    _steps: dict[tuple[str, str, Tiles | None], Step] = field(default_factory=dict, repr=False)
    _figures: dict[tuple[str, str, Tiles | None], tuple[int, int]] = field(
        default_factory=dict, repr=False
    )

    @property
    def layout(self) -> Layout:
        """Operators and sizes."""
        return self.start.layout

    def least(self, share: float | None) -> Schedule:
        """The least arena with at most this share of multiply-adds more; None for any."""
        best = self.fitted(0, share)
        low, high = 0, min(best.plan.arena, self.start.plan.arena)
        for _ in range(_HALVINGS):
            middle = (low + high) // 2
            found = self.fitted(middle, share)
            if found.plan.arena <= middle:
                best, high = found, found.plan.arena
            else:
                low = middle
                best = min(best, found, key=lambda schedule: schedule.plan.arena)
        return best

    def fitted(self, budget: int, share: float | None) -> Schedule:
        """Schedule of at most ``budget`` bytes with few multiply-adds; the least found if none."""
        blocks = list(self.start.blocks)
        whole = sum(multiply_adds(self.layout, block) for block in blocks)
        most = None if share is None else int(share * whole)
        plan = self._quick(blocks)
        best = blocks, plan
        for _ in range(_MOST_CHANGES):
            if plan.arena <= budget:
                break
            changed = self._lowered(blocks, plan, budget, most)
            if changed is None:
                break
            blocks, plan = changed
            best = min(best, changed, key=lambda found: found[1].arena)
        blocks = best[0]
        plan = plan_of(self.layout, blocks, self.start.buffers)
        return Schedule(self.layout, tuple(in_order(blocks, plan)), plan, self.start.buffers)

    def _quick(self, blocks: Sequence[Block]) -> MemoryPlan:
        return plan_of_steps(self.layout, [self._step(b) for b in blocks], self.start.buffers)

    def _lowered(
        self, blocks: list[Block], plan: MemoryPlan, budget: int, most: int | None
    ) -> tuple[list[Block], MemoryPlan] | None:
        """Blocks with another chain over the largest step, within the budget if one is."""
        peak = max(range(len(plan.steps)), key=plan.in_use)
        options = [o for o in self._options(blocks, peak) if most is None or o.extra <= most]
        within = sorted(
            (option for option in options if option.estimate <= budget),
            key=lambda option: (option.extra, option.estimate),
        )
        for option in within[:_PLANNED]:
            planned = self._quick(option.blocks)
            if _used(planned, option.names) <= budget:
                return option.blocks, planned
        least, found = plan.arena, None
        for option in sorted(options, key=lambda option: (option.estimate, option.extra))[
            :_PLANNED
        ]:
            planned = self._quick(option.blocks)
            if max(_used(planned, option.names), planned.arena) < least:
                found, least = (option.blocks, planned), planned.arena
        return found

    def _options(self, blocks: list[Block], peak: int) -> Iterator[_Option]:
        """Every chain over a part of a block, with every cut into patches."""
        ops = [op for block in blocks for op in block.ops]
        start = sum(len(block.ops) for block in blocks[:peak])
        for first in range(max(start - LONGEST + 1, 0), start + len(blocks[peak].ops)):
            for last in range(max(first, start), min(first + LONGEST, len(ops))):
                chain = self._chain(ops[first : last + 1])
                if chain is None:
                    break
                before, after, names = self._cut(blocks, first, last)
                twice = self._extra([*before, *after])
                for tiles in self._tiles(chain):
                    block = replace(chain, tiles=tiles)
                    estimate, extra = self._figure(block)
                    yield _Option(
                        [*before, block, *after], names | {block.name}, estimate, twice + extra
                    )

    def _chain(self, ops: Sequence[Op]) -> Block | None:
        key = ops[0].name, ops[-1].name
        if key not in self._chains:
            self._chains[key] = joined(self.layout, [Block((op,)) for op in ops])
        return self._chains[key]

    def _cut(
        self, blocks: list[Block], first: int, last: int
    ) -> tuple[list[Block], list[Block], frozenset[str]]:
        """Blocks before and behind a range of operators, and the names of those that are cut."""
        before: list[Block] = []
        after: list[Block] = []
        names: set[str] = set()
        position = 0
        for block in blocks:
            end = position + len(block.ops)
            if end <= first:
                before.append(block)
            elif position > last:
                after.append(block)
            else:
                for side, part in (
                    (before, block.ops[: max(first - position, 0)]),
                    (after, block.ops[last + 1 - position :]),
                ):
                    if part and (rest := self._chain(part)) is not None:
                        side.append(rest)
                        names.add(rest.name)
            position = end
        return before, after, frozenset(names)

    def _tiles(self, chain: Block) -> list[Tiles | None]:
        if len(chain.ops) == 1 or chain.name in self.layout.means:
            return [None]
        _, height, width, _ = self.layout.shapes[chain.name]
        tiles = {
            Tiles(-(-height // down), -(-width // across))
            for down, across in self.cuts
            if down <= height and across <= width
        }
        return [None, *sorted(tiles, key=lambda tiles: (tiles.rows, tiles.columns))]

    def _extra(self, blocks: Sequence[Block]) -> int:
        """Multiply-adds that patches of blocks do twice."""
        return sum(self._figure(block)[1] for block in blocks if block.tiles is not None)

    def _figure(self, block: Block) -> tuple[int, int]:
        """Bytes that a block takes at least, and the multiply-adds that it does twice."""
        key = block.ops[0].name, block.name, block.tiles
        if key not in self._figures:
            layout = self.layout
            extra = multiply_adds(layout, block) - multiply_adds(layout, replace(block, tiles=None))
            self._figures[key] = self._least_bytes(self._step(block)), max(extra, 0)
        return self._figures[key]

    def _step(self, block: Block) -> Step:
        key = block.ops[0].name, block.name, block.tiles
        if key not in self._steps:
            self._steps[key] = step_of(self.layout, block, self.start.buffers)
        return self._steps[key]

    def _least_bytes(self, step: Step) -> int:
        """Bytes of what a step reads and writes, where nothing else is in memory."""
        sizes = {name: self.layout.size(name) for name in step.reads} | dict(step.writes)
        saved = [
            sizes[o.result] + sizes[o.source] - max(sizes[o.result], sizes[o.source] + o.gap)
            for o in step.overlaps
        ]
        return sum(sizes.values()) + step.scratch - max([0, *saved])


def _used(plan: MemoryPlan, names: frozenset[str]) -> int:
    return max(plan.in_use(n) for n, step in enumerate(plan.steps) if step.name in names)
