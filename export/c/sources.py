"""C sources of a network: header, schedule, weights and kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files

from export.c.calls import Constant, KernelCall
from export.c.chains import ChainWriter, calls_of, params_lines, whole_rows
from export.c.cmsis_nn import cmsis_nn_source
from export.c.names import Prefix
from export.c.program import Program
from export.c.weights import Flash

_KERNEL_FILES = {
    "conv_2d": "conv_2d.c",
    "pointwise": "pointwise.c",
    "depthwise": "depthwise.c",
    "average_pool": "pools.c",
    "max_pool": "pools.c",
    "add": "rows.c",
    "lookup": "rows.c",
    "sum": "binary.c",
    "product": "binary.c",
    "maximum": "binary.c",
    "minimum": "binary.c",
    "squared_difference": "binary.c",
    "prelu": "binary.c",
    "dense": "products.c",
    "matmul": "products.c",
    "transpose_conv": "transpose_conv.c",
    "mean": "reductions.c",
    "mean_rows": "mean_rows.c",
    "reduce_max": "reductions.c",
    "reduce_min": "reductions.c",
    "softmax": "softmax.c",
    "l2_normalization": "l2_normalization.c",
    "resize_bilinear": "resize_bilinear.c",
    "move": "moves.c",
    "pick": "moves.c",
    "fill": "moves.c",
}
"""File of ``export/c/kernels`` that holds each kernel."""
_KERNELS_HEAD = """\
#include "net_kernels.h"

#include <string.h>

#include "net_fixed_point.h"
#include "net_sums.h"
"""
_FINISHED_BY_FOUR = frozenset(("conv_2d", "pointwise", "depthwise"))
"""Kernels that call ``net_finish4``."""


@dataclass(frozen=True)
class Extra:
    """What a caller adds to the header and beside the schedule.

    Attributes:
        header: lines of the header, such as the contract of the input.
        source: lines of the source that the header declares.
    """

    header: Sequence[str] = ()
    source: Sequence[str] = ()


def c_sources(
    program: Program, prefix: Prefix, title: str, extra: Extra | None = None
) -> dict[str, str]:
    """Sources of a network by file name; they compile as C99 without warnings.

    Args:
        program: network as kernel calls.
        prefix: prefix of every symbol, macro and file name.
        title: name of the network, for comments.
        extra: lines to add.
    """
    extra = extra or Extra()
    flash = Flash.of(program.network.ops, program.calls)
    texts = {
        ".h": _header(program, title, extra),
        ".c": _Writer(program, flash).source(title, extra),
        "weights.h": flash.header(),
        "weights.c": flash.source(),
        "kernels.h": _kernel_text("kernels.h"),
        "fixed_point.h": _kernel_text("fixed_point.h"),
        "sums.h": _kernel_text("sums.h"),
        "kernels.c": kernels_source(program),
    }
    if (convolutions := cmsis_nn_source(program)) is not None:
        texts["cmsis_nn.c"] = convolutions
    return {prefix.file(name): prefix.applied(text) for name, text in texts.items()}


def kernels_source(program: Program) -> str:
    """Content of ``kernels.c``: the kernels that the network calls, and no other."""
    blocks = program.schedule.blocks
    used = {
        call.kernel for block in blocks for op in block.ops for call in calls_of(program, block, op)
    }
    names = {_KERNEL_FILES[kernel] for kernel in used}
    if used & _FINISHED_BY_FOUR:
        names.add("finish.c")
    if any(len(block.ops) > 1 for block in blocks):
        names.add("stages.c")
    if any(block.tiles is not None for block in blocks):
        names.add("patches.c")
    return "\n".join([_KERNELS_HEAD, *(_kernel_text(name) for name in sorted(names))])


def _kernel_text(name: str) -> str:
    return files(str(__package__)).joinpath("kernels", name).read_text(encoding="ascii")


def comment(text: str) -> str:
    """Text that may stand in a comment: ASCII, and no end of the comment."""
    plain = text.encode("ascii", "replace").decode("ascii").replace("*/", "* /")
    return "".join(c if c.isprintable() else "?" for c in plain).replace("/*", "/ *")


def guarded(name: str, lines: Sequence[str]) -> list[str]:
    """Lines of a header that C and C++ may include any number of times; ``name`` guards it."""
    return [
        f"#ifndef {name}", f"#define {name}", "", "#include <stdint.h>", "",
        "#ifdef __cplusplus", 'extern "C" {', "#endif", "", *lines,
        "#ifdef __cplusplus", "}", "#endif", "", "#endif",
    ]  # fmt: skip


def c_text(text: str) -> str:
    """Literal of C for a text, in UTF-8."""
    parts = []
    for byte in text.encode("utf-8"):
        plain = 32 <= byte < 127 and chr(byte) not in '"\\?'
        parts.append(chr(byte) if plain else f"\\{byte:03o}")
    return f'"{"".join(parts)}"'


def _header(program: Program, title: str, extra: Extra) -> str:
    network = program.network
    image = network.tensors[network.input]
    assert image.params is not None
    outputs = [network.tensors[name] for name in network.outputs]
    total = sum(math.prod(tensor.shape) for tensor in outputs)
    what = "an int8 network in C, without an interpreter and without malloc"
    lines = [
        "/* Memory that a run needs: input, outputs and all between; no alignment is needed. */",
        f"#define NET_ARENA_BYTES {program.arena}",
        "/* Where a run has its input in the arena: one that is written there is not copied. */",
        f"#define NET_INPUT_OFFSET {program.offset(network.input)}",
        f"#define NET_INPUT_BYTES {math.prod(image.shape)}",
        f"/* Input {list(image.shape)}, output bytes in the order of the file:",
        " * real = scale * (integer - zero point). */",
        f"#define NET_INPUT_SCALE {image.params.scale[0]!r}f",
        f"#define NET_INPUT_ZERO_POINT ({image.params.zero_point[0]})",
        f"#define NET_OUTPUT_BYTES {total}",
        f"#define NET_OUTPUTS {len(outputs)}",
        "",
        "/* An output: its first byte behind `out` of net_run, and its scale. */",
        "typedef struct {",
        "  const char *name;",
        "  int32_t offset, bytes;",
        "  float scale;",
        "  int32_t zero_point;",
        "} net_output;",
        "extern const net_output net_outputs[NET_OUTPUTS];",
        "",
        "/* Runs the network: NET_INPUT_BYTES from `in`, NET_OUTPUT_BYTES to `out`.",
        " * What the arena held before is lost; nothing has to be kept in it between runs. */",
        "void net_run(const int8_t *in, int8_t *out, uint8_t *arena);",
        "",
        *extra.header,
        *([""] if extra.header else []),
    ]
    return "\n".join([f"/* {comment(title)}: {what}. */", *guarded("NET_H", lines), ""])


@dataclass(frozen=True)
class _Writer:
    """Writes the schedule of a program."""

    program: Program
    flash: Flash = field(repr=False)

    def source(self, title: str, extra: Extra) -> str:
        numbers = {op.name: number for number, op in enumerate(self.program.network.ops)}
        params, blocks, runs = [], [], []
        for block in self.program.schedule.blocks:
            for op in block.ops if block.tiles is None else ():
                for place, call in enumerate(calls_of(self.program, block, op)):
                    params += params_lines(self.flash, call, f"op_{numbers[op.name]}_{place}")
            if len(block.ops) > 1:
                chain = ChainWriter(self.program, self.flash, block, numbers)
                blocks += chain.lines()
                how = "by rows" if block.tiles is None else "by patches"
                runs += [f"  /* {comment(block.name)}: {how} */", f"  {chain.name}(a);"]
            else:
                (op,) = block.ops
                runs.append(f"  /* {op.kind} {comment(op.name)} */")
                calls = self.program.calls[op.name]
                runs += [self._call(c, f"op_{numbers[op.name]}_{i}") for i, c in enumerate(calls)]
        lines = [
            f"/* {comment(title)}: what runs when, and where in the arena. */",
            '#include "net.h"',
            "",
            "#include <string.h>",
            "",
            '#include "net_kernels.h"',
            '#include "net_weights.h"',
            "",
            *params,
            "",
            *blocks,
            *self._outputs(),
            "",
            *extra.source,
            *([""] if extra.source else []),
            "void net_run(const int8_t *in, int8_t *out, uint8_t *arena) {",
            "  int8_t *const a = (int8_t *)arena;",
            "  if (in != a + NET_INPUT_OFFSET) memmove(a + NET_INPUT_OFFSET, in, NET_INPUT_BYTES);",
            *runs,
            *self._copies(),
            "}",
            "",
        ]
        return "\n".join(lines)

    def _call(self, call: KernelCall, params: str) -> str:
        """Statement of a call on whole tensors."""
        if call.rows is None:
            arguments = [self._pointer(source) for source in call.sources]
            whole = ", ".join([f"&{params}", *arguments, self._pointer(call.result)])
            return f"  net_{call.kernel}({whole});"
        names = [source for source in call.sources if isinstance(source, str)]
        views = [whole_rows(self.program, name, self._height(call, name)) for name in names]
        rows = ", ".join(view.text for view in views)
        result = whole_rows(self.program, call.result, call.height).text
        return (
            f"  net_{call.kernel}(&{params}, (const net_rows[]){{{rows}}},\n"
            f"      &(const net_rows){result}, 0, {call.height});"
        )

    def _height(self, call: KernelCall, source: str) -> int:
        shape = self.program.network.tensors[source].shape
        return shape[1] if len(shape) == 4 and shape[0] == 1 else call.height

    def _pointer(self, source: str | Constant) -> str:
        if isinstance(source, Constant):
            return self.flash.symbol(source)
        return f"a + {self.program.offset(source)}"

    def _outputs(self) -> list[str]:
        lines, offset = ["const net_output net_outputs[NET_OUTPUTS] = {"], 0
        for name in self.program.network.outputs:
            tensor = self.program.network.tensors[name]
            assert tensor.params is not None
            size, params = math.prod(tensor.shape), tensor.params
            lines.append(
                f"    {{{c_text(name)}, {offset}, {size}, {params.scale[0]!r}f, "
                f"{params.zero_point[0]}}},"
            )
            offset += size
        return [*lines, "};"]

    def _copies(self) -> list[str]:
        lines, offset = [], 0
        for name in self.program.network.outputs:
            size = math.prod(self.program.network.tensors[name].shape)
            lines.append(f"  memmove(out + {offset}, a + {self.program.offset(name)}, {size});")
            offset += size
        return lines
