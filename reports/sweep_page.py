"""Page of a sweep: what to ship, fronts of quality against each cost, what failed, what took time.

Made from the JSON document that ``edgequant sweep`` writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from reports.page import Cell, Column, Facts, Figure, Kind, Page, Part, Prose, Section, Table
from reports.pareto import Point, pareto
from reports.sweep_rows import COSTS, Cost, columns, quality_head, sorted_rows
from reports.sweep_tables import sentences

Document = dict[str, Any]
Row = dict[str, Any]

_AXES = (
    ("model", "model"),
    ("weights", "weights"),
    ("recipe", "recipe"),
    ("effort", "effort"),
    ("samples", "calibration images"),
    ("seed", "seed"),
)
_LATENCY = (
    "Latency is that of one image on one core, while other tasks ran on the machine's other cores: "
    "it orders the files of a sweep, and 'edgequant evaluate' measures it alone."
)


def page(document: Document, generated: str, data: tuple[tuple[str, str], ...] = ()) -> Page:
    """Page of a sweep.

    Args:
        document: the sweep.
        generated: command that made it.
        data: name and relative path of each file beside the page.
    """
    rows = document["rows"]
    sections = [
        *(_fronts(rows) if rows else ()),
        *([Section("All files", (_table(document),))] if rows else ()),
        *_failed(document),
        *(_times(rows) if rows else ()),
        Section("Conditions", (_facts(document),)),
    ]
    return Page("Which file to ship", _lead(document), tuple(sections), generated, data)


def _lead(document: Document) -> str:
    rows = document["rows"]
    kept = sorted_rows([row for row in rows if not row["misses"] and row["value"] is not None])
    said = " ".join(sentences(document)[:1])
    if not kept:
        return f"{said} **No file keeps the gates.**" if document["gates"] else said
    best, least = kept[0], min(kept, key=lambda row: int(row["bytes"]))
    lead = f"{said} The best one is **{best['name']}**: {_brief(best)}."
    if least["key"] != best["key"]:
        lead += f" The smallest is **{least['name']}**: {_brief(least)}."
    if document["gates"]:
        lead = lead.replace("The best one", "The best one that keeps the gates", 1)
    return lead


def _brief(row: Row) -> str:
    unit = " %" if row["unit"] == "%" else ""
    value = f"{row['value']:.2f}" if row["unit"] == "%" else f"{row['value']:.4g}"
    return f"{quality_head(row, unit=False)} {value}{unit}, {row['bytes'] / 1000:,.0f} kB"


def _fronts(rows: Sequence[Row]) -> tuple[Section, ...]:
    """Section with a figure of each pair of costs that differ from file to file."""
    shown = [cost for cost in COSTS if len({p.cost for p in _points(rows, cost, {})}) > 1]
    if not shown:
        return ()
    parts: list[Part] = []
    head = quality_head(rows[0], unit=False)
    unit = rows[0]["unit"]
    title = f"{head}, {unit}" if unit else head
    numbers = _numbers(rows)
    for first in range(0, len(shown), 2):
        pair = shown[first : first + 2]
        names = " and ".join(cost.title.split(",")[0] for cost in pair)
        caption = (
            f"{head} over {names}; the upright lines are 95 % intervals, and the files of the "
            "front have their number in the table below: no other costs no more, is no worse and "
            "is better at one."
        )
        drawing = pareto([(cost.title, _points(rows, cost, numbers)) for cost in pair], title)
        parts.append(Figure(caption, f"{caption} {_named(rows, pair, numbers)}", drawing))
    parts.append(_front_table(rows, shown, numbers))
    if any(row["latency_ms"] is not None for row in rows):
        parts.append(Prose(_LATENCY))
    return (Section("Fronts", tuple(parts)),)


def _numbers(rows: Sequence[Row]) -> dict[str, str]:
    """Number of each file on a front, by its key: names would cover each other in the figures."""
    on = [row for row in sorted_rows(rows) if row["front"]]
    return {row["key"]: str(number) for number, row in enumerate(on, 1)}


def _points(rows: Sequence[Row], cost: Cost, numbers: Mapping[str, str]) -> list[Point]:
    """Points of the files under their numbers; lower-is-better metrics are negated."""
    points = []
    for row in rows:
        if row["value"] is None or not row[cost.name]:
            continue
        sign = -1 if row["lower_is_better"] else 1
        low, high = sorted(sign * x for x in row["interval"] or (row["value"], row["value"]))
        suffix = f".{row['file'].rpartition('.')[2]}"
        cost_value, value = row[cost.name] / cost.scale, sign * row["value"]
        name = numbers.get(row["key"], row["name"])
        points.append(Point(name, suffix, cost_value, value, low, high))
    return points


def _named(rows: Sequence[Row], costs: Sequence[Cost], numbers: Mapping[str, str]) -> str:
    return " ".join(
        f"Front over {cost.title.split(',')[0]}: "
        + ", ".join(
            f"{numbers[row['key']]} {row['name']}"
            for row in sorted_rows(rows)
            if cost.name in row["front"]
        )
        + "."
        for cost in costs
    )


def _front_table(rows: Sequence[Row], costs: Sequence[Cost], numbers: Mapping[str, str]) -> Table:
    on = [row for row in sorted_rows(rows) if row["front"]]
    heads = (
        Column("number and file"),
        *(Column(cost.title, Kind.NUMBER) for cost in costs),
    )
    table = []
    for row in on:
        cells = [
            Cell(
                "-"
                if row[cost.name] is None
                else _brief_number(row[cost.name] / cost.scale)
                + (" \N{CHECK MARK}" if cost.name in row["front"] else ""),
                row[cost.name],
            )
            for cost in costs
        ]
        number = numbers[row["key"]]
        table.append((Cell(f"{number}. {row['name']}", int(number)), *cells))
    caption = "Files on a front, with their numbers in the figures; a mark says of which cost."
    return Table(caption, heads, tuple(table))


def _brief_number(value: float) -> str:
    """Four digits, or all of a larger whole part."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _table(document: Document) -> Table:
    rows = sorted_rows(document["rows"])
    shown = columns(rows)
    heads = tuple(Column(c.head, Kind.NUMBER if c.numeric else Kind.TEXT) for c in shown)
    cells = tuple(tuple(column.cell(row) for column in shown) for row in rows)
    return Table("Every file, the best first.", heads, cells)


def _failed(document: Document) -> list[Section]:
    failed = document["failed"]
    if not failed:
        return []
    heads = (Column("task"), Column("attempts", Kind.NUMBER), Column("why"))
    rows = tuple((row["name"], str(row["attempts"]), row["sentence"]) for row in failed)
    caption = "Set aside; the next run of the sweep tries them again."
    return [Section("What failed and why", (Table(caption, heads, rows),))]


def _times(rows: Sequence[Row]) -> tuple[Section, ...]:
    """Section of the time that each choice took."""
    heads = (
        Column("choice"),
        Column("files", Kind.NUMBER),
        Column("mean, s", Kind.NUMBER),
        Column("sum, s", Kind.NUMBER),
    )
    found = []
    for key, title in _AXES:
        values = list(dict.fromkeys(row[key] for row in rows))
        if len([value for value in values if value is not None]) < 2:
            continue
        for value in values:
            seconds = [row["seconds"] for row in rows if row[key] == value]
            name = f"{title}: {'-' if value is None else value}"
            mean, total = f"{fmean(seconds):,.1f}", f"{sum(seconds):,.0f}"
            found.append((name, str(len(seconds)), mean, total))
    total = sum(row["seconds"] for row in rows)
    found.append(("all", str(len(rows)), f"{total / len(rows):,.1f}", f"{total:,.0f}"))
    caption = (
        "Seconds of a core to make and to measure a file, the float network's answers included; "
        "a worker's first task also loads TensorFlow."
    )
    return (Section("What each choice took", (Table(caption, heads, tuple(found)),)),)


def _facts(document: Document) -> Facts:
    items = [("Sweep", sentence) for sentence in sentences(document)]
    items.append(("Images", f"{document['data']}, calibration {document['calibration'] or '-'}"))
    remarks: dict[str, list[str]] = {}
    for row in document["rows"]:
        for remark in row["remarks"]:
            remarks.setdefault(remark, []).append(row["name"])
    for remark, tasks in remarks.items():
        whole = len(tasks) == len(document["rows"])
        items.append(("Note", remark if whole else f"{remark}: {'; '.join(tasks)}"))
    return Facts(tuple(items))
