"""Writes the styles of docs/your-model.md: ``python -m tests.conformance.networks.docs``."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import edgequant.process  # noqa: F401 - makes the rooms ours
from foundation.atomic import write_whole
from tests.conformance.networks.registry import small_styles
from tests.conformance.networks.style import Style

PAGE = Path(__file__).resolve().parents[3] / "docs" / "your-model.md"
_PART = re.compile(r"(<!-- styles -->\n).*?(<!-- end of styles -->)", re.DOTALL)


def rendered(page: str) -> str:
    """Text of the page with its table written again."""
    return _PART.sub(lambda match: f"{match[1]}{styles_table()}\n{match[2]}", page)


def styles_table() -> str:
    """A row for each style: what it is, its task, its contract, and its command."""
    rows = [_row(style) for style in small_styles().values()]
    return "\n".join(["| network | task | contract | command |", "|---|---|---|---|", *rows])


def _row(style: Style) -> str:
    contract = "<br>".join(f"`{line}`" for line in style.contract.toml.splitlines())
    return f"| {style.summary} | {style.task or '-'} | {contract} | `{style.command_line}` |"


def main() -> None:
    """Write the page."""
    text = rendered(PAGE.read_text(encoding="utf-8"))
    write_whole(PAGE, partial(Path.write_text, data=text, encoding="utf-8"))


if __name__ == "__main__":
    main()
