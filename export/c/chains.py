"""C of the blocks that run by rows, whole or patch by patch: parameters, stages, functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from export.c.blocks import Block, patch_columns, ring_sizes
from export.c.calls import KernelCall
from export.c.program import Program
from export.c.strips import in_strip
from export.c.weights import Flash
from export.c.windows import Spans
from network.graph import Op


def calls_of(program: Program, block: Block, op: Op) -> tuple[KernelCall, ...]:
    """Calls of an operator where it stands: alone, or in a chain that runs by rows."""
    calls = program.calls[op.name]
    return tuple(call.in_chain or call for call in calls) if len(block.ops) > 1 else calls


def params_lines(flash: Flash, call: KernelCall, symbol: str) -> list[str]:
    """Definition of the parameters of a call."""
    lines = [f"static const net_{call.params}_params {symbol} = {{"]
    line = "   "
    for name, value in call.fields.items():
        text = f".{name} = {flash.value(value)}"
        if len(line) + len(text) > 96:
            lines.append(line)
            line = "   "
        line += f" {text},"
    return [*lines, line, "};"]


@dataclass(frozen=True)
class View:
    """Rows in the arena, or a part of their columns, as ``net_rows``.

    Attributes:
        offset: first byte.
        rows: rows in memory.
        bytes: bytes from a row to the next.
    """

    offset: int
    rows: int
    bytes: int

    @property
    def text(self) -> str:
        """Initializer in C."""
        return f"{{a + {self.offset}, {self.rows}, {self.bytes}}}"


def whole_rows(program: Program, tensor: str, height: int) -> View:
    """All rows of a tensor."""
    size = math.prod(program.network.tensors[tensor].shape)
    return View(program.offset(tensor), height, size // height)


@dataclass(frozen=True)
class ChainWriter:
    """Writes a chain of operators that runs by rows.

    Attributes:
        program: network as kernel calls.
        flash: numbers of the network in flash.
        block: the chain.
        numbers: number of each operator, by its name.
    """

    program: Program
    flash: Flash = field(repr=False)
    block: Block
    numbers: Mapping[str, int] = field(repr=False)

    @property
    def name(self) -> str:
        """Name of the function that runs the chain."""
        return f"block_{self.numbers[self.block.name]}"

    def lines(self) -> list[str]:
        """Parameters that patches need, and the functions."""
        calls = [self._call(op) for op in self.block.ops]
        if self.block.tiles is None:
            symbols = [f"op_{self.numbers[op.name]}_0" for op in self.block.ops]
            return self._function(calls, symbols)
        lines: list[str] = []
        symbols_of: dict[tuple[str, ...], str] = {}
        strips = patch_columns(self.program.schedule.layout, self.block)
        functions: list[str] = []
        for number, strip in enumerate(strips):
            symbols = []
            for place, (op, call) in enumerate(zip(self.block.ops, calls, strict=True)):
                narrow = in_strip(call, self._shape(op.name)[2], *strip[place : place + 2])
                symbol = f"op_{self.numbers[op.name]}_s{number}"
                text = params_lines(self.flash, narrow, symbol)
                key = (op.name, *text[1:])
                if key not in symbols_of:
                    symbols_of[key] = symbol
                    lines += text
                symbols.append(symbols_of[key])
            functions += self._strip_function(calls, symbols, strip, number)
        return [*lines, "", *functions, *self._bands(len(strips))]

    def _call(self, op: Op) -> KernelCall:
        (call,) = calls_of(self.program, self.block, op)
        return call

    def _shape(self, tensor: str) -> tuple[int, ...]:
        return self.program.schedule.layout.shapes[tensor]

    def _rings(self, strip: Spans | None) -> dict[str, View]:
        """Rings of the inner tensors, whole or of the columns of a patch."""
        schedule = self.program.schedule
        place = schedule.plan.places[f"{self.block.name} (rows)"].offset
        views = {}
        for number, (name, size) in enumerate(ring_sizes(schedule.layout, self.block).items()):
            rows = self.block.rings.get(name, 1)
            row = size // rows
            if strip is not None:
                first, end = strip[number + 1]
                row = (end - first) * self._shape(name)[3]
            views[name] = View(place, rows, row)
            place += size
        return views

    def _stages(
        self, calls: Sequence[KernelCall], symbols: Sequence[str], strip: Spans | None = None
    ) -> list[str]:
        """Initializers of the stages."""
        rings, means = self._rings(strip), self.program.schedule.layout.means
        lines = []
        for place, (op, call, symbol) in enumerate(
            zip(self.block.ops, calls, symbols, strict=True)
        ):
            assert call.rows is not None
            names = [source for source in call.sources if isinstance(source, str)]
            reads = [rings.get(n) or self._outside(n, strip, place) for n in names]
            mean = op.name in means
            reads += [rings[op.name]] if mean else []
            ring = None if mean else rings.get(op.name)
            result = ring or self._outside(op.name, strip, place + 1, 1 if mean else call.height)
            ins = [view.text for view in reads] + ["{a, 1, 0}"] * (2 - len(reads))
            window = f"{call.rows.stride}, {call.rows.before}, {call.rows.extent}"
            lines.append(
                f"      {{net_{call.kernel}, &{symbol}, {{{', '.join(ins)}}},\n"
                f"       {result.text}, {window}}},"
            )
        return lines

    def _outside(self, tensor: str, strip: Spans | None, place: int, height: int = 0) -> View:
        """Rows of a tensor that is no ring, from the first column of a patch on."""
        shape = self._shape(tensor)
        view = whole_rows(self.program, tensor, height or shape[1])
        first = 0 if strip is None else strip[place][0] * shape[3]
        return View(view.offset + first, view.rows, view.bytes)

    def _heights(self) -> str:
        layout = self.program.schedule.layout
        return ", ".join(str(layout.height(op)) for op in self.block.ops)

    def _function(self, calls: Sequence[KernelCall], symbols: Sequence[str]) -> list[str]:
        count = len(self.block.ops)
        return [
            f"static void {self.name}(int8_t *a) {{",
            f"  static const int32_t heights[{count}] = {{{self._heights()}}};",
            f"  const net_stage stages[{count}] = {{",
            *self._stages(calls, symbols),
            "  };",
            f"  int32_t next[{count}] = {{0}};",
            f"  net_run_stages(stages, next, heights, {count});",
            "}",
            "",
        ]

    def _strip_function(
        self, calls: Sequence[KernelCall], symbols: Sequence[str], strip: Spans, number: int
    ) -> list[str]:
        """Function of the patches of some columns: their rows in a band."""
        count = len(self.block.ops)
        return [
            f"static void {self.name}_{number}(int8_t *a, int32_t first, int32_t end) {{",
            f"  int32_t next[{count}], heights[{count}] = {{{self._heights()}}};",
            f"  const net_stage stages[{count}] = {{",
            *self._stages(calls, symbols, strip),
            "  };",
            f"  net_run_patch(stages, next, heights, {count}, first, end);",
            "}",
            "",
        ]

    def _bands(self, strips: int) -> list[str]:
        assert self.block.tiles is not None
        height, rows = self._shape(self.block.name)[1], self.block.tiles.rows
        return [
            f"static void {self.name}(int8_t *a) {{",
            f"  for (int32_t y = 0; y < {height}; y += {rows}) {{",
            f"    const int32_t end = y + {rows} < {height} ? y + {rows} : {height};",
            *(f"    {self.name}_{number}(a, y, end);" for number in range(strips)),
            "  }",
            "}",
            "",
        ]
