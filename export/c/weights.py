"""Numbers of a network in flash, and the parameters of its kernel calls that point at them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from export.c.calls import Constant, Field, KernelCall
from network.graph import Op

_A_LINE = 96
"""Characters of the numbers in a line."""


@dataclass(frozen=True)
class Flash:
    """Arrays of a network by symbol; equal ones are stored once.

    Attributes:
        arrays: stored numbers by symbol, without prefix.
    """

    arrays: Mapping[str, Constant] = field(repr=False)
    _symbols: Mapping[tuple[str, bytes], str] = field(repr=False)

    @classmethod
    def of(cls, ops: Iterable[Op], calls: Mapping[str, tuple[KernelCall, ...]]) -> Flash:
        """Arrays of all calls, in the order of the operators."""
        arrays: dict[str, Constant] = {}
        symbols: dict[tuple[str, bytes], str] = {}
        for number, op in enumerate(ops):
            for name, constant in _constants(calls[op.name]):
                key = _key(constant)
                if key not in symbols:
                    symbol = f"c{number}_{name}"
                    while symbol in arrays:
                        symbol += "_"
                    symbols[key], arrays[symbol] = symbol, constant
        return cls(arrays, symbols)

    @property
    def bytes(self) -> int:
        """Bytes of all arrays."""
        widths = {"int8_t": 1, "int32_t": 4}
        return sum(widths[c.ctype] * c.values.size for c in self.arrays.values())

    def symbol(self, constant: Constant) -> str:
        """Symbol of stored numbers, with ``net_``."""
        return f"net_{self._symbols[_key(constant)]}"

    def value(self, value: Field) -> str:
        """A field's value in C."""
        if isinstance(value, Constant):
            return self.symbol(value)
        if isinstance(value, tuple):
            return f"{{{', '.join(self.value(part) for part in value)}}}"
        return literal(value)

    def header(self) -> str:
        """Content of ``weights.h``."""
        lines = [
            f"extern const {constant.ctype} net_{symbol}[{constant.values.size}];"
            for symbol, constant in self.arrays.items()
        ]
        return "\n".join(
            ["#ifndef NET_WEIGHTS_H", "#define NET_WEIGHTS_H", "", "#include <stdint.h>", "",
             *lines, "", "#endif", ""]
        )  # fmt: skip

    def source(self) -> str:
        """Content of ``weights.c``."""
        lines = ['#include "net_weights.h"', ""]
        for symbol, constant in self.arrays.items():
            count = constant.values.size
            lines.append(f"const {constant.ctype} net_{symbol}[{count}] = {{")
            lines += [*numbers(constant.values.tolist()), "};"]
        return "\n".join([*lines, ""])


def literal(number: int) -> str:
    """A whole number of 32 bits in C; the lowest has no literal of its own."""
    return "(-2147483647 - 1)" if number == -(2**31) else str(int(number))


def numbers(values: Iterable[int], indent: str = "    ") -> Iterator[str]:
    """Lines of numbers with commas."""
    line = indent
    for value in values:
        text = f"{literal(value)},"
        if len(line) + len(text) > _A_LINE:
            yield line.rstrip()
            line = indent
        line += text + " "
    if line.strip():
        yield line.rstrip()


def _constants(calls: tuple[KernelCall, ...]) -> Iterator[tuple[str, Constant]]:
    for call in calls:
        for name, value in call.fields.items():
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, Constant):
                    yield name, part
        for source in call.sources:
            if isinstance(source, Constant):
                yield "operand", source


def _key(constant: Constant) -> tuple[str, bytes]:
    return constant.ctype, constant.values.tobytes()
