"""Tables in benchmarks/results: one row per network, granularity, tool, setting and runtime."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.sources import RESULTS, note
from calibration_data.task import Task
from evaluation.machine import Machine
from evaluation.metrics import AccuracyDrop
from evaluation.result import Evaluation
from foundation.atomic import write_whole

TABLE = RESULTS / "accuracy.csv"


@dataclass(frozen=True)
class Row:
    """Row of the table; every value is text, and empty if it was not measured.

    Attributes:
        network: name of the model.
        granularity: granularity of the weights; empty for a float file.
        tool: name of the peer.
        setting: name of its setting.
        summary: values that are set.
        tool_versions: versions of the tool's distributions.
        runtime: registered name of the runtime.
        kernels: kernels that ran, with the runtime's version.
        n: number of test images.
        task: task of the network; empty for classification.
        top1: top-1 in percent.
        ap: COCO's average precision of a detector in percent.
        ap50: the same at an overlap of 0.5.
        miou: mean intersection over union of a segmenter in percent.
        drop: float minus row in points of top-1, AP or mIOU, paired by image.
        drop_low: lower limit of the drop's 95 percent interval.
        drop_high: upper limit of that interval.
        ap50_drop: float minus row in points of AP50.
        ap50_low: lower limit of its 95 percent interval.
        ap50_high: upper limit of that interval.
        lost: number of images that only the float network has right.
        won: number of images that only the row has right.
        agreement: percentage of images, detections or pixels with the float network's answer.
        pixels_changed: percentage of the pixels with another class than in the float network.
        sqnr_db: SQNR of the outputs in dB; of a detector, that of the scores.
        sqnr_boxes_db: SQNR of a detector's box codes in dB.
        seconds: seconds to quantize, with calibration and without imports.
        size_bytes: size of the file.
        p50_ms: median latency of one image.
        threads: threads of the latency.
        calibration_images: number of calibration images.
        reason: reason why there are no figures.
        cpu: name of this machine's CPU.
        flags: flags of the CPU.
        cores: number of usable cores.
        versions: versions of the measuring packages.
        date: day of the run.
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
    task: str = ""
    top1: str = ""
    ap: str = ""
    ap50: str = ""
    miou: str = ""
    drop: str = ""
    drop_low: str = ""
    drop_high: str = ""
    ap50_drop: str = ""
    ap50_low: str = ""
    ap50_high: str = ""
    lost: str = ""
    won: str = ""
    agreement: str = ""
    pixels_changed: str = ""
    sqnr_db: str = ""
    sqnr_boxes_db: str = ""
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


def table_of(suite: str) -> Path:
    """Table of a suite of networks."""
    return RESULTS / f"{suite}.csv"


def figures(evaluation: Evaluation) -> dict[str, str]:
    """Columns with the figures of a measurement."""
    values: dict[str, str] = {
        "runtime": evaluation.runtime.runtime,
        "kernels": f"{evaluation.runtime.version}, {evaluation.runtime.kernels}",
        "n": str(evaluation.metrics.n),
    }
    if evaluation.metrics.task is not Task.CLASSIFICATION:
        values["task"] = str(evaluation.metrics.task)
    columns = {field.name for field in fields(Row)}
    values |= {k: f"{v:.2f}" for k, v in evaluation.metrics.values.items() if k in columns}
    if evaluation.subject.size_bytes is not None:
        values["size_bytes"] = str(evaluation.subject.size_bytes)
    if (drop := evaluation.metrics.drop) is not None:
        values |= {
            "drop": f"{drop.points:.2f}",
            "drop_low": f"{drop.low:.2f}",
            "drop_high": f"{drop.high:.2f}",
            "lost": str(drop.right_to_wrong) if isinstance(drop, AccuracyDrop) else "",
            "won": str(drop.wrong_to_right) if isinstance(drop, AccuracyDrop) else "",
        }
    if (drop := evaluation.metrics.drops.get("ap50")) is not None:
        values |= {
            "ap50_drop": f"{drop.points:.2f}",
            "ap50_low": f"{drop.low:.2f}",
            "ap50_high": f"{drop.high:.2f}",
        }
    if (latency := evaluation.latency) is not None:
        values |= {"p50_ms": f"{latency.p50_ms:.3f}", "threads": str(latency.threads)}
    return values


def where(machine: Machine) -> dict[str, str]:
    """Columns with the machine, the versions and the day of a measurement."""
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
    """Rows of the table; empty without a table."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as handle:
        return [Row(**values) for values in csv.DictReader(handle)]


def merge(rows: list[Row], path: Path = TABLE) -> None:
    """Replace the rows of the same networks and granularities; others stay.

    Args:
        rows: all rows of these networks and granularities.
        path: table, whose commit is noted where it is one of benchmarks/results.
    """
    replaced = {(row.network, row.granularity) for row in rows}
    others = [row for row in read(path) if (row.network, row.granularity) not in replaced]
    table = sorted([*others, *rows], key=_order)

    def put(part: Path) -> None:
        with part.open("w", newline="", encoding="utf-8") as handle:
            names = [field.name for field in fields(Row)]
            writer = csv.DictWriter(handle, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(asdict(row) for row in table)

    write_whole(path, put)
    if path.parent == RESULTS:
        note(path.name)


def _order(row: Row) -> tuple[str, str, float, str, str, str]:
    """Sort key: network and granularity, then the best SQNR first, unmeasured rows last."""
    sqnr = float(row.sqnr_db) if row.sqnr_db else float("-inf")
    return row.network, row.granularity, -sqnr, row.tool, row.setting, row.runtime
