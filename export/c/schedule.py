"""Schedule of a network: which operators run by rows as one block, and what memory that takes.

A block is a chain of operators that each read the result of the one before: an inverted residual
for instance (Sandler et al. 2018, section 5.1). It runs row by row, and of each inner tensor only
the rows of one window exist, in a ring. Every row is computed once, so a block has no
multiply-add more than its operators, and the same integers. Blocks are chosen where they lower the
arena.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from export.c.memory import MemoryPlan, Overlap, Step, plan_memory
from export.c.windows import Shape, Window, overlap_gap, windows_of
from network.graph import Op
from network.operators import OpKind

ALIASES = (OpKind.RESHAPE, OpKind.EXPAND_DIMS, OpKind.SQUEEZE)
"""Operators whose result is the memory of their input."""
_IN_PLACE = (OpKind.SOFTMAX, OpKind.L2_NORMALIZATION)
_SUM_BYTES = 4
_LONGEST = 12
"""Most operators of a block."""


@dataclass(frozen=True)
class Layout:
    """Operators of a network and the sizes of their tensors.

    Attributes:
        ops: operators in an order in which they can run.
        shapes: shapes of all tensors by name, for a batch of one.
        constants: names of stored tensors.
        inputs: names of the inputs.
        outputs: names of the outputs.
        means: names of the results of means over all rows and columns.
        element_bytes: bytes of one number.
    """

    ops: tuple[Op, ...]
    shapes: Mapping[str, Shape] = field(repr=False)
    constants: frozenset[str] = field(repr=False)
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    means: frozenset[str] = frozenset()
    element_bytes: int = 1

    def buffers(self) -> dict[str, str]:
        """Name of the buffer that holds each activation; reshapes share that of their input."""
        names: dict[str, str] = {name: name for name in self.inputs}
        for op in self.ops:
            for name in op.outputs:
                source = op.inputs[0]
                names[name] = names[source] if op.kind in ALIASES and source in names else name
        return names

    def size(self, name: str) -> int:
        """Bytes of a tensor."""
        return math.prod(self.shapes[name]) * self.element_bytes

    def read_by(self, op: Op) -> tuple[str, ...]:
        """Activations that an operator reads, each once."""
        names = (self.from_file(n) for n in op.inputs)
        return tuple(dict.fromkeys(n for n in names if n))

    def from_file(self, name: str) -> str:
        """The name of an activation; empty for a constant or an absent input."""
        return "" if name in self.constants else name

    def height(self, op: Op) -> int:
        """Rows that an operator computes by rows: a mean takes one row of its source at a time."""
        return self.shapes[self.read_by(op)[0] if op.name in self.means else op.name][1]

    def windows(self, op: Op) -> tuple[Window, Window] | None:
        """Windows along rows and columns; None where the kernel needs whole tensors."""
        reads = self.read_by(op)
        shape = self.shapes[op.name]
        if op.name in self.means:
            _, height, width, _ = self.shapes[reads[0]]
            return Window(count=height), Window(count=width)
        if not reads or len(shape) != 4 or len(op.outputs) != 1 or shape[0] != 1:
            return None
        if op.kind in (OpKind.ADD, OpKind.SUB):
            whole = len(op.inputs) == 2 and all(self.shapes.get(n) == shape for n in op.inputs)
            whole = whole and not self.constants.intersection(op.inputs)
            return (Window(count=shape[1]), Window(count=shape[2])) if whole else None
        if len(reads) == 1 and self.elementwise(op):
            return Window(count=shape[1]), Window(count=shape[2])
        weight = self.shapes[op.inputs[1]] if op.is_weighted else None
        return windows_of(op, self.shapes[reads[0]], weight)

    def elementwise(self, op: Op) -> bool:
        """Whether each number of the result depends on one number of the only activation."""
        traits = op.traits
        if traits.weighted or traits.moves or traits.broadcasts or not traits.keeps_channels:
            return op.kind == "QUANTIZE"
        windowed = (OpKind.MEAN, OpKind.AVERAGE_POOL)
        return op.kind not in windowed and self.shapes[op.inputs[0]] == self.shapes[op.name]


def is_image_mean(axes: np.ndarray, shape: Shape) -> bool:
    """Whether axes are the rows and columns of one image ``[1, height, width, channels]``."""
    found = {int(axis) % len(shape) for axis in np.atleast_1d(axes)} if shape else set()
    return len(shape) == 4 and shape[0] == 1 and found == {1, 2}


@dataclass(frozen=True)
class Block:
    """Operators that run as one step.

    Attributes:
        ops: one operator, or a chain that runs by rows.
        rings: rows of each inner tensor that are in memory, by its name.
    """

    ops: tuple[Op, ...]
    rings: Mapping[str, int] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """Name of the last operator."""
        return self.ops[-1].name

    @property
    def kind(self) -> str:
        """Kind of the operator, or the number of a chain's."""
        return str(self.ops[0].kind) if len(self.ops) == 1 else f"{len(self.ops)} by rows"


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
    plan = _plan(layout, blocks, buffers)
    layers, blocks = (plan, blocks), _in_order(blocks, plan)
    while by_rows and (better := _better(layout, blocks, buffers, plan)) is not None:
        blocks, plan = better
    plan = _plan(layout, blocks, buffers)
    plan, blocks = min((plan, blocks), layers, key=lambda found: found[0].arena)
    return Schedule(layout, tuple(_in_order(blocks, plan)), plan, buffers)


def _in_order(blocks: Sequence[Block], plan: MemoryPlan) -> list[Block]:
    order = {step.name: number for number, step in enumerate(plan.steps)}
    return sorted(blocks, key=lambda block: order[block.name])


def _plan(
    layout: Layout, blocks: Sequence[Block], buffers: Mapping[str, str], *, quick: bool = False
) -> MemoryPlan:
    steps = [_step(layout, block, buffers) for block in blocks]
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
    for first in range(max(position - _LONGEST, 0), position + 1):
        for last in range(position, min(first + _LONGEST, len(blocks))):
            if first == last:
                continue
            joined = _joined(layout, blocks[first : last + 1])
            if joined is None:
                break
            tried = [*blocks[:first], joined, *blocks[last + 1 :]]
            planned = _plan(layout, tried, buffers, quick=True)
            if planned.arena < least:
                found, least = (tried, planned), planned.arena
    return found


def _joined(layout: Layout, blocks: Sequence[Block]) -> Block | None:
    """One block of several; None where they are no chain by rows."""
    ops = tuple(op for block in blocks for op in block.ops)
    if len(ops) > _LONGEST:
        return None
    readers: dict[str, int] = {}
    for op in layout.ops:
        for name in layout.read_by(op):
            readers[name] = readers.get(name, 0) + 1
    rings = {}
    inner = {op.name for op in ops[:-1]}
    for number, op in enumerate(ops):
        windows = layout.windows(op)
        if windows is None:
            return None
        if op.name in layout.means and op is not ops[-1]:
            return None  # it has no row before it has read all of them
        reads = layout.read_by(op)
        within = [name for name in reads if name in inner]
        if number == 0:
            continue
        before = ops[number - 1].name
        sole = readers[before] == 1 and before not in layout.outputs
        if within != [before] or not sole or op.inputs.count(before) != 1:
            return None
        rings[before] = min(windows[0].extent, layout.shapes[before][1])
    return Block(ops, rings)


def _step(layout: Layout, block: Block, buffers: Mapping[str, str]) -> Step:
    inner = set(block.rings)
    reads = [n for op in block.ops for n in layout.read_by(op) if n not in inner]
    last = block.ops[-1]
    overlaps = []
    for source in dict.fromkeys(reads):
        gap = _gap(layout, block, source)
        if gap is not None and buffers[source] != buffers[last.name]:
            gap *= layout.element_bytes
            overlaps.append(Overlap(buffers[last.name], buffers[source], gap))
    return Step(
        block.name,
        block.kind,
        tuple(dict.fromkeys(buffers[n] for n in reads)),
        tuple((name, layout.size(name)) for name in last.outputs),
        ring_bytes(layout, block),
        tuple(overlaps),
    )


def ring_bytes(layout: Layout, block: Block) -> int:
    """Bytes of all rings of a block."""
    return sum(ring_sizes(layout, block).values())


def ring_sizes(layout: Layout, block: Block) -> dict[str, int]:
    """Bytes of each ring of a block, by the name of the tensor; sums of a mean by its own name."""
    sizes = {
        name: rows * layout.size(name) // layout.shapes[name][1]
        for name, rows in block.rings.items()
    }
    if block.rings and block.name in layout.means:
        sizes[block.name] = _SUM_BYTES * math.prod(layout.shapes[block.name])
    return sizes


def _gap(layout: Layout, block: Block, source: str) -> int | None:
    """Numbers by which the result must begin before a source to be written over it; None: never."""
    if len(block.ops) > 1:
        return _chain_gap(layout, block, source)
    (op,) = block.ops
    shape = layout.shapes[op.name]
    if len(op.outputs) != 1 or list(layout.read_by(op)).count(source) != 1:
        return None
    windows = layout.windows(op)
    if op.name in layout.means:
        return None
    if windows is not None and (op.is_weighted or windows_of(op, layout.shapes[source], None)):
        return overlap_gap(*windows, layout.shapes[source], shape[3])
    same = layout.shapes[source] == shape
    in_place = op.kind in _IN_PLACE or op.traits.broadcasts or layout.elementwise(op)
    return 0 if same and in_place else None


def _chain_gap(layout: Layout, block: Block, source: str) -> int:
    """The gap of a chain, row by row: what its stages read after a row of the result is written."""
    windows = [found[0] for op in block.ops if (found := layout.windows(op)) is not None]
    heights = [layout.height(op) for op in block.ops]
    readers = [i for i, op in enumerate(block.ops) if source in layout.read_by(op)]
    shape, result = layout.shapes[source], layout.shapes[block.name]
    if block.name in layout.means:
        return 0  # written when everything is read
    row, written = math.prod(shape[2:]), math.prod(result[2:])
    next_rows = [0] * len(windows)
    gap = 0
    last = len(windows) - 1
    for stage in _stages(windows, heights):
        row_of_result = next_rows[stage]
        if stage == last:
            for reader in readers:
                if reader == last and windows[last].extent == 1 and shape == result:
                    continue  # a sum reads each number before it writes over it
                needed = _first_needed(windows, heights, next_rows, reader, shape[1])
                gap = max(gap, (row_of_result + 1) * written - needed * row)
        next_rows[stage] += 1
    return gap


def _first_needed(
    windows: Sequence[Window],
    heights: Sequence[int],
    next_rows: Sequence[int],
    stage: int,
    size: int,
) -> int:
    """First row of its source that a stage has still to read; ``size`` when it is done."""
    if next_rows[stage] >= heights[stage]:
        return size
    return windows[stage].first(next_rows[stage], size)


def _stages(windows: Sequence[Window], heights: Sequence[int]) -> Iterable[int]:
    """Stages in the order in which ``net_run_stages`` runs a row of each."""
    next_rows = [0] * len(windows)
    last = len(windows) - 1
    while next_rows[last] < heights[last]:
        stage = last
        while stage and next_rows[stage - 1] < windows[stage].end(
            next_rows[stage], heights[stage - 1]
        ):
            stage -= 1
        yield stage
        next_rows[stage] += 1
