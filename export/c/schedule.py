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
from typing import Any

from export.c.blocks import Block, multiply_adds, step_of
from export.c.layout import ALIASES, Layout
from export.c.memory import MemoryPlan, Step, drawn, plan_memory


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

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the convolutions and dense layers, without what patches do twice."""
        return sum(multiply_adds(self.layout, Block(block.ops)) for block in self.blocks)

    @property
    def twice(self) -> int:
        """Multiply-adds that patches do a second time."""
        done = sum(multiply_adds(self.layout, block) for block in self.blocks)
        return max(done - self.multiply_adds, 0)

    @property
    def patched(self) -> tuple[Block, ...]:
        """Blocks that run patch by patch."""
        return tuple(block for block in self.blocks if block.tiles is not None)

    def lines(self) -> list[str]:
        """The memory plan as text, and what patches cost."""
        lines = [*self.plan.lines(), "", *drawn(self.plan), ""]
        for block in self.patched:
            assert block.tiles is not None
            lines.append(
                f"patches: {block.ops[0].name} to {block.name} in bands of {block.tiles.rows} rows "
                f"and strips of {block.tiles.columns} columns"
            )
        if self.patched:
            share = 100 * self.twice / max(self.multiply_adds, 1)
            lines.append(f"computed twice: {self.twice:,} multiply-adds, {share:.1f} % more")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **self.plan.to_dict(),
            "inputs": [self.buffers[name] for name in self.layout.inputs],
            "multiply_adds": self.multiply_adds,
            "multiply_adds_twice": self.twice,
            "patches": [
                {
                    "first": block.ops[0].name,
                    "last": block.name,
                    "rows": block.tiles.rows,
                    "columns": block.tiles.columns,
                }
                for block in self.patched
                if block.tiles is not None
            ],
        }


def layer_by_layer(layout: Layout) -> Schedule:
    """Schedule in which every operator is a step of its own."""
    blocks = [Block((op,)) for op in layout.ops if op.kind not in ALIASES]
    buffers = layout.buffers()
    plan = plan_of(layout, blocks, buffers)
    return Schedule(layout, tuple(in_order(blocks, plan)), plan, buffers)


def in_order(blocks: Sequence[Block], plan: MemoryPlan) -> list[Block]:
    """Blocks in the order in which a plan executes them."""
    order = {step.name: number for number, step in enumerate(plan.steps)}
    return sorted(blocks, key=lambda block: order[block.name])


def plan_of(layout: Layout, blocks: Sequence[Block], buffers: Mapping[str, str]) -> MemoryPlan:
    """Memory plan of blocks, in the best order that is known."""
    steps = [step_of(layout, block, buffers) for block in blocks]
    return plan_of_steps(layout, steps, buffers, quick=False)


def plan_of_steps(
    layout: Layout, steps: Sequence[Step], buffers: Mapping[str, str], *, quick: bool = True
) -> MemoryPlan:
    """Memory plan of steps; a quick one keeps their order and tries few packings."""
    inputs = {name: layout.size(name) for name in layout.inputs}
    return plan_memory(steps, inputs, [buffers[n] for n in layout.outputs], quick=quick)
