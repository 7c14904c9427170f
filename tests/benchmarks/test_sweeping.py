"""What the measurements of sweeps rest on: equal tables, and the list of benchmarks."""

from __future__ import annotations

import csv
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("psutil")  # it comes with Dask

from benchmarks.__main__ import suites
from benchmarks.sweeping import _table


def written(path: Path, **changed: str) -> Path:
    """A sweep's table of one row."""
    row = {"name": "a", "value": "91.5", "latency_ms": "1.5", "seconds": "2", "where": "here"}
    row |= {"front": "bytes latency_ms", **changed}
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, row)
        writer.writeheader()
        writer.writerow(row)
    return path


def test_tables_are_compared_but_for_what_is_clocked(tmp_path: Path) -> None:
    first = _table(written(tmp_path / "first.csv"))
    other = {"latency_ms": "9", "seconds": "8", "where": "there", "front": "bytes"}
    assert _table(written(tmp_path / "again.csv", **other)) == first
    for key in ("value", "name", "front"):
        assert _table(written(tmp_path / f"{key}.csv", **{key: "1"})) != first


def test_every_suite_has_a_function() -> None:
    found = suites()
    assert {"sweeping", "scheduler", "startup"} <= set(found)
    for name in found:
        spec = find_spec(f"benchmarks.{name}")
        assert spec is not None
        assert spec.origin is not None
        assert "\ndef run(" in Path(spec.origin).read_text(encoding="utf-8"), name
