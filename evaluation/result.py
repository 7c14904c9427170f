"""Measured results: an artifact on a dataset in a runtime, compared with its reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from calibration_data.task import Task
from evaluation.flips import Changed
from evaluation.latency import Latency
from evaluation.machine import Machine
from evaluation.metrics import AccuracyDrop, Drop, Metrics
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
        output: name of the output, for a network with several; empty for the only one.
        labels: names of the output's classes or values.
    """

    subject: Subject
    data: str
    runtime: RuntimeInfo
    metrics: Metrics
    latency: Latency | None = None
    remarks: tuple[str, ...] = ()
    flipped: tuple[Changed, ...] = ()
    output: str = ""
    labels: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; percentages and points are 0 to 100, times in milliseconds.

        Without labels top-1, its interval and top-5 are None, and there is no drop. A row of
        another task than classification has ``task``, and its metrics under ``metrics`` alone.
        """
        if self.metrics.task is not Task.CLASSIFICATION:
            return self._of_task()
        metrics, interval = self.metrics, self.metrics.top1_interval
        values = self._head() | {
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
                **_expected(metrics),
                "flipped": [flip.to_dict(self.labels) for flip in self.flipped],
            }
        values["latency_ms"] = None if self.latency is None else _latency(self.latency)
        values["per_class"] = [
            {
                "class": row.label,
                "label": self._label(row.label),
                "n": row.n,
                "top1": row.accuracy,
                "drop": row.drop,
            }
            for row in metrics.per_class
        ]
        values["remarks"] = list(self.remarks)
        return values

    def _of_task(self) -> dict[str, Any]:
        """Row of a task other than classification."""
        metrics, interval = self.metrics, self.metrics.top1_interval
        finite = metrics.to_dict()["values"]
        values = self._head() | {
            "task": str(metrics.task),
            "metrics": finite,
            "interval": None if interval is None else [interval.low, interval.high],
        }
        if "sqnr_db" in finite:
            values["sqnr_db"] = finite["sqnr_db"]
        if metrics.agreement is not None:
            values["agreement"] = metrics.agreement
        if metrics.drop is not None:
            values |= _drop(metrics.drop)
            values["drops"] = {name: drop.to_dict() for name, drop in metrics.drops.items()}
        if metrics.changed is not None:
            values["flips"] = _flips(metrics.drop, metrics.changed)
            values |= _expected(metrics)
            values["flipped"] = [flip.to_dict(self.labels) for flip in self.flipped]
        values["latency_ms"] = None if self.latency is None else _latency(self.latency)
        values["parts"] = [
            {"part": row.index, "label": self._label(row.index), "n": row.n, "value": row.value,
             "drop": row.drop}
            for row in metrics.parts
        ]  # fmt: skip
        if metrics.curve:
            values["curve"] = [round(value, 4) for value in metrics.curve]
        values["remarks"] = list(self.remarks)
        return values

    def _label(self, number: int) -> str:
        return self.labels[number] if number < len(self.labels) else str(number)

    def _head(self) -> dict[str, Any]:
        """What every row begins with."""
        return {
            **({"output": self.output} if self.output else {}),
            "name": self.subject.name,
            "artifact": self.subject.artifact,
            "sha256": self.subject.sha256,
            "size_bytes": self.subject.size_bytes,
            "data": self.data,
            "runtime": self.runtime.runtime,
            "runtime_version": self.runtime.version,
            "kernels": self.runtime.kernels,
            "threads": self.runtime.threads,
            "n": self.metrics.n,
        }


@dataclass(frozen=True)
class Measurement:
    """All rows of one run, measured on one machine and on identical tensors.

    Attributes:
        rows: measured rows; the reference first, if there is one.
        machine: machine and packages.
        remarks: what the reader must know of the images (see ``conversion_remarks``).
    """

    rows: tuple[Evaluation, ...]
    machine: Machine
    remarks: tuple[str, ...] = ()


def _drop(drop: Drop) -> dict[str, Any]:
    return {
        "drop": drop.points,
        "drop_interval": [drop.low, drop.high],
        "drop_confidence": drop.confidence,
        "drop_method": drop.method,
        **({"mcnemar_p": drop.p_value} if isinstance(drop, AccuracyDrop) else {}),
    }


def _flips(drop: Drop | None, changed: int) -> dict[str, int]:
    """Counts of changed answers; which of them were right is only known of single answers."""
    if not isinstance(drop, AccuracyDrop):
        return {"changed": changed}
    return {
        "right_to_wrong": drop.right_to_wrong,
        "wrong_to_right": drop.wrong_to_right,
        "wrong_to_other_wrong": drop.wrong_to_other_wrong,
        "changed": changed,
    }


def _expected(metrics: Metrics) -> dict[str, Any]:
    """Expected flips, in tasks that have them."""
    return {} if metrics.expected is None else {"expected_flips": metrics.expected.to_dict()}


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
