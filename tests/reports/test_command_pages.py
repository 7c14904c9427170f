"""What the pages of compare, sensitivity, cost and ship say, from their documents."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from calibration_data.task import Task
from evaluation.task import task_kinds
from reports import compare_figures, compare_page, cost_page, sensitivity_page, ship_page, tables
from reports.csv_rows import csv_table
from reports.html import render
from reports.page import Facts, Gallery, Page, Prose, Table
from reports.sensitivity import clipping, conditions
from reports.ship_page import Gate, Shipped
from reports.task_rows import no_labels, nothing_compared
from tests.reports.samples import HOSTILE, compared, picture, unlabelled
from tests.reports.test_html import parsed

CLASSIFIER = task_kinds()[Task.CLASSIFICATION]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """A real comparison; not to be changed."""
    return compared()


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of a comparison without their drawings, which take most of the time."""
    for name in ("svg", "pareto"):
        monkeypatch.setattr(compare_figures, name, lambda *_: "<svg></svg>")


def tables_of(page: Page) -> list[Table]:
    return [part for s in page.sections for part in s.parts if isinstance(part, Table)]


def galleries_of(page: Page) -> list[Gallery]:
    return [part for s in page.sections for part in s.parts if isinstance(part, Gallery)]


def with_drop(report: dict[str, Any], drop: float, low: float, high: float) -> dict[str, Any]:
    changed = copy.deepcopy(report)
    row = next(row for row in changed["rows"] if row["name"] == "tflite-int8")
    row.update(drop=drop, drop_interval=[low, high])
    return changed


def test_the_lead_says_what_int8_costs_and_gains(report: dict[str, Any]) -> None:
    rows = {row["name"]: row for row in report["rows"]}
    int8, full = rows["tflite-int8"], rows["tflite-float32"]
    smaller = full["size_bytes"] / int8["size_bytes"]
    faster = full["latency_ms"]["p50"] / int8["latency_ms"]["p50"]
    low, high = int8["drop_interval"]
    assert compare_page.lead(report) == (
        f"`tflite-int8` costs **{int8['drop']:+.2f} points** of top-1 [{low:+.2f}, {high:+.2f}] "
        f"on 10,000 images; it is **{smaller:.1f} times** smaller and **{faster:.1f} times** "
        f"faster than `tflite-float32`. No loss is shown, and one of up to {high:.2f} points is "
        "not ruled out."
    )


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ((2.0, 1.0, 3.0), ("costs **+2.00 points**", "the loss is real")),
        ((-2.0, -3.0, -1.0), ("gains **2.00 points**", "the gain is real")),
        ((-0.5, -3.0, 1.0), ("gains **0.50 points**", "No loss is shown")),
    ],
)
def test_the_lead_is_as_sure_as_the_interval(
    report: dict[str, Any], interval: tuple[float, float, float], words: tuple[str, ...]
) -> None:
    lead = compare_page.lead(with_drop(report, *interval))
    for word in words:
        assert word in lead


def test_a_slower_file_is_called_slower(report: dict[str, Any]) -> None:
    changed = copy.deepcopy(report)
    row = next(row for row in changed["rows"] if row["name"] == "tflite-int8")
    full = next(row for row in changed["rows"] if row["name"] == "tflite-float32")
    row["latency_ms"]["p50"] = 2 * full["latency_ms"]["p50"]
    assert "smaller and 2.0 times slower than" in compare_page.lead(changed)


@pytest.mark.usefixtures("undrawn")
def test_a_report_without_latency_says_so_and_compares_sizes_alone(report: dict[str, Any]) -> None:
    changed = copy.deepcopy(report)
    for row in changed["rows"]:
        row["latency_ms"] = None
    page = compare_page.page(changed, {}, "edgequant compare")
    assert "latency of one image" not in str(page.sections[0])
    assert ("Latency", "was not measured") in [
        item for s in page.sections for part in s.parts if isinstance(part, Facts)
        for item in part.items
    ]  # fmt: skip
    assert "times** smaller than" in compare_page.lead(changed)
    assert "Latency was not measured." in tables.conditions(changed)
    first = tables.markdown_table(changed).splitlines()[2]
    assert first.count(" - |") >= 2


def test_a_collapsed_file_is_named_and_does_not_squeeze_the_others(report: dict[str, Any]) -> None:
    changed = copy.deepcopy(report)
    row = next(row for row in changed["rows"] if row["name"] == "tflite-int8-per-tensor")
    row["top1"] -= 40
    figure = compare_page.page(changed, {}, "edgequant compare").sections[0].parts[0]
    assert "less than 74 %: `tflite-int8-per-tensor`." in figure.caption
    assert "tflite-int8-per-tensor" not in figure.svg


def test_a_report_on_images_without_labels() -> None:
    report = unlabelled()
    pictures = {number: picture(number) for number in compare_page.shown_images(report)}
    page = compare_page.page(report, pictures, "edgequant compare")
    titles = [section.title for section in page.sections]
    assert titles == [
        "Likeness to float against size and speed", "All figures", "Images whose answer changed",
        "Conditions of the measurement",
    ]  # fmt: skip
    row = next(row for row in report["rows"] if row["name"] == "tflite-int8")
    assert f"`tflite-int8` answers as float on **{row['agreement']:.2f} %**" in page.lead
    assert "top-1" not in page.lead
    assert "Vertical lines" not in page.sections[0].parts[0].caption
    prose, gallery, *_ = page.sections[2].parts
    assert "Lost:" not in prose.text
    assert " lost" not in gallery.caption
    assert len(gallery.items[0].lines) == 1
    items = page.sections[-1].parts[0].items
    assert ("Images", report["remarks"][0]) in items
    assert ("Labels", no_labels(CLASSIFIER)) in items
    parsed(render(page))
    said = tables.conditions(report)
    assert said[1:3] == [f"{report['remarks'][0]}.", no_labels(CLASSIFIER)]
    cells = [line.split(" | ")[2:5] for line in tables.markdown_table(report).splitlines()[2:]]
    assert cells == [["-", "-", "-"]] * len(report["rows"])
    assert "nan" not in csv_table(report).lower()
    alone = {**report, "rows": report["rows"][:1]}
    assert nothing_compared(CLASSIFIER) in tables.conditions(alone)
    parsed(render(compare_page.page(alone, {}, "edgequant compare")))


def test_without_int8_the_smallest_file_is_spoken_of(report: dict[str, Any]) -> None:
    keep = ("keras-float32", "onnx-float32", "tflite-float16", "onnx-float16")
    some = {**report, "rows": [row for row in report["rows"] if row["name"] in keep]}
    smallest = min(some["rows"][1:], key=lambda row: row["size_bytes"])
    assert compare_page.headline(some) == smallest
    alone = {**report, "rows": report["rows"][:1]}
    assert compare_page.headline(alone) is None
    page = compare_page.page(alone, {}, "edgequant compare")
    assert [s.title for s in page.sections] == ["All figures", "Conditions of the measurement"]
    parsed(render(page))


def test_pictures_keep_to_their_number(report: dict[str, Any]) -> None:
    changed = copy.deepcopy(report)
    for number, row in enumerate(changed["rows"]):
        for place, flip in enumerate(row.get("flipped", ())):
            flip["image"] = 100 * number + place
    shown = compare_page.shown_images(changed)
    assert 100 < len(shown) <= compare_page.MOST_PICTURES
    assert shown == sorted(set(shown))


@pytest.mark.usefixtures("undrawn")
def test_galleries_begin_with_the_row_of_the_lead(report: dict[str, Any]) -> None:
    pictures = {number: picture(number, 4) for number in compare_page.shown_images(report)}
    page = compare_page.page(report, pictures, "edgequant compare")
    galleries = galleries_of(page)
    assert galleries[0].caption.startswith("**tflite-int8**")
    assert len(galleries) == sum(bool(row.get("flipped")) for row in report["rows"])
    first = galleries[0].items[:3]
    assert [thumb.label.partition(" ")[0] for thumb in first] == ["bag"] * 3
    assert [thumb.lines[0] for thumb in first] == [
        "won; it is shirt", "lost; it is bag", "wrong both times; it is coat",
    ]  # fmt: skip
    assert first[0].lines[1] == "lead 1, photos/image 0.png"
    del pictures[0]
    fewer = galleries_of(compare_page.page(report, pictures, "edgequant compare"))
    assert len(fewer[0].items) == len(galleries[0].items) - 1


@pytest.mark.usefixtures("undrawn")
def test_a_report_of_an_older_version_has_no_pictures_and_no_expected_flips(
    report: dict[str, Any],
) -> None:
    older = copy.deepcopy(report)
    for row in older["rows"]:
        row.pop("flipped", None)
        row.pop("expected_flips", None)
    assert compare_page.shown_images(older) == []
    page = compare_page.page(older, {}, "edgequant compare")
    assert not galleries_of(page)
    heads = [column.title for table in tables_of(page) for column in table.columns]
    assert "answers changed" in heads
    assert "expected flips [95 %]" not in heads


@pytest.mark.usefixtures("undrawn")
def test_the_table_has_every_row_and_figure_of_the_markdown(report: dict[str, Any]) -> None:
    from reports.tables import markdown_table

    page = compare_page.page(report, {}, "edgequant compare")
    lines = markdown_table(report).splitlines()[2:]
    shown = ["| " + " | ".join(cell.text for cell in row) + " |" for row in tables_of(page)[0].rows]
    assert shown == lines


RANKING = {
    "model": "net", "recipe": "onnx-int8", "optimization": "default", "data": "photos:train",
    "n": 64, "top1": 91.5,
    "rows": [
        {
            "rank": 1, "name": HOSTILE, "kind": "CONV_2D", "multiply_adds": 900,
            "weights": {"sqnr_db": 30.25, "drop": 1.5, "agreement": 98.0},
            "activations": {"sqnr_db": 24.5, "drop": -0.5, "agreement": 97.0},
        },
        {
            "rank": 2, "name": "add", "kind": "ADD", "multiply_adds": 0, "weights": None,
            "activations": {"sqnr_db": 40.0, "drop": 0.0, "agreement": 99.0},
        },
        {
            "rank": 3, "name": "last", "kind": "CONV_2D", "multiply_adds": 100,
            "weights": {"sqnr_db": None, "drop": 0.0, "agreement": 100.0},
            "activations": {"sqnr_db": 55.0, "drop": 0.0, "agreement": 100.0},
            "clipping_share": 0.62,
        },
    ],
}  # fmt: skip


def test_ranges_that_do_not_hold_are_spoken_of() -> None:
    (said,) = clipping({**RANKING, "ranged": 1200})
    assert said.startswith(
        "Clipping, not rounding, is more than half of the activations' noise in 1 "
    )
    assert "of 3 layers (most in last, 62 % of it): the ranges of 1,200 calibration images " in said
    rows = RANKING["rows"][:2]
    assert clipping({**RANKING, "rows": rows}) == []
    assert len(conditions(RANKING)) == len(conditions({**RANKING, "rows": rows})) + 1


def test_a_ranking_names_the_worst_layer() -> None:
    page = sensitivity_page.page(RANKING, "edgequant sensitivity", (("CSV", "a.csv"),))
    assert page.lead == (
        f"`{HOSTILE}` loses most: with its **activations** alone in integers the outputs keep "
        "**24.5 dB**. The median of 3 layers keeps 40.0 dB."
    )
    (table,) = tables_of(page)
    texts = [[getattr(cell, "text", cell) for cell in row] for row in table.rows]
    assert texts[0][3:] == ["30.2", "+1.50", "24.5", "-0.50", "-", "90.0"]
    assert texts[1][3:] == ["-", "-", "40.0", "+0.00", "-", "-"]
    assert texts[2][3:] == ["inf", "+0.00", "55.0", "+0.00", "62", "10.0"]
    parsed(render(page))


def test_a_ranking_may_be_short_or_empty() -> None:
    one = {**RANKING, "rows": RANKING["rows"][:1]}
    assert "middle" not in sensitivity_page.lead(one)
    assert sensitivity_page.lead({**RANKING, "rows": []}).startswith("No layer")


def layer(name: str, step: int, macs: int, live: int, kind: str = "Conv2D") -> dict[str, Any]:
    shape = [4, 4, 8]
    return {
        "name": name, "kind": kind, "shape": shape, "params": macs // 10, "macs": macs,
        "live_bytes": live, "step": step,
    }  # fmt: skip


COSTS = {
    "model": "net", "params": 320, "batch_norm_params": 20, "macs": 3200, "peak_bytes": 5000,
    "element_bytes": 1, "peak_is_least": True,
    "layers": [
        layer("one", 0, 1000, 2000), layer("two", 2, 2000, 5000),
        layer("three", 1, 200, 3000, "Dense"), layer("four", 3, 0, 100, "Add"),
    ],
}  # fmt: skip


def test_a_network_is_shown_with_its_peak_and_its_order() -> None:
    page = cost_page.layers_page(COSTS, "edgequant cost --html")
    assert page.lead == (
        "One image takes **3.2 k multiply-adds** and at least **5 kB of activations** in int8, "
        "while `two` runs."
    )
    timeline = next(p for p in page.sections[0].parts)
    assert "operator 3 of 4" in timeline.alt
    (table,) = tables_of(page)
    assert [(row[0], row[1]) for row in table.rows] == [
        ("one", "1"), ("two", "3"), ("three", "2"), ("four", "4"),
    ]  # fmt: skip
    parsed(render(page))


def test_a_bound_is_called_a_bound() -> None:
    wide = {**COSTS, "peak_is_least": False, "element_bytes": 3}
    lead = cost_page.layers_page(wide, "edgequant cost").lead
    assert "at most **5 kB of activations** in 3 bytes a value" in lead


def test_a_grid_is_shown_from_its_least_to_its_most() -> None:
    rows = [
        {"alpha": a, "size": s, "params": 10, "macs": int(a * s * 1000), "peak_bytes": s * 1000}
        for a in (0.5, 1.0)
        for s in (16, 32)
    ]
    page = cost_page.grid_page({"model": "net", "element_bytes": 2, "grid": rows}, "edgequant cost")
    assert page.lead == (
        "From **8 k** multiply-adds and 16 kB (width 0.5, 16 pixels) to **32 k** and 32 kB "
        "(width 1, 32 pixels)."
    )
    assert len(tables_of(page)[0].rows) == 4
    parsed(render(page))


def manifest(verdict: str = "proven") -> dict[str, Any]:
    proofs = [
        {"name": "litert", "verdict": verdict, "sentence": f"5 of 5 {HOSTILE}", "figures": {}},
        {"name": "mediapipe", "verdict": "not run", "sentence": "not installed", "figures": {}},
    ]
    file = {
        "recipe": {"name": "tflite-int8", "io": "uint8"},
        "calibration": {"images": 1000, "data": "photos:train", "seed": 0},
        "preprocessing": {},
        "folded": "",
    }
    target = {
        "title": "Android", "extra": "android", "files": {"int8": file}, "proofs": proofs,
        "budgets": [{"what": "int8", "flash": 1000, "sram": None}],
    }  # fmt: skip
    return {
        "model": "net", "model_sha256": "ab" * 32, "preprocessing": {"labels": ["a", "b"]},
        "vectors": {"data": "photos:test", "images": 5}, "versions": {"numpy": "2.4.6"},
        "accuracy": {"reason": "no --data was given"}, "targets": {"android": target},
    }  # fmt: skip


FILES = [Shipped("android/net-int8.tflite", 1000, "cd" * 32), Shipped("labels.txt", 4, "ef" * 32)]


def test_a_bundle_tells_what_is_proven_and_what_is_not() -> None:
    gates = [Gate("--max-flash 1,000", "kept")]
    page = ship_page.page(manifest(), FILES, gates, "edgequant ship")
    assert page.lead == (
        "2 files (0.0 MB) for 1 platform. Of 2 proofs: **1 proven**, **1 not run**."
    )
    text = render(page)
    shown = "".join(parsed(text).texts)
    for word in (
        "cd" * 32,
        "ef" * 32,
        "1,000 images of photos:train",
        "--max-flash",
        "not measured",
    ):
        assert word in shown
    assert "no --data was given" in shown
    assert HOSTILE in shown


def test_what_limits_the_figures_of_a_file_stands_below_them() -> None:
    row = {"file": "net-int8.tflite", "runtime": "litert", "metric": 30.5, "likeness": 36.1}
    values = manifest()
    values["accuracy"] = {
        "task": "detection", "data": "photos:test", "images": 5, "rows": [row],
        "remarks": ["net-int8.tflite gives detections from a score of 0.3 alone"],
    }  # fmt: skip
    page = ship_page.page(values, FILES, [], "edgequant ship")
    (section,) = (s for s in page.sections if s.title == "Accuracy")
    assert isinstance(section.parts[0], Table)
    assert section.parts[1:] == (
        Prose("net-int8.tflite gives detections from a score of 0.3 alone."),
    )


def test_a_failed_proof_stands_in_the_lead() -> None:
    page = ship_page.page(manifest("failed"), FILES, [], "edgequant ship")
    assert "**1 failed**" in page.lead
    assert "Do not ship before the failed proofs hold." in page.lead
    prose = [p.text for s in page.sections for p in s.parts if isinstance(p, Prose)]
    assert any(text.startswith("No limit was set") for text in prose)
