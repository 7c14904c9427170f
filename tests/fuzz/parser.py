"""One row of ``PARSERS``: a reader of foreign bytes, and a valid file that it reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Sample = Callable[[Path], object]


@dataclass(frozen=True)
class Parser:
    """One reader of the product.

    Attributes:
        name: of the row.
        file: name of the file that it reads, with the suffix that the product asks for.
        sample: writes a valid file at a path.
        read: the product's entry; reads the file at a path.
        heavy: needs a framework or a C parser that may end the process: left out of the quick test.
    """

    name: str
    file: str
    sample: Sample = field(repr=False)
    read: Callable[[Path], object] = field(repr=False)
    heavy: bool = False
