"""Tables of all quantizers on the same images, as Markdown, from the rows of a CSV."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_HEAD = (
    "| tool | setting | runtime | top-1 % | drop, points [95 %] | as float % | SQNR dB "
    "| made in s | p50 ms | size kB |\n"
    "|---|---|---|---:|---:|---:|---:|---:|---:|---:|"
)

Row = Mapping[str, str]


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
    lines = [f"### {network}, weights {granularity.replace('-', ' ')}", "", _HEAD]
    lines += [_line(row) for row in measured]
    if measured:
        lines += ["", *_conditions(measured)]
    missing = [f"- {_name(row)}: {row['reason']}." for row in rows if row["reason"]]
    return "\n".join([*lines, *([""] if not measured else []), *missing])


def _rank(row: Row) -> tuple[bool, float]:
    """Sort key: the float network first, then by SQNR."""
    return bool(row["sqnr_db"]), -float(row["sqnr_db"] or 0)


def _line(row: Row) -> str:
    drop = "-"
    if row["drop"]:
        drop = f"{float(row['drop']):+.2f} [{row['drop_low']}, {row['drop_high']}]"
    size = f"{int(row['size_bytes']) / 1000:,.0f}" if row["size_bytes"] else "-"
    rest = (row[name] or "-" for name in ("agreement", "sqnr_db", "seconds", "p50_ms"))
    cells = (row["tool"], row["setting"], row["runtime"], row["top1"], drop, *rest, size)
    return f"| {' | '.join(cells)} |"


def _name(row: Row) -> str:
    runtime = f" in {row['runtime']}" if row["runtime"] else ""
    return f"{row['tool']}, {row['setting']}{runtime}"


def _conditions(rows: list[Row]) -> list[str]:
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
    drop = "the same tensors for every row; drop is paired, with Newcombe's interval"
    machine = f"{last['cpu']} ({last['flags']}; {last['cores']} cores), {last['versions']}"
    return [
        f"- n = {counts} images, {drop}. Calibrated on {calibrated or 'no'} other images.",
        f"- Latency of one image on {threads or 'no'} thread(s). Kernels: {'; '.join(kernels)}.",
        f"- Settings: {settings_text}.",
        f"- Versions: {versions or 'none'}.",
        f"- Machine: {machine}; {last['date']}.",
    ]
