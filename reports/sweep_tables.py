"""Tables of a sweep: for the screen, as Markdown and as CSV, all from its JSON document."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from reports.sweep_rows import columns, sorted_rows

if TYPE_CHECKING:
    from rich.table import Table

Document = dict[str, Any]

_CSV = (
    "name", "model", "weights", "alpha", "size", "recipe", "effort", "samples", "seed",
    "metric", "value", "low", "high", "float_value", "drop", "drop_low", "drop_high", "agreement",
    "sqnr_db", "bytes", "macs", "params", "arena_bytes", "latency_ms", "n", "misses", "front",
    "sha256", "stored", "seconds", "where", "failed", "key",
)  # fmt: skip

DETAILS = ("took s", "MACs M", "arena kB", "SQNR dB", "seed", "samples", "p50 ms")
"""Columns that a narrow screen leaves out, the first one first."""


def screen_table(document: Document) -> Table:
    """Table for the terminal, the best file first."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    shown = columns(document["rows"])
    for column in shown:
        justify = "right" if column.numeric else "left"
        table.add_column(column.head, justify=justify, no_wrap=True)
    for row in sorted_rows(document["rows"]):
        table.add_row(*(column.cell(row) for column in shown))
    return table


def markdown(document: Document) -> str:
    """The sweep as Markdown: the table, then what failed and why."""
    lines = ["# Sweep", "", *sentences(document)]
    if document["rows"]:
        shown = columns(document["rows"])
        lines += ["", "| " + " | ".join(column.head for column in shown) + " |"]
        lines.append("|" + "|".join("---:" if c.numeric else "---" for c in shown) + "|")
        lines += [
            "| " + " | ".join(column.cell(row) for column in shown) + " |"
            for row in sorted_rows(document["rows"])
        ]
    if document["failed"]:
        lines += ["", "Set aside:", ""]
        lines += [f"- {row['name']}: {row['sentence']}" for row in document["failed"]]
    return "\n".join([*lines, ""])


def sentences(document: Document) -> list[str]:
    """Conditions of a sweep, line by line."""
    rows, failed, waiting = (document[name] for name in ("rows", "failed", "waiting"))
    count = len(rows) + len(failed) + len(waiting)
    lines = [
        f"{len(rows)} of {count} files were made and measured"
        + (f", {len(failed)} set aside" if failed else "")
        + (f", {len(waiting)} not begun" if waiting else "")
        + "."
    ]
    if rows:
        lines.append(
            f"n = {document['n']:,} images of {document['data']}, the same for every file; drops "
            "are against each model's own float network."
        )
    if document["gates"]:
        kept = sum(not row["misses"] for row in rows)
        limits = ", ".join(f"{name} {limit:g}" for name, limit in document["gates"].items())
        lines.append(f"{kept} of {len(rows)} files keep the gates {limits}.")
    return lines


def csv_table(document: Document) -> str:
    """The sweep as CSV: a row for each task in the order of the plan, also for those set aside."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _CSV, lineterminator="\n")
    writer.writeheader()
    for row in document["rows"]:
        low, high = row["interval"] or (None, None)
        drop_low, drop_high = row["drop_interval"] or (None, None)
        limits = {"low": low, "high": high, "drop_low": drop_low, "drop_high": drop_high}
        lists = {name: " ".join(row[name]) for name in ("misses", "front")}
        writer.writerow({name: {**row, **limits, **lists}.get(name) for name in _CSV})
    for row in document["failed"]:
        values = {**row["choice"], "name": row["name"], "key": row["key"]}
        writer.writerow({**{n: values.get(n) for n in _CSV}, "failed": row["sentence"]})
    return text.getvalue()
