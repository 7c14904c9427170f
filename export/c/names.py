"""Names in the generated sources: one prefix before every symbol that a linker sees."""

from __future__ import annotations

import re
from dataclasses import dataclass

from foundation.errors import InvalidInputError

DEFAULT = "net"
_LONGEST = 31
"""Characters that C99 promises to tell apart in a name that a linker sees (5.2.4.1)."""
_RESERVED = frozenset(
    (
        "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else",
        "enum", "extern", "float", "for", "goto", "if", "inline", "int", "long", "register",
        "restrict", "return", "short", "signed", "sizeof", "static", "struct", "switch",
        "typedef", "union", "unsigned", "void", "volatile", "while", "main",
        # Words of C++, whose compilers read the header as well.
        "and", "asm", "bool", "catch", "class", "delete", "explicit", "export", "false", "friend",
        "mutable", "namespace", "new", "not", "operator", "or", "private", "protected", "public",
        "template", "this", "throw", "true", "try", "typeid", "typename", "using", "virtual",
        "xor",
    )
)  # fmt: skip
_WORD = re.compile(r"\b(net|NET)_(?=\w)")


@dataclass(frozen=True)
class Prefix:
    """Prefix of every symbol, file and macro of a network.

    Attributes:
        text: C identifier without leading underscore.

    Raises:
        InvalidInputError: no such identifier.
    """

    text: str = DEFAULT

    def __post_init__(self) -> None:
        good = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", self.text, re.ASCII)
        short = len(self.text) <= _LONGEST // 2
        if not (good and short) or self.text in _RESERVED or self.text.endswith("_"):
            raise InvalidInputError(
                f"--prefix takes a C identifier of at most {_LONGEST // 2} characters that begins "
                "with a letter, ends without an underscore and is no word of C or C++",
                received=ascii(self.text)[:80] if self.text else "an empty text",
                remedy="write for instance --prefix person",
            )

    def applied(self, source: str) -> str:
        """Source that is written with ``net_`` and ``NET_``, with this prefix."""
        upper = self.text.upper()
        named = source.replace('"net.h"', f'"{self.text}.h"')
        return _WORD.sub(lambda m: f"{upper if m[1] == 'NET' else self.text}_", named)

    def file(self, name: str) -> str:
        """Name of a file: the prefix alone for an empty name."""
        stem, dot, suffix = name.partition(".")
        return f"{self.text}_{stem}{dot}{suffix}" if stem else f"{self.text}{dot}{suffix}"
