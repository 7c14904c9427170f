"""Patches: the stages whose memory is largest computed tile by tile, as far as a budget needs it.

Rings of a chain that runs by rows are as wide as its tensors. Where that is too much, the chain
is cut into patches of its result, and what two patches need at their edges is computed twice; the
integers are the same. Lin et al. 2021, "MCUNetV2", arXiv:2110.15352, section 3.1, computes each
patch of a first stage wholly; here rows of a patch go through rings, so that bands of patches are
cheap, and the result is written over the image that is no longer needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from export.c.blocks import (
    LONGEST,
    Block,
    Tiles,
    joined,
    multiply_adds,
    step_of,
)
from export.c.layout import Layout
from export.c.memory import MemoryPlan, Step
from export.c.schedule import Schedule, in_order, plan_of, schedule
from foundation.errors import InvalidInputError
from network.graph import Op

MOST_EXTRA = 0.1
"""Share of the multiply-adds that patches may add where no limit of the memory says more."""
_MOST_SIDES = 16
_BANDS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64)
_STRIPS = (1, 2, 3, 4, 5, 6, 7, 8)
_HALVINGS = 7
_MOST_CHANGES = 60
"""Blocks that a search exchanges at most."""
_PLANNED = 32
"""Candidates that are packed at most, of those that are estimated."""


@dataclass(frozen=True)
class Patches:
    """Patches that a schedule may have.

    Attributes:
        sides: number of patches along rows and along columns; 1 for none, 0 for as many as needed.
        most_bytes: bytes of arena that are small enough; 0 for the least that ``MOST_EXTRA``
            allows. Only with as many as needed.
    """

    sides: int = 1
    most_bytes: int = 0

    @classmethod
    def of(cls, text: str) -> Patches:
        """Patches from ``none``, ``auto``, a number from 2, or what ``text`` returned.

        Raises:
            InvalidInputError: another text.
        """
        if text in ("none", "auto"):
            return cls(int(text == "none"))
        if found := re.fullmatch(r"at most ([1-9]\d{0,12}) bytes", text, re.ASCII):
            return cls(0, int(found[1]))
        if re.fullmatch(r"\d{1,2}", text, re.ASCII) and 2 <= int(text) <= _MOST_SIDES:
            return cls(int(text))
        raise InvalidInputError(
            f"--patches takes none, auto, or a number of patches a side from 2 to {_MOST_SIDES}",
            received=ascii(text)[:80] if text else "an empty text",
            remedy="write --patches auto",
        )

    @property
    def text(self) -> str:
        """The text that ``of`` reads."""
        if self.sides == 0:
            return f"at most {self.most_bytes} bytes" if self.most_bytes else "auto"
        return "none" if self.sides == 1 else str(self.sides)


NONE = Patches()


def patched(layout: Layout, patches: Patches) -> Schedule:
    """Schedule with patches where they are asked for and lower the arena.

    Args:
        layout: operators and sizes.
        patches: patches that it may have; with a limit of bytes, the fewest multiply-adds that
            keep it, or the least arena where none does.
    """
    whole = schedule(layout)
    if patches.sides == 1 or (patches.most_bytes and whole.plan.arena <= patches.most_bytes):
        return whole
    search = _Search(whole, patches.sides)
    if patches.sides:
        found = search.fitted(0, None)
    elif patches.most_bytes:
        found = search.fitted(patches.most_bytes, None)
        if found.plan.arena > patches.most_bytes:
            found = search.least(None)
    else:
        found = search.least(MOST_EXTRA)
    return min(found, whole, key=lambda schedule: schedule.plan.arena)


@dataclass(frozen=True)
class _Option:
    """A chain that could run as one block: the blocks then, and what they take."""

    blocks: list[Block] = field(repr=False)
    names: frozenset[str]
    estimate: int
    extra: int


@dataclass
class _Search:
    """Searches blocks by patches, beginning with a schedule without any.

    Attributes:
        whole: schedule without patches.
        sides: number of patches a side; 0 for any.
    """

    whole: Schedule
    sides: int
    _chains: dict[tuple[str, str], Block | None] = field(default_factory=dict, repr=False)
    _figures: dict[tuple[str, str, Tiles | None], tuple[int, int]] = field(
        default_factory=dict, repr=False
    )

    @property
    def layout(self) -> Layout:
        return self.whole.layout

    def least(self, share: float | None) -> Schedule:
        """The least arena with at most this share of multiply-adds more; None for any."""
        best = self.fitted(0, share)
        low, high = 0, min(best.plan.arena, self.whole.plan.arena)
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
        blocks = list(self.whole.blocks)
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
        plan = plan_of(self.layout, blocks, self.whole.buffers)
        return Schedule(self.layout, tuple(in_order(blocks, plan)), plan, self.whole.buffers)

    def _quick(self, blocks: Sequence[Block]) -> MemoryPlan:
        return plan_of(self.layout, blocks, self.whole.buffers, quick=True)

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

    def _tiles(self, chain: Block) -> Iterator[Tiles | None]:
        yield None
        if len(chain.ops) == 1 or chain.name in self.layout.means:
            return
        _, height, width, _ = self.layout.shapes[chain.name]
        bands, strips = (_BANDS, _STRIPS) if not self.sides else ((self.sides,), (self.sides,))
        cuts = {
            Tiles(-(-height // down), -(-width // across))
            for down in bands
            for across in strips
            if (down, across) != (1, 1) and down <= height and across <= width
        }
        yield from sorted(cuts, key=lambda tiles: (tiles.rows, tiles.columns))

    def _extra(self, blocks: Sequence[Block]) -> int:
        """Multiply-adds that patches of blocks do twice."""
        return sum(self._figure(block)[1] for block in blocks if block.tiles is not None)

    def _figure(self, block: Block) -> tuple[int, int]:
        """Bytes that a block takes at least, and the multiply-adds that it does twice."""
        key = block.ops[0].name, block.name, block.tiles
        if key not in self._figures:
            layout = self.layout
            step = step_of(layout, block, self.whole.buffers)
            extra = multiply_adds(layout, block) - multiply_adds(layout, replace(block, tiles=None))
            self._figures[key] = self._least_bytes(step), max(extra, 0)
        return self._figures[key]

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
