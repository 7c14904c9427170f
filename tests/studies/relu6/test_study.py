"""The whole study in a tiny setting, and the texts made from its results."""

from __future__ import annotations

import csv
import multiprocessing
import shutil
from dataclasses import fields, replace
from pathlib import Path

import pytest

from edgequant.docs import HOME, rendered
from edgequant.process_pool import process_pool
from foundation.errors import InvalidInputError
from models.blocks import Bottleneck, Shortcut
from reports.html import render
from studies.relu6 import study
from studies.relu6.checkpoints import path_of, shipped
from studies.relu6.claims import PARTS as CLAIMS
from studies.relu6.docs import PARTS, part
from studies.relu6.networks import Kind, Variant
from studies.relu6.page import page_of
from studies.relu6.results import TYPES, Results, committed

PAGE = HOME / "docs" / "why-relu6.md"


@pytest.fixture(scope="module")
def results() -> Results:
    return Results.read(committed())


def test_every_part_of_the_text_is_in_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert rendered(text) == text
    for name in PARTS:
        assert f"<!-- generated: relu6 {name} -->" in text


@pytest.mark.parametrize("file", ["drops", "calibration", "spiral"])
def test_a_changed_figure_changes_the_text(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "results"
    shutil.copytree(committed(), folder)
    path = folder / f"{file}.csv"
    with path.open(newline="") as handle:
        head, *rows = list(csv.reader(handle))
    columns = {"drops": "drop", "calibration": "drop", "spiral": "distinct"}
    place = head.index(columns[file])
    for row in rows:
        row[place] = str(float(row[place]) + 7)
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows([head, *rows])
    assert any(part(name, folder) != part(name) for name in PARTS)


def test_words_follow_the_figures(results: Results) -> None:
    """With all figures reversed, every sentence about a difference is reversed."""
    turned = replace(
        results,
        contrasts=tuple(
            replace(row, more=-row.more, low=-row.high, high=-row.low) for row in results.contrasts
        ),
    )
    assert CLAIMS["costs"](turned) != CLAIMS["costs"](results)
    more = CLAIMS["costs"](results).count("loses")
    assert (more == 0) <= (CLAIMS["costs"](turned).count("less than ReLU6") > 0)


@pytest.mark.slow
def test_the_page_is_the_same_at_each_call(results: Results) -> None:
    assert render(page_of(results)) == render(page_of(results))


def test_the_page_has_every_part_and_asks_for_nothing(results: Results) -> None:
    html = render(page_of(results))
    for title in ("The three claims", "Collapses on purpose", "Information and ReLU"):
        assert title in html
    assert html.count("<svg") >= 8
    assert "http://www.w3.org" not in html.replace("http://www.w3.org/2000/svg", "").replace(
        "http://www.w3.org/1999/xlink", ""
    )


def test_results_are_read_as_they_were_written(results: Results, tmp_path: Path) -> None:
    results.write(tmp_path)
    assert Results.read(tmp_path) == results
    assert tuple(TYPES) == tuple(field.name for field in fields(Results))
    (tmp_path / "half.csv").unlink()
    with pytest.raises(InvalidInputError, match=r"half\.csv"):
        Results.read(tmp_path)


def test_parts_that_do_not_exist_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="nonsense"):
        part("nonsense")


@pytest.mark.slow
def test_the_whole_study_on_few_images(tmp_path: Path) -> None:
    """Two networks, an ablation and 60 images; a second run repeats no measurement."""
    plan = study.Plan(
        networks=(
            Variant(Kind(), 2),
            Variant(Kind(), 3),
            Variant(Kind(bottleneck=Bottleneck.NON_LINEAR), 2),
            Variant(Kind(shortcut=Shortcut.EXPANSIONS), 2),
        ),
        checkpoints=shipped(),
        steps=tmp_path / "steps",
        test=60,
        calibration=20,
        matrices=3,
    )
    done: list[int] = []
    with process_pool(len(plan.networks)) as pool:
        found = study.run(plan, done.append, pool)
    assert sum(done) == study.total_steps(plan)
    assert {row.kind for row in found.networks} == {"relu6", "relu6-non_linear", "relu6-expansions"}
    assert all(row.seeds == 2 for row in found.calibration)
    found.write(tmp_path / "out")
    again = Results.read(tmp_path / "out")
    assert [row.kind for row in again.networks] == [row.kind for row in found.networks]
    assert len(again.breaking) == len(found.breaking) > 20
    stamps = {path: path.stat().st_mtime_ns for path in plan.steps.iterdir()}
    assert study.run(plan) == found
    assert {path: path.stat().st_mtime_ns for path in plan.steps.iterdir()} == stamps
    for name in ("relu6-2-bits.json", "relu6-non_linear-2-bits.json"):
        content = (plan.steps / name).read_bytes()
        (plan.steps / name).unlink()
        assert study.run(plan) == found  # one after another, in this process
        assert (plan.steps / name).read_bytes() == content


@pytest.mark.slow
def test_what_a_process_meets_is_said_here_and_ends_the_others(tmp_path: Path) -> None:
    networks = (Variant(Kind(), 2), Variant(Kind(), 3))
    for variant in networks:
        source = path_of(shipped(), variant.name)
        (tmp_path / source.name).write_bytes(b"damaged")
        shutil.copyfile(source.with_suffix(".json"), tmp_path / f"{variant.name}.json")
    plan = study.Plan(networks, checkpoints=tmp_path, steps=tmp_path / "steps")
    with pytest.raises(InvalidInputError, match=r"relu6-[23].*:"), process_pool(2) as pool:
        study.run(plan, pool=pool)
    assert multiprocessing.active_children() == []
