"""Drawing of the rooms, as Mermaid, from their docstrings and the rules for imports."""

from __future__ import annotations

import ast
from configparser import ConfigParser
from itertools import pairwise
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
_RULES = ".importlinter"
_CONTRACT = "importlinter:contract:rooms"


def layers() -> list[list[str]]:
    """Rooms from the top down, those of one layer together, as the import rules have them."""
    rules = ConfigParser()
    rules.read(HOME / _RULES, encoding="utf-8")
    lines = rules[_CONTRACT]["layers"].split("\n")
    return [[name.strip() for name in line.split("|")] for line in lines if line.strip()]


def summary(room: str) -> str:
    """First line of a room's docstring."""
    source = (HOME / room / "__init__.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").split("\n", 1)[0]


def drawing() -> str:
    """Flow chart of the rooms: each layer imports from the layers below it and from no other."""
    rows = layers()
    lines = ["```mermaid", "flowchart TD"]
    for row in rows:
        for room in row:
            text = summary(room).replace('"', "'").replace("`", "")
            lines.append(f'    {room}["<b>{room}</b><br/>{text}"]')
    for above, below in pairwise(rows):
        lines += [f"    {high} --> {low}" for high in above for low in below]
    return "\n".join([*lines, "```"])
