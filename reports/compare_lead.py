"""Main result of a comparison: the file that it is about, and what that costs and gains."""

from __future__ import annotations

import math
from typing import Any

from calibration_data.task import Task
from reports.task_rows import (
    by_output,
    compares,
    kind_of,
    loss_text,
    percent,
    primary,
    title_of,
    value_text,
)

Document = dict[str, Any]
Row = dict[str, Any]

_HEADLINE = ("tflite-int8", "onnx-int8")


def lead(report: Document) -> str:
    """Main result in one or two sentences: what the headline file costs and gains.

    Of a network with several outputs, one paragraph for each.
    """
    parts = by_output(report)
    if len(parts) == 1:
        return _lead(report)
    return " ".join(f"**{title_of(part)}**: {_lead(part)}" for part in parts)


def _lead(report: Document) -> str:
    row = headline(report)
    kind = kind_of(report["rows"][0])
    if row is None:
        first = report["rows"][0]
        if kind.task is not Task.CLASSIFICATION:
            value = value_text(kind.first, primary(first))
            return f"`{first['name']}` has {kind.first.head} {value} on {report['n']:,} images."
        right = percent(first["top1"])
        return f"`{first['name']}` is right on {right} % of {report['n']:,} images."
    if kind.task is not Task.CLASSIFICATION:
        return _lead_of_task(report, row)
    if "drop" not in row:
        return (
            f"`{row['name']}` answers as float on **{row['agreement']:.2f} %** of "
            f"{report['n']:,} images{_gains(row, _like(report, row))}. They have no labels, so "
            "what it costs in accuracy is not known."
        )
    gains = _gains(row, _like(report, row))
    low, high = row["drop_interval"]
    what = (
        f"costs **{row['drop']:+.2f} points**"
        if row["drop"] >= 0
        else f"gains **{-row['drop']:.2f} points**"
    )
    sure = _sure(low, high, f"{high:.2f} points")
    return (
        f"`{row['name']}` {what} of top-1 [{low:+.2f}, {high:+.2f}] on {report['n']:,} images"
        f"{gains}. {sure}"
    )


def _sure(low: float, high: float, largest: str) -> str:
    """What an interval of the loss says."""
    if low <= 0 <= high:
        return f"No loss is shown, and one of up to {largest} is not ruled out."
    if low > 0:
        return "The interval lies above zero: the loss is real."
    return "The interval lies below zero: the gain is real."


def _lead_of_task(report: Document, row: Row) -> str:
    """Main result of a task other than classification."""
    kind, gains = kind_of(row), _gains(row, _like(report, row))
    metric = kind.metric(kind.likeness)
    if "drop" not in row:
        value = value_text(metric, row["metrics"][metric.name], row)
        unit = f" {metric.unit}" if metric.unit else ""
        return (
            f"`{row['name']}` has {metric.title} **{value}{unit}** on {report['n']:,} images"
            f"{gains}. They have no labels, so what it costs is not known."
        )
    low, high = row["drop_interval"]
    points = " points" if kind.first.unit == "%" else ""
    loses = row["drop"] >= 0
    verb = (
        ("raises" if loses else "lowers")
        if kind.lower_is_better
        else ("lowers" if loses else "raises")
    )
    size = loss_text(row, abs(row["drop"])).lstrip("+")
    value = value_text(kind.first, primary(row))
    what = f"{verb} {kind.first.title} by **{size}{points}** to {value}"
    if float(size) == 0:
        what = f"keeps {kind.first.title} at **{value}**"
    return (
        f"`{row['name']}` {what} (loss in [{loss_text(row, low)}, "
        f"{loss_text(row, high)}]) on {report['n']:,} images{gains}. "
        f"{_sure(low, high, loss_text(row, high).lstrip('+') + points)}"
    )


def headline(report: Document) -> Row | None:
    """Row of the page's main result: plain int8, else the smallest file; None without files."""
    rows = compared(report)
    named = {row["name"]: row for row in rows}
    chosen = next((named[name] for name in _HEADLINE if name in named), None)
    return chosen or min(rows, key=lambda row: row["size_bytes"] or math.inf, default=None)


def compared(report: Document) -> list[Row]:
    """Rows that were compared with the float network."""
    return [row for row in report["rows"] if compares(row)]


def _like(report: Document, row: Row) -> Row | None:
    """Row of the float32 file in the same format; None without one."""
    target = row["name"].partition("-")[0]
    names = {other["name"]: other for other in report["rows"]}
    return names.get(f"{target}-float32")


def _gains(row: Row, other: Row | None) -> str:
    """How much smaller and faster a file is, as a part of a sentence; empty without figures."""
    if other is None or other is row:
        return ""
    said = []
    if row["size_bytes"] and other["size_bytes"]:
        said.append(_times(other["size_bytes"] / row["size_bytes"], "smaller", "larger"))
    if row["latency_ms"] and other["latency_ms"]:
        ratio = other["latency_ms"]["p50"] / row["latency_ms"]["p50"]
        said.append(_times(ratio, "faster", "slower"))
    return f"; it is {' and '.join(said)} than `{other['name']}`" if said else ""


def _times(ratio: float, better: str, worse: str) -> str:
    return f"**{ratio:.1f} times** {better}" if ratio >= 1 else f"{1 / ratio:.1f} times {worse}"
