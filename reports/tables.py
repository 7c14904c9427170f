"""Measured rows as screen table and Markdown, both rendered from one JSON document.

``document`` makes it from a Measurement, so that a stored report can be shown again without
measuring again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from calibration_data.task import Task
from evaluation.metrics import Metric
from evaluation.result import Measurement
from reports.task_rows import (
    by_output,
    compares,
    drop_head,
    drop_sentence,
    drop_text,
    expected_sentence,
    kind_of,
    labelled,
    loss_text,
    no_labels,
    nothing_compared,
    part_words,
    percent,
    title_of,
    value_text,
)

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
        minor: whether the table on the screen leaves it out.
    """

    head: str
    cell: Callable[[Row], str]
    numeric: bool = True
    minor: bool = False


def _changed(row: Row) -> str:
    if "flips" not in row:
        return "-"
    flips = row["flips"]
    if "right_to_wrong" not in flips:  # no labels
        return str(flips["changed"])
    return f"{flips['changed']} ({flips['right_to_wrong']} lost, {flips['wrong_to_right']} won)"


def _expected(row: Row) -> str:
    if "expected_flips" not in row:
        return "-"
    low, high = row["expected_flips"]["interval"]
    return f"{row['expected_flips']['count']:.1f} [{low:.1f}, {high:.1f}]"


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


EXPECTED = Column("expected flips [95 %]", _expected, minor=True)

NAMES = (
    Column("recipe", lambda row: str(row["name"]), numeric=False),
    Column("runtime", lambda row: str(row["runtime"]), numeric=False),
)
"""Columns that name a row."""

COLUMNS = (
    *NAMES,
    Column("top-1 %", lambda row: percent(row["top1"])),
    Column("top-5 %", lambda row: percent(row["top5"])),
    Column("drop, points [95 %]", drop_text),
    Column("answers changed", _changed),
    EXPECTED,
    Column("as float %", _agreement),
    Column("SQNR dB", _sqnr),
    Column("p50 ms", _latency),
    Column("p90/p99 ms", _latency_tail),
    Column("size kB", _size),
)
"""Columns of classifiers."""

DETAILS = ("p90/p99 ms", "runtime", "answers changed", "top-5 %")
"""Columns that a narrow screen leaves out, the first one first; the conditions name runtimes."""


def columns_of(rows: list[Row]) -> tuple[Column, ...]:
    """Columns of the rows of one output."""
    kind = kind_of(rows[0])
    expected = any("expected_flips" in row for row in rows)  # none in reports of older versions
    if kind.task is Task.CLASSIFICATION:
        return tuple(column for column in COLUMNS if column is not EXPECTED or expected)
    measured = [m for m in kind.metrics if any(m.name in row["metrics"] for row in rows)]
    measured = [metric for metric in measured if metric.listed]
    known = [m for m in measured if not m.needs_reference]
    likeness = [m for m in measured if m.needs_reference]
    drops = any("drop" in row for row in rows)
    return (
        *NAMES,
        *(_metric_column(metric) for metric in known),
        *((Column(drop_head(kind), drop_text),) if drops else ()),
        *((Column("answers changed", _changed),) if _answers_change(rows) else ()),
        *((EXPECTED,) if expected else ()),
        *(_metric_column(metric) for metric in likeness),
        *COLUMNS[-3:],
    )


def _answers_change(rows: list[Row]) -> bool:
    """Whether images with changed answers tell something: nearly every mask changes a little."""
    return kind_of(rows[0]).task is not Task.SEGMENTATION and any("flips" in row for row in rows)


def _metric_column(metric: Metric) -> Column:
    def cell(row: Row) -> str:
        return value_text(metric, row["metrics"].get(metric.name), row)

    return Column(metric.head, cell, minor=metric.minor)


def document(measurement: Measurement, **more: Any) -> Document:
    """All measurements as plain values.

    Rows: the reference first, then by SQNR of the outputs, which distinguishes files that top-1 on
    a few thousand images does not.
    """
    rows = [row.to_dict() for row in measurement.rows]
    places = {name: place for place, name in enumerate(dict.fromkeys(map(_output, rows)))}
    rows.sort(key=lambda row: (places[_output(row)], _likeness(row)))
    return {
        **more,
        "n": rows[0]["n"],
        "data": rows[0]["data"],
        "machine": measurement.machine.to_dict(),
        **({"remarks": list(measurement.remarks)} if measurement.remarks else {}),
        "rows": rows,
    }


def _output(row: Row) -> str:
    name: str = row.get("output", "")
    return name


def _likeness(row: Row) -> tuple[bool, float, str]:
    if "sqnr_db" not in row:  # the float network, or a file that gives classes or detections
        return (compares(row), float("inf") if compares(row) else 0.0, row["name"])
    sqnr = row["sqnr_db"]
    return (True, float("-inf") if sqnr is None else -sqnr, row["name"])


def screen_table(report: Document) -> Table:
    """Table for the terminal of the rows of one output, see ``by_output``."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title_of(report) or None, title_justify="left")
    columns = [column for column in columns_of(report["rows"]) if not column.minor]
    for column in columns:
        table.add_column(column.head, justify="right" if column.numeric else "left", no_wrap=True)
    for row in report["rows"]:
        table.add_row(*(column.cell(row) for column in columns))
    return table


def markdown_table(report: Document) -> str:
    """Rows of one output as a Markdown table."""
    columns = columns_of(report["rows"])
    lines = [
        "| " + " | ".join(column.head for column in columns) + " |",
        "|" + "|".join("---:" if column.numeric else "---" for column in columns) + "|",
    ]
    lines += ["| " + " | ".join(c.cell(row) for c in columns) + " |" for row in report["rows"]]
    return "\n".join(lines) + "\n"


def conditions(report: Document) -> list[str]:
    """Conditions of the measurement, line by line; a remark appears once, with all its rows."""
    rows = report["rows"]
    count = f"n = {report['n']:,} images of {report['data']}"
    lines = [f"{count}, the same tensors for every row; rows are sorted by SQNR of the outputs."]
    lines += [f"{remark}." for remark in report.get("remarks", ())]
    for part in by_output(report):
        lines += [line for line in _of_output(part) if line not in lines]
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


def _of_output(report: Document) -> list[str]:
    """What the reader must know of the rows of one output: missing labels, and the interval."""
    rows, kind = report["rows"], kind_of(report["rows"][0])
    about = f"{title_of(report)}: " if "output" in report else ""
    lines = []
    if not labelled(rows):
        some = any(compares(row) for row in rows)
        lines.append(f"{about}{no_labels(kind) if some else nothing_compared(kind)}")
    method = next((row["drop_method"] for row in rows if "drop_method" in row), None)
    if method:
        lines.append(f"{about}{drop_sentence(kind, method)}")
    expected = next((row["expected_flips"] for row in rows if "expected_flips" in row), None)
    if expected:
        lines.append(f"{about}{expected_sentence(expected['method'])}")
    others: dict[str, list[str]] = {}
    for name, drop in next((row["drops"] for row in rows if row.get("drops")), {}).items():
        others.setdefault(drop["method"], []).append(kind.metric(name).title)
    lines += [
        f"{about}The JSON has the loss of {' and of '.join(names)} too; interval: {method}."
        for method, names in others.items()
    ]
    return lines


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
    """Report in Markdown: tables, conditions, and the loss by class or value of the last row."""
    parts, several = [f"# {title}\n"], by_output(report)
    for part in several:
        parts += [f"## Output {title_of(part)}\n"] if "output" in part else []
        parts.append(markdown_table(part))
    parts += [f"- {line}" for line in conditions(report)]
    for part in several:
        last = part["rows"][-1]
        parts += _by_part(last) if "parts" in last else _by_class(last)
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


def _by_part(row: Row) -> list[str]:
    """Table of the labels or quantities of a row's output, the largest loss first."""
    kind = kind_of(row)
    parts = [part for part in row["parts"] if part["drop"] is not None]
    parts.sort(key=lambda p: (-p["drop"], p["part"]))
    if not parts:
        return []
    what, metric = part_words(kind)
    lines = [
        f"\n## By {what}: {' '.join((row['name'], row.get('output', ''))).strip()}\n",
        f"| {what} | n | {metric} | {'growth' if kind.lower_is_better else 'drop, points'} |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| {p['label']} | {p['n']} | {value_text(kind.first, p['value'])} "
        f"| {loss_text(row, p['drop'])} |"
        for p in parts[:20]
    ]
    if len(parts) > 20:
        lines.append(f"\nThe {len(parts) - 20} others lost less; the JSON has them.")
    return lines
