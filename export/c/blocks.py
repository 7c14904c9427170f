"""Blocks of a schedule: operators that run as one step, and the memory that they take.

A chain of operators runs row by row through rings: of each inner tensor only the rows of one
window exist. Patches cut such a chain into tiles of its result (Lin et al. 2021, "MCUNetV2",
arXiv:2110.15352, section 3.1): the rings hold the columns of one tile alone, and what two tiles
need at their edges is computed for both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from export.c.layout import Layout
from export.c.memory import Overlap, Step
from export.c.windows import Spans, Window, overlap_gap, spans, windows_of
from network.graph import Op
from network.operators import OpKind

LONGEST = 12
"""Most operators of a block."""
_IN_PLACE = (OpKind.SOFTMAX, OpKind.L2_NORMALIZATION)
_SPREADING = (OpKind.TRANSPOSE_CONV,)
_SUM_BYTES = 4


@dataclass(frozen=True)
class Tiles:
    """Patches of the result of a chain, from left to right in bands from top to bottom.

    Attributes:
        rows: rows of a band; the last may have fewer.
        columns: columns of a patch; the last of a band may have fewer.
    """

    rows: int
    columns: int


def _edges(size: int, part: int) -> list[tuple[int, int]]:
    return [(first, min(first + part, size)) for first in range(0, size, part)]


@dataclass(frozen=True)
class Block:
    """Operators that run as one step.

    Attributes:
        ops: one operator, or a chain that runs by rows.
        rings: rows of each inner tensor that are in memory, by its name.
        tiles: patches that the result is computed in, one after the other; None for all at once.
    """

    ops: tuple[Op, ...]
    rings: Mapping[str, int] = field(default_factory=dict, hash=False)
    tiles: Tiles | None = None

    @property
    def name(self) -> str:
        """Name of the last operator."""
        return self.ops[-1].name

    @property
    def kind(self) -> str:
        """Kind of the operator, or the number of a chain's."""
        if self.tiles is not None:
            return f"{len(self.ops)} by patches"
        return str(self.ops[0].kind) if len(self.ops) == 1 else f"{len(self.ops)} by rows"


def joined(layout: Layout, blocks: Sequence[Block]) -> Block | None:
    """One block of several; None where they are no chain by rows."""
    ops = tuple(op for block in blocks for op in block.ops)
    if len(ops) > LONGEST:
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


def patch_rows(layout: Layout, block: Block) -> list[Spans]:
    """Rows of each tensor of a chain that each band of patches needs, the bands from above."""
    return _parts(layout, block, 0)


def patch_columns(layout: Layout, block: Block) -> list[Spans]:
    """Columns of each tensor of a chain that each patch of a band needs, from the left."""
    return _parts(layout, block, 1)


def _parts(layout: Layout, block: Block, axis: int) -> list[Spans]:
    """Spans of all patches along rows (0) or columns (1); none without patches."""
    if block.tiles is None:
        return []
    windows = [found[axis] for op in block.ops if (found := layout.windows(op)) is not None]
    sizes = [layout.shapes[layout.read_by(op)[0]][axis + 1] for op in block.ops]
    part = (block.tiles.rows, block.tiles.columns)[axis]
    edges = _edges(layout.shapes[block.name][axis + 1], part)
    return [spans(windows, sizes, first, end) for first, end in edges]


def multiply_adds(layout: Layout, block: Block) -> int:
    """Multiply-adds of convolutions and dense layers; those that patches do twice count twice."""
    rows, columns = patch_rows(layout, block), patch_columns(layout, block)
    total = 0
    for number, op in enumerate(block.ops):
        if not op.is_weighted:
            continue
        shape = layout.shapes[layout.read_by(op)[0] if op.kind in _SPREADING else op.name]
        places = math.prod(shape[:-1])
        if block.tiles is not None:
            places = math.prod(_length(parts, number + 1) for parts in (rows, columns))
        total += places * math.prod(layout.shapes[op.inputs[1]])
    return total


def _length(parts: Iterable[Spans], number: int) -> int:
    return sum(part[number][1] - part[number][0] for part in parts)


def step_of(layout: Layout, block: Block, buffers: Mapping[str, str]) -> Step:
    """A block as the memory plan sees it.

    Args:
        layout: operators and sizes.
        block: block of these operators.
        buffers: name of the buffer of each activation.
    """
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
    columns = patch_columns(layout, block)
    sizes = {}
    for number, (name, rows) in enumerate(block.rings.items()):
        _, _, width, channels = layout.shapes[name]
        if block.tiles is not None:
            width = max(end - first for first, end in (strip[number + 1] for strip in columns))
        sizes[name] = rows * width * channels * layout.element_bytes
    if block.rings and block.name in layout.means:
        sizes[block.name] = _SUM_BYTES * math.prod(layout.shapes[block.name])
    return sizes


def _gap(layout: Layout, block: Block, source: str) -> int | None:
    """Numbers by which the result must begin before a source to be written over it; None: never."""
    if block.tiles is not None:
        return _patches_gap(layout, block, source)
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


def _patches_gap(layout: Layout, block: Block, source: str) -> int:
    """The gap of patches: a band may be written wholly while its first row is still read."""
    shape, result = layout.shapes[source], layout.shapes[block.name]
    row, written = math.prod(shape[2:]), math.prod(result[2:])
    readers = [i for i, op in enumerate(block.ops) if source in layout.read_by(op)]
    return max(
        0,
        *(
            band[-1][1] * written - min(band[reader][0] for reader in readers) * row
            for band in patch_rows(layout, block)
        ),
    )


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
