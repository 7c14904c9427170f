"""Rows of a sweep: quality and costs of a file, and which files are on a front.

Rows are those of the JSON document that ``edgequant sweep`` writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from reports.task_rows import kind_of

Row = dict[str, Any]


@dataclass(frozen=True)
class Quality:
    """Figure that files are compared by.

    Attributes:
        name: name of the metric; ``agreement`` without true values.
        unit: its unit.
        value: its value; None where it has none.
        lower_is_better: whether less of it is better.
    """

    name: str
    unit: str
    value: float | None
    lower_is_better: bool = False


@dataclass(frozen=True)
class Cost:
    """What a file costs: less is better.

    Attributes:
        name: its key in a row.
        title: title with the unit.
        scale: units of the row in one of the title.
    """

    name: str
    title: str
    scale: float = 1.0


COSTS = (
    Cost("bytes", "size, kB", 1000),
    Cost("latency_ms", "latency p50, ms"),
    Cost("macs", "multiply-adds, M", 1e6),
    Cost("arena_bytes", "arena, kB", 1000),
)


def quality(row: Row) -> tuple[Quality, list[float] | None]:
    """Primary metric of a measured row with its interval; without labels, the likeness to float."""
    kind = kind_of(row)
    value = row["metrics"].get(kind.primary)
    if value is None:
        unit = kind.metric(kind.likeness).unit
        return Quality(kind.likeness, unit, row["metrics"].get(kind.likeness)), None
    interval = row.get("top1_interval", row.get("interval"))
    return Quality(kind.primary, kind.first.unit, value, kind.lower_is_better), interval


def on_front(rows: Sequence[Row], cost: Cost) -> frozenset[str]:
    """Keys of the rows for which no other costs no more, is no worse, and is better at one."""
    known = [row for row in rows if row[cost.name] is not None and row["value"] is not None]
    kept: list[Row] = []
    for row in sorted(known, key=lambda row: (row[cost.name], -_goodness(row))):
        last = kept[-1] if kept else None
        better = last is None or _goodness(row) > _goodness(last)
        if better or (last and _twins(row, last, cost)):
            kept.append(row)
    return frozenset(row["key"] for row in kept)


def _twins(a: Row, b: Row, cost: Cost) -> bool:
    """Whether two rows are equal in quality and in a cost."""
    return (_goodness(a), a[cost.name]) == (_goodness(b), b[cost.name])


def _goodness(row: Row) -> float:
    value: float = row["value"]
    return -value if row["lower_is_better"] else value


@dataclass(frozen=True)
class SweepColumn:
    """Column of the table of a sweep.

    Attributes:
        head: title with the unit.
        cell: text of a row's cell; a dash without a value.
        numeric: whether cells are aligned right.
        chosen: key whose values differ from row to row, or the column is left out; None for one
            that is always shown.
    """

    head: str
    cell: Callable[[Row], str]
    numeric: bool = True
    chosen: str | None = None


def _plain(key: str) -> Callable[[Row], str]:
    return lambda row: "-" if row[key] is None else f"{row[key]}"


def _figure(key: str, scale: float, digits: int) -> Callable[[Row], str]:
    return lambda row: "-" if row[key] is None else f"{row[key] / scale:,.{digits}f}"


def _value(row: Row) -> str:
    if row["value"] is None:
        return "-"
    return f"{row['value']:.2f}" if row["unit"] == "%" else f"{row['value']:.4g}"


def _with_interval(value: str, interval: list[float] | None, unit: str) -> str:
    if interval is None:
        return value
    low, high = (f"{x:.2f}" if unit == "%" else f"{x:.4g}" for x in interval)
    return f"{value} [{low}, {high}]"


def _drop(row: Row) -> str:
    if row["drop"] is None:
        return "-"
    text = f"{row['drop']:.2f}" if row["unit"] == "%" else f"{row['drop']:.4g}"
    return _with_interval(text, row["drop_interval"], row["unit"])


_COLUMNS = (
    SweepColumn("model", _plain("model"), numeric=False),
    SweepColumn("weights", _plain("weights"), numeric=False, chosen="weights"),
    SweepColumn("recipe", _plain("recipe"), numeric=False),
    SweepColumn("effort", _plain("effort"), numeric=False, chosen="effort"),
    SweepColumn("samples", _plain("samples"), chosen="samples"),
    SweepColumn("seed", _plain("seed"), chosen="seed"),
    SweepColumn("{metric}", lambda r: _with_interval(_value(r), r["interval"], r["unit"])),
    SweepColumn("drop [95 %]", _drop),
    SweepColumn("SQNR dB", lambda r: "inf" if r["sqnr_db"] is None else f"{r['sqnr_db']:.1f}"),
    SweepColumn("size kB", _figure("bytes", 1000, 0)),
    SweepColumn("p50 ms", _figure("latency_ms", 1, 2), chosen="latency_ms"),
    SweepColumn("MACs M", _figure("macs", 1e6, 1)),
    SweepColumn("arena kB", _figure("arena_bytes", 1000, 0)),
    SweepColumn(
        "gates", lambda row: ", ".join(row["misses"]) or "kept", numeric=False, chosen="misses"
    ),
    SweepColumn("took s", _figure("seconds", 1, 1)),
)


def columns(rows: Sequence[Row]) -> tuple[SweepColumn, ...]:
    """Columns of a sweep's table: of the settings, those that differ."""
    shown = [
        column for column in _COLUMNS if column.chosen is None or _differs(rows, column.chosen)
    ]
    return tuple(
        SweepColumn(_metric_head(rows[0]), column.cell) if column.head == "{metric}" else column
        for column in shown
    )


def _differs(rows: Sequence[Row], key: str) -> bool:
    """Whether two rows that have a value of this key have different ones."""
    return len({str(row[key]) for row in rows if row[key] is not None}) > 1


def quality_head(row: Row, *, unit: bool = True) -> str:
    """Title of the metric that files are compared by."""
    metric = kind_of(row).metric(row["metric"])
    return metric.head if unit else metric.title or metric.name


def _metric_head(row: Row) -> str:
    """Title of the quality with its interval."""
    return quality_head(row) + ("" if row["interval"] is None else " [95 %]")


def sorted_rows(rows: Sequence[Row]) -> list[Row]:
    """The best first: by quality, then by size."""
    return sorted(
        rows,
        key=lambda row: (
            row["value"] is None,
            0.0 if row["value"] is None else -_goodness(row),
            row["bytes"],
            row["key"],
        ),
    )
