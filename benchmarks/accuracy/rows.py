"""benchmarks/results/accuracy.csv: one row a network, granularity, tool, setting and runtime."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.sources import RESULTS, note
from evaluation.machine import Machine
from evaluation.result import Evaluation
from foundation.atomic import write_whole

TABLE = RESULTS / "accuracy.csv"


@dataclass(frozen=True)
class Row:
    """A row of the table; every value is text, and empty where it was not measured.

    Attributes:
        network: name of the model.
        granularity: of the weights; empty for a float file.
        tool: peer.
        setting: of the tool.
        summary: what the setting sets.
        tool_versions: of the tool's distributions.
        runtime: registered name.
        kernels: that ran, with the runtime's version.
        n: images measured on.
        top1: percent.
        drop: float minus row, points of top-1, paired.
        drop_low: lower limit of its 95 percent interval.
        drop_high: upper limit.
        lost: images that only the float network has right.
        won: images that only the row has right.
        agreement: percent of images with the float network's answer.
        sqnr_db: of the outputs.
        seconds: to quantize, calibration included, imports not.
        size_bytes: of the file.
        p50_ms: latency of one image, median.
        threads: of the latency.
        calibration_images: that the tool was given.
        reason: why there are no figures.
        cpu: of this machine.
        flags: of the CPU.
        cores: usable.
        versions: of the measuring packages.
        date: of the run.
    """

    network: str
    granularity: str
    tool: str
    setting: str
    summary: str = ""
    tool_versions: str = ""
    runtime: str = ""
    kernels: str = ""
    n: str = ""
    top1: str = ""
    drop: str = ""
    drop_low: str = ""
    drop_high: str = ""
    lost: str = ""
    won: str = ""
    agreement: str = ""
    sqnr_db: str = ""
    seconds: str = ""
    size_bytes: str = ""
    p50_ms: str = ""
    threads: str = ""
    calibration_images: str = ""
    reason: str = ""
    cpu: str = ""
    flags: str = ""
    cores: str = ""
    versions: str = ""
    date: str = ""


def figures(evaluation: Evaluation) -> dict[str, str]:
    """The columns that a measurement fills."""
    values: dict[str, str] = {
        "runtime": evaluation.runtime.runtime,
        "kernels": f"{evaluation.runtime.version}, {evaluation.runtime.kernels}",
        "n": str(evaluation.metrics.n),
        "top1": f"{evaluation.metrics.top1:.2f}",
    }
    if evaluation.subject.size_bytes is not None:
        values["size_bytes"] = str(evaluation.subject.size_bytes)
    if (drop := evaluation.metrics.drop) is not None:
        values |= {
            "drop": f"{drop.points:.2f}",
            "drop_low": f"{drop.low:.2f}",
            "drop_high": f"{drop.high:.2f}",
            "lost": str(drop.right_to_wrong),
            "won": str(drop.wrong_to_right),
            "agreement": f"{evaluation.metrics.agreement:.2f}",
            "sqnr_db": f"{evaluation.metrics.sqnr_db:.2f}",
        }
    if (latency := evaluation.latency) is not None:
        values |= {"p50_ms": f"{latency.p50_ms:.3f}", "threads": str(latency.threads)}
    return values


def where(machine: Machine) -> dict[str, str]:
    """The columns that say on what it was measured, and when."""
    return {
        "cpu": machine.cpu,
        "flags": " ".join(machine.flags or ()),
        "cores": str(machine.usable_cores),
        "versions": versions_text(machine.packages),
        "date": datetime.now(UTC).date().isoformat(),
    }


def versions_text(versions: dict[str, str]) -> str:
    """Names and versions on one line."""
    return " ".join(f"{name}={version}" for name, version in versions.items())


def read(path: Path = TABLE) -> list[Row]:
    """The rows of the table; none when there is no table yet."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as handle:
        return [Row(**values) for values in csv.DictReader(handle)]


def merge(rows: list[Row], path: Path = TABLE) -> None:
    """Put the rows in the place of those of the same networks and granularities; others stay."""
    anew = {(row.network, row.granularity) for row in rows}
    kept = [row for row in read(path) if (row.network, row.granularity) not in anew]
    table = sorted([*kept, *rows], key=_order)

    def put(part: Path) -> None:
        with part.open("w", newline="", encoding="utf-8") as handle:
            names = [field.name for field in fields(Row)]
            writer = csv.DictWriter(handle, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(asdict(row) for row in table)

    write_whole(path, put)
    if path == TABLE:
        note(path.name)


def _order(row: Row) -> tuple[str, str, float, str, str, str]:
    """Network and granularity, then the best SQNR first; what was not measured last."""
    sqnr = float(row.sqnr_db) if row.sqnr_db else float("-inf")
    return row.network, row.granularity, -sqnr, row.tool, row.setting, row.runtime
