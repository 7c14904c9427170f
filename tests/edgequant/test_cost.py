"""``edgequant cost``: what it prints, writes and refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.edgequant.conftest import Run

SMALL = ("--model", "mobilenet_v2_small")


def test_a_network_is_counted_layer_by_layer(run: Run) -> None:
    shown = run("cost", *SMALL, "--layers")
    assert shown.code == 0, shown.err
    assert "block_1_depthwise" in shown.out
    assert "MACs    11,731,200" in shown.out
    report = run("cost", *SMALL, "--bytes", 2, "--json").json
    assert report["peak_bytes"] == 2 * 61_440
    assert sum(layer["macs"] for layer in report["layers"]) == report["macs"] == 11_731_200
    assert max(layer["live_bytes"] for layer in report["layers"]) == report["peak_bytes"]


def test_a_page_of_a_network_has_its_order_and_its_command(run: Run, tmp_path: Path) -> None:
    asked = ("cost", *SMALL, "--split", 3, "--html", "--output", tmp_path)
    shown = run(*asked)
    assert shown.code == 0, shown.err
    page = tmp_path / "mobilenet_v2_small-cost.html"
    assert f"page  {page}\n" in shown.out
    text = page.read_text(encoding="utf-8")
    assert "block_1_depthwise" in text
    assert f"edgequant cost --model mobilenet_v2_small --split 3 --html --output {tmp_path}" in text
    report = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    assert sorted(layer["step"] for layer in report["layers"]) == list(range(len(report["layers"])))


@pytest.mark.slow
def test_the_memory_plan_is_shown(run: Run) -> None:
    shown = run("cost", *SMALL, "--plan")
    assert shown.code == 0, shown.err
    assert "by rows" in shown.out
    assert "the least of this order of execution" in shown.out
    plan = run("cost", *SMALL, "--plan", "--json").json["plan"]
    assert plan["arena_bytes"] == plan["bound_bytes"] < 61_440
    assert max(b["offset"] + b["size"] for b in plan["buffers"]) == plan["arena_bytes"]
    assert run("cost", *SMALL, "--grid", "--plan").code == 2
    assert "remove --split" in run("cost", *SMALL, "--plan", "--split", 2).err


def test_splitting_lowers_the_peak_and_no_multiply_adds(run: Run) -> None:
    report = run("cost", *SMALL, "--split", 3, "--json").json
    assert report["macs"] == 11_731_200
    assert report["peak_bytes"] < 0.7 * 61_440


def test_a_users_own_model_is_counted(run: Run, tiny_keras: Path) -> None:
    report = run("cost", "--model", tiny_keras, "--json").json
    assert report["layers"][0]["macs"] == 11 * 11 * 27 * 40


@pytest.mark.slow
def test_a_grid_is_written_as_table_and_plot_with_the_same_bytes(run: Run, tmp_path: Path) -> None:
    asked = ("cost", *SMALL, "--grid", "--alphas", "0.1,0.2", "--sizes", "16,32", "--bytes", 2)
    report = run(*asked, "--output", tmp_path / "a", "--json").json
    assert run(*asked, "--output", tmp_path / "b").code == 0
    assert [(p["alpha"], p["size"]) for p in report["grid"]] == [
        (0.1, 16), (0.1, 32), (0.2, 16), (0.2, 32),
    ]  # fmt: skip
    written = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert written == [f"mobilenet_v2_small-grid.{end}" for end in ("csv", "html", "png", "svg")]
    for name in written:
        one, two = ((tmp_path / folder / name).read_text("latin1") for folder in "ab")
        assert one.replace(f"{tmp_path}/a", "") == two.replace(f"{tmp_path}/b", ""), name
    with (tmp_path / "a" / written[0]).open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert [int(row["peak_bytes"]) for row in rows] == [p["peak_bytes"] for p in report["grid"]]
    # Multiply-adds of all but the classifier go with the area.
    assert 3.5 < int(rows[1]["macs"]) / int(rows[0]["macs"]) <= 4
    assert (tmp_path / "a" / written[3]).read_text(encoding="utf-8").startswith("<?xml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "no.keras", "--grid"), "--grid counts a registered model; received no.keras"),
        ((*SMALL, "--grid", "--size", 32), "sizes from --sizes; received --alpha or --size"),
        ((*SMALL, "--grid", "--split", 2), "are for one network"),
        ((*SMALL, "--grid", "--html"), "a grid always has its page"),
        ((*SMALL, "--grid", "--sizes", "a,b"), "--sizes takes numbers with commas"),
        ((*SMALL, "--grid", "--weights", "random"), "weights fit only one width"),
        ((*SMALL, "--grid", "--sizes", 10**9), "pixels of a side"),
        ((*SMALL, "--grid", "--alphas", "nan"), "multiplier"),
        ((*SMALL, "--weights", "nobody"), "weights of mobilenet_v2_small are one of"),
        ((*SMALL, "--weights", "random:4294967296"), "whole number from 0"),
        ((*SMALL, "--split", 99), "at most 16 groups of inner channels; received 99"),
    ],
)
def test_bad_input_is_refused(run: Run, arguments: tuple[object, ...], message: str) -> None:
    refused = run("cost", *arguments)
    assert refused.code == 2
    assert message in refused.err
    assert refused.err.count("\n") == 1
