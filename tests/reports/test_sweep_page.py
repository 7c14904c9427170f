"""Tables and page of a sweep, from a document."""

from __future__ import annotations

import csv
import io
import random
from typing import Any

from reports.html import render
from reports.page import Figure, Page, Table
from reports.pareto import Point, front
from reports.sweep_page import page
from reports.sweep_rows import COSTS, on_front, quality, sorted_rows
from reports.sweep_tables import csv_table, markdown, screen_table, sentences


def row(name: str, value: float | None, size: int, **more: Any) -> dict[str, Any]:
    """A row of a document."""
    return {
        "key": name, "name": name, "model": name.split()[0], "reference": "net", "weights": None,
        "alpha": None, "size": None, "recipe": name.split()[-1], "effort": "fast", "samples": 8,
        "seed": 0, "metric": "top1", "unit": "%", "value": value, "interval": [1.0, 99.5],
        "float_value": 91.0, "drop": 0.5, "drop_interval": [-0.25, 1.25],
        "lower_is_better": False, "agreement": 99.0, "sqnr_db": None, "bytes": size,
        "macs": size * 10, "params": size, "arena_bytes": 9000, "latency_ms": None, "n": 200,
        "file": f"{name}.tflite", "sha256": "0" * 64, "stored": "files/a", "remarks": ["one"],
        "seconds": 2.0, "where": "host", "misses": [], "front": ["bytes"], **more,
    }  # fmt: skip


def sweep(**more: Any) -> dict[str, Any]:
    """A document with three files, one of which is beaten, and one task that was set aside."""
    rows = [row("a tflite-int8", 90.0, 1000), row("b tflite-int8", 95.0, 3000, misses=["max_ms"])]
    rows.append(row("c onnx-int8", 89.0, 2000, front=[]))
    choice = {name: rows[0][name] for name in ("model", "recipe", "effort", "samples", "seed")}
    failed = {"key": "d", "name": "d onnx-int8", "choice": choice, "sentence": "<i>why</i> | not."}
    return {
        "data": "photos:test", "calibration": None, "n": 200, "gates": {"max_ms": 3.0},
        "rows": rows, "failed": [{**failed, "attempts": 3, "kind": "InvalidInputError"}],
        "waiting": [], **more,
    }  # fmt: skip


def sweep_page() -> Page:
    return page(sweep(), "edgequant sweep plan.toml", (("JSON", "sweep.json"),))


def test_a_front_has_the_files_that_no_other_beats() -> None:
    rows = sweep()["rows"]
    size, arena = COSTS[0], COSTS[3]
    assert on_front(rows, size) == {"a tflite-int8", "b tflite-int8"}
    assert on_front(rows, arena) == {"b tflite-int8"}
    losses = [{**r, "lower_is_better": True} for r in rows]
    assert on_front(losses, size) == {"a tflite-int8", "c onnx-int8"}
    assert on_front([row("a", None, 1), row("b", 1.0, 2)], size) == {"b"}
    twins = [row("a", 1.0, 1), row("b", 1.0, 1)]
    assert on_front(twins, size) == {"a", "b"}


def test_fronts_of_many_files_are_those_of_the_definition() -> None:
    chance = random.Random(0)
    rows = [row(str(n), chance.randrange(9), chance.randrange(1, 9)) for n in range(60)]
    points = [Point(r["name"], ".tflite", r["bytes"], r["value"], 0.0, 1.0) for r in rows]

    def beaten(point: Point) -> bool:
        mine = point.cost, point.top1
        no_worse = [p for p in points if p.cost <= point.cost and p.top1 >= point.top1]
        return any((p.cost, p.top1) != mine for p in no_worse)

    names = {point.name for point in points if not beaten(point)}
    assert 1 < len(names) < 60
    assert on_front(rows, COSTS[0]) == names == {point.name for point in front(points)}


def test_quality_without_labels_is_the_likeness_to_float() -> None:
    found, interval = quality({"metrics": {"agreement": 98.5, "sqnr_db": 20.0}})
    assert (found.name, found.unit, found.value, interval) == ("agreement", "%", 98.5, None)
    regression = {"task": "regression", "metrics": {"sqnr_db": 21.0}}
    assert quality(regression)[0].unit == "dB"


def test_the_best_comes_first() -> None:
    assert [r["key"][0] for r in sorted_rows(sweep()["rows"])] == ["b", "a", "c"]


def test_csv_has_a_row_for_every_task() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_table(sweep()))))
    assert [r["name"] for r in rows] == ["a tflite-int8", "b tflite-int8", "c onnx-int8",
                                         "d onnx-int8"]  # fmt: skip
    assert rows[1]["misses"] == "max_ms"
    assert float(rows[0]["drop_high"]) == 1.25
    assert (rows[3]["failed"], rows[3]["value"]) == ("<i>why</i> | not.", "")


def test_tables_show_the_settings_that_differ() -> None:
    heads = [column.header for column in screen_table(sweep()).columns]
    assert heads[:3] == ["model", "recipe", "top-1 % [95 %]"]
    assert "p50 ms" not in heads
    text = markdown(sweep())
    assert "| b | tflite-int8 | 95.00 [1.00, 99.50] | 0.50 [-0.25, 1.25] | inf | 3 |" in text
    assert "d onnx-int8: <i>why</i> | not." in text
    assert sentences(sweep())[0] == "3 of 4 files were made and measured, 1 set aside."
    assert "2 of 3 files keep the gates max_ms 3." in sentences(sweep())


def test_the_page_says_what_to_ship_and_what_failed() -> None:
    shown = sweep_page()
    text = render(shown)
    assert "The best one that keeps the gates is <strong>a tflite-int8</strong>" in text
    assert "&lt;i&gt;why&lt;/i&gt; | not." in text
    assert "What each choice took" in text
    drawn = [p for s in shown.sections for p in s.parts if isinstance(p, Figure)]
    assert len(drawn) == 1  # arena is equal in all files, and latency was not measured
    fronts = next(p for s in shown.sections for p in s.parts if isinstance(p, Table))
    assert [getattr(row[0], "text", None) for row in fronts.rows] == [
        "1. b tflite-int8",
        "2. a tflite-int8",
    ]
    assert "1 b tflite-int8, 2 a tflite-int8" in drawn[0].alt  # numbers of the table
    assert "b tflite-int8" not in drawn[0].svg
    everything_failed = sweep(rows=[], n=None)
    assert "0 of 1 files were made" in render(page(everything_failed, "edgequant sweep"))
    unmeasured = [row("a", None, 1000), row("b", 1.0, 2000)]
    assert "<svg" not in render(page(sweep(rows=unmeasured), "edgequant sweep"))
