"""Results of the functions: frozen values that a shell and a notebook show as tables."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edgequant.api.exchange import Outcome
from edgequant.api.tables import Table, html_of, text_of
from foundation.errors import InvalidInputError

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One model or file as measured, on one output of the network.

    Attributes:
        name: recipe of a file that was written here, ``keras-float32`` for a Keras model, else the
            name of the file.
        output: name of the output; empty for the only one.
        n: number of examples.
        metrics: values by name, in the units of the report (percent, or that of the task).
        interval: 95 % interval of the first metric; None without labels.
        drop: loss against the reference, in points or in the unit of the task; None without one.
        drop_interval: 95 % interval of the loss.
        agreement: share of examples with the reference's answer, in percent.
        size_bytes: size of the file; None for a model that is not one.
        latency_ms: median time of one example; None if it was not measured.
        values: all values, as ``--json`` of the command line gives them (docs/reports.md).
    """

    name: str
    output: str
    n: int
    metrics: Mapping[str, float | None]
    interval: tuple[float, float] | None
    drop: float | None
    drop_interval: tuple[float, float] | None
    agreement: float | None
    size_bytes: int | None
    latency_ms: float | None
    values: Values = field(repr=False)

    @classmethod
    def of(cls, values: Values) -> Row:
        """Row of the values of a report."""
        latency = values.get("latency_ms")
        interval = values.get("top1_interval", values.get("interval"))
        return cls(
            str(values["name"]),
            str(values.get("output", "")),
            int(values["n"]),
            MappingProxyType(dict(values["metrics"])),
            _pair(interval),
            values.get("drop"),
            _pair(values.get("drop_interval")),
            values.get("agreement"),
            values.get("size_bytes"),
            None if latency is None else float(latency["p50"]),
            MappingProxyType(dict(values)),
        )


@dataclass(frozen=True, repr=False)
class Report:
    """A measurement.

    Attributes:
        rows: measured rows; the reference first, if it is among them.
        tables: the same as the command line prints it.
        conditions: sentences on the data, the intervals and the machine.
        remarks: sentences that the reader must know.
        values: the JSON document.
    """

    rows: tuple[Row, ...]
    tables: tuple[Table, ...]
    conditions: tuple[str, ...]
    remarks: tuple[str, ...]
    values: Values

    def __getitem__(self, name: str) -> Row:
        """Row of a name, such as ``tflite-int8``; the first output's with several."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def __repr__(self) -> str:
        return text_of(self.tables, self.conditions, self.remarks)

    def _repr_html_(self) -> str:
        return html_of(self.tables, self.conditions, self.remarks)


@dataclass(frozen=True, repr=False)
class Comparison(Report):
    """A float model and its files on the same tensors.

    Attributes:
        files: content of the report's files by name: table, CSV, JSON, and a page.
        folder: folder with these and the files that were measured.
    """

    files: Mapping[str, bytes]
    folder: Path

    def save(self, folder: str | Path) -> tuple[Path, ...]:
        """Write table, CSV, JSON and page into a folder, which is made; returns their paths.

        Raises:
            InvalidInputError: the folder cannot be written.
        """
        target = Path(folder)
        paths = []
        try:
            target.mkdir(parents=True, exist_ok=True)
            for name, content in self.files.items():
                paths.append(target / name)
                paths[-1].write_bytes(content)
        except OSError as error:
            raise _not_writable(target, error) from error
        return tuple(paths)


@dataclass(frozen=True, repr=False)
class Artifact:
    """A file for a runtime; usable wherever a path is.

    Attributes:
        path: the .tflite or .onnx.
        recipe: recipe that it was written with.
        size_bytes: its size.
        sha256: its digest.
        unchanged: whether it was up to date from an earlier call.
        files: the file and its companions: labels, plan, record, report, digests.
        remarks: sentences that the reader must know.
        report: measurement against the float model; None without data.
    """

    path: Path
    recipe: str
    size_bytes: int
    sha256: str
    unchanged: bool
    files: tuple[Path, ...]
    remarks: tuple[str, ...]
    report: Report | None = None

    def __fspath__(self) -> str:
        return str(self.path)

    def save(self, path: str | Path) -> Path:
        """Copy the file alone to a path, whose folder is made; returns that path.

        Raises:
            InvalidInputError: the path cannot be written.
        """
        target = Path(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.path, target)
        except OSError as error:
            raise _not_writable(target, error) from error
        return target

    @property
    def _lines(self) -> tuple[str, ...]:
        return (f"{self.recipe}: {self.path}, {self.size_bytes / 1000:,.0f} kB",)

    def __repr__(self) -> str:
        shown = () if self.report is None else (f"{self.report!r}\n",)
        return text_of((), (*shown, *self._lines), self.remarks)

    def _repr_html_(self) -> str:
        shown = "" if self.report is None else self.report._repr_html_()
        return f"{shown}{html_of((), self._lines, self.remarks)}"


@dataclass(frozen=True, repr=False)
class Plan:
    """Scales, zero points and integers of a network.

    Attributes:
        path: file of the plan.
        graph: digest of the float network that it was made for.
        tensors: table of the tensors with type, scale and zero point.
        settings: settings that it was made with.
        notes: sentences about it.
        values: the JSON of ``edgequant plan show``.
    """

    path: Path
    graph: str
    tensors: Table
    settings: Values
    notes: tuple[str, ...]
    values: Values

    def __repr__(self) -> str:
        return text_of((self.tensors,), (f"plan {self.path}",), self.notes)

    def _repr_html_(self) -> str:
        return html_of((self.tensors,), (f"plan {self.path}",), self.notes)


@dataclass(frozen=True, repr=False)
class Sweep:
    """Files of a grid, made and measured.

    Attributes:
        rows: a mapping for each file, with the keys of the CSV (docs/sweeps.md), in the order of
            the plan.
        failed: a mapping for each task that was set aside, with ``name`` and ``sentence``.
        tables: table as the command line prints it, the best file first.
        conditions: sentences on the sweep.
        values: the JSON document.
        page: the page; None for a state (``status=True``).
    """

    rows: tuple[Values, ...]
    failed: tuple[Values, ...]
    tables: tuple[Table, ...]
    conditions: tuple[str, ...]
    values: Values
    page: Path | None

    def __repr__(self) -> str:
        return text_of(self.tables, self.conditions, ())

    def _repr_html_(self) -> str:
        return html_of(self.tables, self.conditions, ())


def sweep_of(outcome: Outcome) -> Sweep:
    """Sweep of what the command printed."""
    values = outcome.values
    page = values.get("page")
    return Sweep(
        tuple(MappingProxyType(row) for row in values.get("rows", ())),
        tuple(MappingProxyType(row) for row in values["failed"]),
        tuple(Table.of(table) for table in outcome.tables),
        tuple(line for line in outcome.lines if line != "written:"),
        MappingProxyType(dict(values)),
        None if page is None else Path(page).absolute(),
    )


def report_of(values: Values, rows: list[Values], outcome: Outcome) -> Report:
    """Report of a command that measured.

    Args:
        values: its document.
        rows: measured rows of the document.
        outcome: what the command printed.
    """
    return Report(
        tuple(Row.of(row) for row in rows),
        tuple(Table.of(table) for table in outcome.tables),
        tuple(line for line in outcome.lines if not line.startswith("  ")),
        tuple(outcome.remarks),
        MappingProxyType(dict(values)),
    )


def _pair(values: Any) -> tuple[float, float] | None:
    return None if values is None else (float(values[0]), float(values[1]))


def _not_writable(target: Path, error: OSError) -> InvalidInputError:
    return InvalidInputError(
        "a file is saved into a folder that can be written",
        received=f"{target} ({error.strerror or error})",
        remedy="give another path, or change its permissions",
    )
