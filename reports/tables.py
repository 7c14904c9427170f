"""Measured rows as screen table, Markdown and CSV, all rendered from one JSON document.

``document`` makes it from a Measurement, so that a stored report can be shown again without
measuring again.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluation.result import Measurement

if TYPE_CHECKING:
    from rich.table import Table

Document = dict[str, Any]
Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """Column of the table.

    Attributes:
        head: title with the unit.
        cell: text of a row's cell; a dash without a value.
        numeric: whether cells are aligned right.
    """

    head: str
    cell: Callable[[Row], str]
    numeric: bool = True


def _drop(row: Row) -> str:
    if "drop" not in row:
        return "-"
    low, high = row["drop_interval"]
    return f"{row['drop']:+.2f} [{low:+.2f}, {high:+.2f}]"


def compares(row: Row) -> bool:
    """Whether a row was compared with the float network."""
    return "agreement" in row


def percent(value: float | None) -> str:
    """A percentage with two decimals; a dash where it was not measured."""
    return "-" if value is None else f"{value:.2f}"


def _changed(row: Row) -> str:
    if "flips" not in row:
        return "-"
    flips = row["flips"]
    if "right_to_wrong" not in flips:  # no labels
        return str(flips["changed"])
    return f"{flips['changed']} ({flips['right_to_wrong']} lost, {flips['wrong_to_right']} won)"


def _sqnr(row: Row) -> str:
    if not compares(row):
        return "-"
    return "inf" if row["sqnr_db"] is None else f"{row['sqnr_db']:.1f}"


def _latency(row: Row) -> str:
    return f"{row['latency_ms']['p50']:.2f}" if row["latency_ms"] else "-"


def _latency_tail(row: Row) -> str:
    times = row["latency_ms"]
    return f"{times['p90']:.2f}/{times['p99']:.2f}" if times else "-"


def _size(row: Row) -> str:
    return "-" if row["size_bytes"] is None else f"{row['size_bytes'] / 1000:,.0f}"


def _agreement(row: Row) -> str:
    return percent(row.get("agreement"))


COLUMNS = (
    Column("recipe", lambda row: str(row["name"]), numeric=False),
    Column("runtime", lambda row: str(row["runtime"]), numeric=False),
    Column("top-1 %", lambda row: percent(row["top1"])),
    Column("top-5 %", lambda row: percent(row["top5"])),
    Column("drop, points [95 %]", _drop),
    Column("answers changed", _changed),
    Column("as float %", _agreement),
    Column("SQNR dB", _sqnr),
    Column("p50 ms", _latency),
    Column("p90/p99 ms", _latency_tail),
    Column("size kB", _size),
)


def document(measurement: Measurement, **more: Any) -> Document:
    """All measurements as plain values.

    Rows: the reference first, then by SQNR of the outputs, which distinguishes files that top-1 on
    a few thousand images does not.
    """
    rows = [row.to_dict(measurement.labels) for row in measurement.rows]
    rows.sort(key=_likeness)
    return {
        **more,
        "n": rows[0]["n"],
        "data": rows[0]["data"],
        "machine": measurement.machine.to_dict(),
        **({"remarks": list(measurement.remarks)} if measurement.remarks else {}),
        "rows": rows,
    }


def _likeness(row: Row) -> tuple[bool, float, str]:
    if not compares(row):
        return (False, 0.0, row["name"])
    sqnr = row["sqnr_db"]
    return (True, float("-inf") if sqnr is None else -sqnr, row["name"])


NO_LABELS = (
    "The images have no labels, so top-1 and its drop are not measured: rows are compared with "
    "float by their answers and by SQNR."
)
NOTHING_COMPARED = (
    "The images have no labels, so top-1 is not measured: give --reference MODEL to compare with "
    "float."
)


def screen_table(report: Document) -> Table:
    """Table for the terminal."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column in COLUMNS:
        table.add_column(column.head, justify="right" if column.numeric else "left", no_wrap=True)
    for row in report["rows"]:
        table.add_row(*(column.cell(row) for column in COLUMNS))
    return table


def markdown_table(report: Document) -> str:
    """Rows as a Markdown table."""
    lines = [
        "| " + " | ".join(column.head for column in COLUMNS) + " |",
        "|" + "|".join("---:" if column.numeric else "---" for column in COLUMNS) + "|",
    ]
    lines += ["| " + " | ".join(c.cell(row) for c in COLUMNS) + " |" for row in report["rows"]]
    return "\n".join(lines) + "\n"


def conditions(report: Document) -> list[str]:
    """Conditions of the measurement, line by line; a remark appears once, with all its rows."""
    rows = report["rows"]
    method = next((row["drop_method"] for row in rows if "drop_method" in row), None)
    count = f"n = {report['n']:,} images of {report['data']}"
    lines = [f"{count}, the same tensors for every row; rows are sorted by SQNR of the outputs."]
    lines += [f"{remark}." for remark in report.get("remarks", ())]
    if rows[0]["top1"] is None:
        lines.append(NO_LABELS if any(compares(row) for row in rows) else NOTHING_COMPARED)
    if method:
        lines.append(
            "Drop is float minus row on the same images, in points of top-1; a negative drop is a "
            f"gain. Interval: {method}."
        )
    timed = next((row["latency_ms"] for row in rows if row["latency_ms"]), None)
    if timed is None:
        lines.append("Latency was not measured.")
    else:
        lines.append(
            f"Latency of one image: {timed['threads']} thread(s), {timed['pinning']}, after "
            f"{timed['warmup']} warm-up runs; Keras uses TensorFlow's own threads."
        )
    ran = "; ".join(f"{name} ({', '.join(run)})" for name, run in kernels(rows).items())
    lines.append(f"Kernels: {ran}.")
    lines.append(describe_machine(report["machine"]))
    named = [f"{', '.join(names)}: {remark}." for remark, names in remarks(rows).items()]
    return [*lines, *sorted(named)]


def remarks(rows: list[Row]) -> dict[str, list[str]]:
    """Remarks with the names of the rows that have them."""
    names: dict[str, list[str]] = {}
    for row in rows:
        for remark in dict.fromkeys(row["remarks"]):
            names.setdefault(remark, []).append(row["name"])
    return names


def kernels(rows: list[Row]) -> dict[str, list[str]]:
    """Kernels with the rows that they ran."""
    names: dict[str, list[str]] = {}
    for row in rows:
        what = f"{row['runtime']} {row['runtime_version']}, {row['kernels']}"
        names.setdefault(what, []).append(row["name"])
    return names


def describe_machine(machine: dict[str, Any]) -> str:
    """CPU, flags and versions in one line."""
    known = machine["flags"]
    flags = "flags unknown" if known is None else ", ".join(known) or "no flags of interest"
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"Machine: {machine['cpu']} ({machine['architecture']}, {machine['usable_cores']} cores; "
        f"{flags}), Python {machine['python']}; {packages}."
    )


def markdown_report(title: str, report: Document) -> str:
    """Report in Markdown: table, conditions, and the loss by class of the last row."""
    parts = [f"# {title}\n", markdown_table(report)]
    parts += [f"- {line}" for line in conditions(report)]
    parts += _by_class(report["rows"][-1])
    return "\n".join(parts) + "\n"


def _by_class(row: Row) -> list[str]:
    classes = [c for c in row["per_class"] if c["drop"] is not None]
    classes.sort(key=lambda c: (-c["drop"], c["class"]))
    if not classes:
        return []
    lines = [
        f"\n## By class: {row['name']}\n",
        "| class | n | top-1 % | drop, points |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| {c['label']} | {c['n']} | {c['top1']:.2f} | {c['drop']:+.2f} |" for c in classes[:20]
    ]
    if len(classes) > 20:
        lines.append(f"\nThe {len(classes) - 20} other classes lost less; the JSON has them.")
    return lines


CSV_FIELDS = (
    "name", "artifact", "runtime", "kernels", "n", "top1", "top5", "agreement", "drop",
    "drop_low", "drop_high", "right_to_wrong", "wrong_to_right", "changed", "sqnr_db", "kl",
    "p50_ms", "p90_ms", "p99_ms", "threads", "size_bytes", "sha256",
)  # fmt: skip
"""Columns of the CSV, in order."""


def csv_table(report: Document) -> str:
    """Rows as CSV with a header line."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, CSV_FIELDS, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(_flat(row) for row in report["rows"])
    return buffer.getvalue()


def _flat(row: Row) -> Row:
    times = row["latency_ms"] or {}
    low, high = row.get("drop_interval", ("", ""))
    flat = {
        **row,
        **row.get("flips", {}),
        **{f"{name}_ms": times.get(name, "") for name in ("p50", "p90", "p99")},
        "drop_low": low,
        "drop_high": high,
        "threads": times.get("threads", ""),
    }
    return {name: _rounded(flat[name]) for name in CSV_FIELDS if name in flat}


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
