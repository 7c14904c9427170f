"""Tables of all quantizers on the same images, as Markdown, from the rows of a CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

Row = Mapping[str, str]


@dataclass(frozen=True)
class _Column:
    """Column of figures.

    Attributes:
        head: its head.
        cell: text of a row's cell.
    """

    head: str
    cell: Callable[[Row], str]


def _plain(head: str, name: str) -> _Column:
    return _Column(head, lambda row: row.get(name) or "-")


def _drop(head: str, value: str, low: str, high: str) -> _Column:
    def cell(row: Row) -> str:
        if not row.get(value):
            return "-"
        return f"{float(row[value]):+.2f} [{row[low]}, {row[high]}]"

    return _Column(head, cell)


def _kilobytes(row: Row) -> str:
    return f"{int(row['size_bytes']) / 1000:,.0f}" if row["size_bytes"] else "-"


_NAMES = (_plain("tool", "tool"), _plain("setting", "setting"), _plain("runtime", "runtime"))
_LOSS = _drop("drop, points [95 %]", "drop", "drop_low", "drop_high")
_SQNR = _plain("SQNR dB", "sqnr_db")
_LIKENESS = (_plain("as float %", "agreement"), _SQNR)
_FIGURES = {
    "": (_plain("top-1 %", "top1"), _LOSS, *_LIKENESS),
    "detection": (
        _plain("AP %", "ap"),
        _LOSS,
        _plain("AP50 %", "ap50"),
        _drop("drop of AP50 [95 %]", "ap50_drop", "ap50_low", "ap50_high"),
        _plain("as float %", "agreement"),
        _plain("SQNR scores dB", "sqnr_db"),
        _plain("SQNR boxes dB", "sqnr_boxes_db"),
    ),
    "segmentation": (
        _plain("mIOU %", "miou"),
        _LOSS,
        _plain("pixels changed %", "pixels_changed"),
        _SQNR,
    ),
}
"""Columns of a task; empty is classification. Another task has those that all have."""
_COSTS = (
    _plain("made in s", "seconds"),
    _plain("p50 ms", "p50_ms"),
    _Column("size kB", _kilobytes),
)


def accuracy_tables(rows: Iterable[Row]) -> str:
    """Section for each network and granularity: best SQNR first, then what was not measured.

    Args:
        rows: rows of benchmarks/results/accuracy.csv, in any order.
    """
    parts: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        parts.setdefault((row["network"], row["granularity"]), []).append(row)
    return "\n\n".join(_part(*key, part) for key, part in sorted(parts.items()))


def _part(network: str, granularity: str, rows: list[Row]) -> str:
    measured = sorted((r for r in rows if r["n"]), key=_rank)
    task = task_of(rows)
    figures = (*_FIGURES.get(task, (_LOSS, *_LIKENESS)), *_COSTS)
    lines = [
        f"### {network}, weights {granularity.replace('-', ' ')}",
        "",
        f"| {' | '.join(column.head for column in (*_NAMES, *figures))} |",
        "|---|---|---|" + "---:|" * len(figures),
    ]
    columns = (*_NAMES, *figures)
    lines += [f"| {' | '.join(column.cell(row) for column in columns)} |" for row in measured]
    if measured:
        lines += ["", *_conditions(measured, task)]
    missing: dict[str, list[str]] = {}
    for row in rows:
        if row["reason"]:
            missing.setdefault(row["reason"], []).append(_name(row))
    said = [f"- {'; '.join(names)}: {reason}." for reason, names in missing.items()]
    return "\n".join([*lines, *([""] if not measured else []), *said])


def task_of(rows: Iterable[Row]) -> str:
    """Task of the rows of a network; empty for classification."""
    return next((row["task"] for row in rows if row.get("task")), "")


def _rank(row: Row) -> tuple[bool, float]:
    """Sort key: the float network first, then by SQNR."""
    return bool(row["sqnr_db"]), -float(row["sqnr_db"] or 0)


def _name(row: Row) -> str:
    runtime = f" in {row['runtime']}" if row["runtime"] else ""
    return f"{row['tool']}, {row['setting']}{runtime}"


def _conditions(rows: list[Row], task: str) -> list[str]:
    """Conditions of the measurement, as lines below the table."""
    last = rows[-1]
    counts = ", ".join(sorted({row["n"] for row in rows}, key=int))
    calibrated = ", ".join(sorted({row["calibration_images"] for row in rows} - {""}, key=int))
    threads = ", ".join(sorted({row["threads"] for row in rows} - {""}))
    kernels = sorted({f"{row['runtime']} {row['kernels']}" for row in rows})
    tools = {row["tool"]: row["tool_versions"] for row in rows if row["tool_versions"]}
    settings = {(row["tool"], row["setting"]): row["summary"] for row in rows if row["summary"]}
    settings_text = "; ".join(f"{tool}, {name}: {text}" for (tool, name), text in settings.items())
    versions = "; ".join(f"{tool}: {text}" for tool, text in tools.items())
    interval = "a bootstrap over the images for its interval" if task else "Newcombe's interval"
    drop = f"the same tensors for every row; drop is paired, with {interval}"
    machine = f"{last['cpu']} ({last['flags']}; {last['cores']} cores), {last['versions']}"
    return [
        f"- n = {counts} images, {drop}. Calibrated on {calibrated or 'no'} other images.",
        f"- Latency of one image on {threads or 'no'} thread(s). Kernels: {'; '.join(kernels)}.",
        f"- Settings: {settings_text}.",
        f"- Versions: {versions or 'none'}.",
        f"- Machine: {machine}; {last['date']}.",
    ]
