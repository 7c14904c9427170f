"""Generated parts of ``docs/why-relu6.md``, from the committed CSV files alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from foundation.errors import InvalidInputError
from studies.relu6 import claims, tables
from studies.relu6.lookup import Lookup, markdown
from studies.relu6.results import Results, committed


def part(name: str, folder: Path | None = None) -> str:
    """Generated part of the page, as Markdown.

    Args:
        name: one of PARTS.
        folder: folder of the CSV files; None for the committed ones.

    Raises:
        InvalidInputError: no such part, or results that are missing or damaged.
    """
    if name not in PARTS:
        raise InvalidInputError(
            f"a part of the study's text is one of {', '.join(PARTS)}",
            received=name,
            remedy="correct the comment in the page",
        )
    return PARTS[name](Results.read(folder or committed()))


def _table(rows: Callable[[Results], list[tuple[str, ...]]]) -> Callable[[Results], str]:
    def written(results: Results) -> str:
        head, *body = rows(results)
        return f"\n{markdown(head, body)}\n"

    return written


def _measured_on(results: Results) -> str:
    row = Lookup(results).floats("relu6")
    seeds = {network.seed for network in results.networks}
    return (
        f"n = {row.n:,} test images, {len(seeds)} seeds, weights in 8 bits throughout; figures in "
        f"brackets are 95 % intervals."
    )


PARTS: Mapping[str, Callable[[Results], str]] = {
    **claims.PARTS,
    "measured-on": _measured_on,
    "table-floats": _table(tables.floats_markdown),
    "table-drops": _table(tables.drops_markdown),
    "table-spiral": _table(tables.spiral_markdown),
}
"""Functions that generate the parts, by the names in the page's comments."""
