"""Measured results: an artifact on a dataset in a runtime, compared with its reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evaluation.flips import Flip
from evaluation.latency import Latency
from evaluation.machine import Machine
from evaluation.metrics import AccuracyDrop, Metrics
from evaluation.session import RuntimeInfo


@dataclass(frozen=True)
class Subject:
    """A measured artifact or model.

    Attributes:
        name: recipe of an artifact, ``keras-float32`` for a Keras model, else the file name.
        artifact: file name, or the name of the model.
        size_bytes: size of the file; None for a model that is not a file.
        sha256: digest of the file; None for a model that is not a file.
    """

    name: str
    artifact: str
    size_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Evaluation:
    """A measured row.

    Attributes:
        subject: artifact or model.
        data: name of the dataset, as on the command line (DATA).
        runtime: runtime, version and kernels.
        metrics: accuracy, and similarity to the reference if there is one.
        latency: latency of one image; None when not measured.
        remarks: remarks for the reader (kernels that saturate, labels that were inferred).
        flipped: some images whose answer changed (``evaluation.flips``).
    """

    subject: Subject
    data: str
    runtime: RuntimeInfo
    metrics: Metrics
    latency: Latency | None = None
    remarks: tuple[str, ...] = ()
    flipped: tuple[Flip, ...] = ()

    def to_dict(self, labels: tuple[str, ...] = ()) -> dict[str, Any]:
        """Plain values for JSON; percentages and points are 0 to 100, times in milliseconds.

        Without labels top-1, its interval and top-5 are None, and there is no drop.

        Args:
            labels: names of the classes.
        """
        metrics, interval = self.metrics, self.metrics.top1_interval
        values: dict[str, Any] = {
            "name": self.subject.name,
            "artifact": self.subject.artifact,
            "sha256": self.subject.sha256,
            "size_bytes": self.subject.size_bytes,
            "data": self.data,
            "runtime": self.runtime.runtime,
            "runtime_version": self.runtime.version,
            "kernels": self.runtime.kernels,
            "threads": self.runtime.threads,
            "n": metrics.n,
            "top1": metrics.top1,
            "top1_interval": None if interval is None else [interval.low, interval.high],
            "top5": metrics.top5,
            "metrics": metrics.to_dict()["values"],
        }
        if metrics.changed is not None:
            values |= {
                "agreement": metrics.agreement,
                "sqnr_db": metrics.to_dict()["values"]["sqnr_db"],
                "kl": metrics.kl,
                **({} if metrics.drop is None else _drop(metrics.drop)),
                "flips": _flips(metrics.drop, metrics.changed),
                "flipped": [flip.to_dict(labels) for flip in self.flipped],
            }
        values["latency_ms"] = None if self.latency is None else _latency(self.latency)
        values["per_class"] = [
            {
                "class": row.label,
                "label": labels[row.label] if row.label < len(labels) else str(row.label),
                "n": row.n,
                "top1": row.accuracy,
                "drop": row.drop,
            }
            for row in metrics.per_class
        ]
        values["remarks"] = list(self.remarks)
        return values


@dataclass(frozen=True)
class Measurement:
    """All rows of one run, measured on one machine and on identical tensors.

    Attributes:
        rows: measured rows; the reference first, if there is one.
        machine: machine and packages.
        labels: class names.
        remarks: what the reader must know of the images (see ``conversion_remarks``).
    """

    rows: tuple[Evaluation, ...]
    machine: Machine
    labels: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def _drop(drop: AccuracyDrop) -> dict[str, Any]:
    return {
        "drop": drop.points,
        "drop_interval": [drop.low, drop.high],
        "drop_confidence": drop.confidence,
        "drop_method": drop.method,
        "mcnemar_p": drop.p_value,
    }


def _flips(drop: AccuracyDrop | None, changed: int) -> dict[str, int]:
    """Counts of changed answers; without labels, nobody knows which of them were right."""
    if drop is None:
        return {"changed": changed}
    return {
        "right_to_wrong": drop.right_to_wrong,
        "wrong_to_right": drop.wrong_to_right,
        "wrong_to_other_wrong": drop.wrong_to_other_wrong,
        "changed": changed,
    }


def _latency(latency: Latency) -> dict[str, Any]:
    return {
        "p50": latency.p50_ms,
        "p90": latency.p90_ms,
        "p99": latency.p99_ms,
        "runs": latency.runs,
        "warmup": latency.warmup,
        "threads": latency.threads,
        "pinning": latency.pinning,
    }
