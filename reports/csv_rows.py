"""Measured rows as CSV, from the JSON document of ``reports.tables``."""

from __future__ import annotations

import csv
import io
from typing import Any

from calibration_data.task import Task
from reports.task_rows import Document, Row, kind_of

CSV_FIELDS = (
    "name", "artifact", "runtime", "kernels", "n", "top1", "top5", "agreement", "drop",
    "drop_low", "drop_high", "right_to_wrong", "wrong_to_right", "changed",
    "expected_flips", "expected_flips_low", "expected_flips_high", "sqnr_db", "kl",
    "p50_ms", "p90_ms", "p99_ms", "threads", "size_bytes", "sha256",
)  # fmt: skip
"""Columns of the CSV of classifiers, in order."""


def csv_table(report: Document) -> str:
    """Rows as CSV with a header line."""
    buffer, fields = io.StringIO(), _csv_fields(report["rows"])
    writer = csv.DictWriter(buffer, fields, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(_flat(row, fields) for row in report["rows"])
    return buffer.getvalue()


def _csv_fields(rows: list[Row]) -> tuple[str, ...]:
    """Columns of the CSV: those of classifiers, and the metrics of other tasks after ``top5``."""
    kinds = list(dict.fromkeys(kind_of(row).task for row in rows))
    if kinds == [Task.CLASSIFICATION] and "output" not in rows[0]:
        return CSV_FIELDS
    names = [m for row in rows if "task" in row for m in row["metrics"] if m not in CSV_FIELDS]
    place = CSV_FIELDS.index("agreement")
    head = [
        name for name in CSV_FIELDS[:place] if "top" not in name or Task.CLASSIFICATION in kinds
    ]
    return ("output", "task", *head, *dict.fromkeys(names), *CSV_FIELDS[place:])


def _flat(row: Row, fields: tuple[str, ...]) -> Row:
    times = row["latency_ms"] or {}
    low, high = row.get("drop_interval", ("", ""))
    expected = row.get("expected_flips", {"count": "", "interval": ("", "")})
    least, most = expected["interval"]
    flat = {
        "task": str(Task.CLASSIFICATION),
        **row["metrics"],
        **row,
        **row.get("flips", {}),
        **{f"{name}_ms": times.get(name, "") for name in ("p50", "p90", "p99")},
        "drop_low": low,
        "drop_high": high,
        "expected_flips": expected["count"],
        "expected_flips_low": least,
        "expected_flips_high": most,
        "threads": times.get("threads", ""),
    }
    return {name: _rounded(flat[name]) for name in fields if name in flat}


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
