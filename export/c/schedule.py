"""Schedule of a network: which operators run by rows as one block, and what memory that takes.

A block is a chain of operators that each read the result of the one before: an inverted residual
for instance (Sandler et al. 2018, section 5.1). It runs row by row, and of each inner tensor only
the rows of one window exist, in a ring. Every row is computed once, so a block has no
multiply-add more than its operators, and the same integers. Blocks are chosen where they lower the
arena.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from export.c.blocks import LONGEST, Block, joined, step_of
from export.c.layout import ALIASES, Layout
from export.c.memory import MemoryPlan, plan_memory


@dataclass(frozen=True)
class Schedule:
    """Blocks in the order of execution, with their memory.

    Attributes:
        layout: operators and sizes.
        blocks: blocks in the order of execution.
        plan: places of all buffers.
        buffers: name of the buffer of each activation.
    """

    layout: Layout
    blocks: tuple[Block, ...] = field(repr=False)
    plan: MemoryPlan
    buffers: Mapping[str, str] = field(repr=False)


def schedule(layout: Layout, *, by_rows: bool = True) -> Schedule:
    """Schedule with the least arena that is found.

    Args:
        layout: operators and sizes.
        by_rows: whether chains may run by rows; layer by layer if not.
    """
    blocks = [Block((op,)) for op in layout.ops if op.kind not in ALIASES]
    buffers = layout.buffers()
    plan = plan_of(layout, blocks, buffers)
    layers, blocks = (plan, blocks), in_order(blocks, plan)
    while by_rows and (better := _better(layout, blocks, buffers, plan)) is not None:
        blocks, plan = better
    plan = plan_of(layout, blocks, buffers)
    plan, blocks = min((plan, blocks), layers, key=lambda found: found[0].arena)
    return Schedule(layout, tuple(in_order(blocks, plan)), plan, buffers)


def in_order(blocks: Sequence[Block], plan: MemoryPlan) -> list[Block]:
    """Blocks in the order in which a plan executes them."""
    order = {step.name: number for number, step in enumerate(plan.steps)}
    return sorted(blocks, key=lambda block: order[block.name])


def plan_of(
    layout: Layout, blocks: Sequence[Block], buffers: Mapping[str, str], *, quick: bool = False
) -> MemoryPlan:
    """Memory plan of blocks; a quick one keeps their order and tries few packings."""
    steps = [step_of(layout, block, buffers) for block in blocks]
    inputs = {name: layout.size(name) for name in layout.inputs}
    return plan_memory(steps, inputs, [buffers[n] for n in layout.outputs], quick=quick)


def _better(
    layout: Layout, blocks: list[Block], buffers: Mapping[str, str], plan: MemoryPlan
) -> tuple[list[Block], MemoryPlan] | None:
    """Blocks of which some chain over the largest step lowers the arena; None if none does."""
    found: tuple[list[Block], MemoryPlan] | None = None
    least = plan.arena
    peak = max(range(len(plan.steps)), key=plan.in_use)
    name = plan.steps[peak].name
    position = next(i for i, block in enumerate(blocks) if block.name == name)
    for first in range(max(position - LONGEST, 0), position + 1):
        for last in range(position, min(first + LONGEST, len(blocks))):
            if first == last:
                continue
            chain = joined(layout, blocks[first : last + 1])
            if chain is None:
                break
            tried = [*blocks[:first], chain, *blocks[last + 1 :]]
            planned = plan_of(layout, tried, buffers, quick=True)
            if planned.arena < least:
                found, least = (tried, planned), planned.arena
    return found
