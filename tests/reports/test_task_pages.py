"""What tables and pages say of each task, and of a network with several outputs."""

from __future__ import annotations

import csv
import io
import json

import pytest

from calibration_data.task import Task
from evaluation.task import task_kinds
from reports import tables
from reports.csv_rows import CSV_FIELDS, csv_table
from reports.html import render
from reports.page import Page, Table
from reports.task_rows import by_output, drop_head
from tests.reports.task_samples import measured, task_page
from tests.reports.test_html import parsed

OTHERS = tuple(task for task in Task if task is not Task.CLASSIFICATION)


@pytest.mark.parametrize("task", OTHERS)
@pytest.mark.parametrize("labelled", [True, False])
def test_reports_of_a_task_are_whole(task: Task, labelled: bool) -> None:
    report, kind = measured(task, labelled=labelled), task_kinds()[task]
    json.dumps(report, allow_nan=False)
    heads = [column.head for column in tables.columns_of(report["rows"])]
    for metric in kind.metrics:
        shown = metric.listed and (labelled or not metric.needs_targets)
        assert (metric.head in heads) == shown
    assert (drop_head(kind) in heads) == labelled
    assert ("expected flips [95 %]" in heads) == (kind.expected is not None)
    shown = tables.screen_table(report).columns
    assert not any("expected flips" in str(column.header) for column in shown)
    lines = tables.markdown_table(report).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert len(lines) == 2 + 4
    text = " ".join([*tables.conditions(report), tables.markdown_report("net", report)])
    assert "top-1" not in text
    assert "nan" not in text
    assert ("The images have no labels" in text) == (not labelled)
    (first, *rest) = csv.DictReader(io.StringIO(csv_table(report)))
    assert first["task"] == task
    assert (first.get(kind.primary, "") != "") == labelled
    assert all(row["sqnr_db"] for row in rest)
    expects = kind.expected is not None
    assert all((row["expected_flips"] != "") == expects for row in rest)
    assert (first["expected_flips"], first["expected_flips_low"]) == ("", "")
    page = task_page(report)
    document = render(page)
    parsed(document)
    assert ("Expected flips" in document) == ("Expected flips" in text) == expects
    assert "top-1" not in document
    assert "tflite-int8" in page.lead
    assert (kind.first.title in page.lead) == labelled
    titles = [section.title for section in page.sections]
    assert ("What each recipe loses" in titles) == labelled
    changed = {"Images whose answer changed", "Photos whose mask changed"}.intersection(titles)
    assert bool(changed) == (kind.flips is not None)
    parts = {"By label", "By value", "By class"}.intersection(titles)
    assert bool(parts) == (labelled and kind.parts is not None)
    several = task is Task.DETECTION and labelled  # its minor metrics are many
    assert _tables_of_figures(page, heads) == 1 + several


def _tables_of_figures(page: Page, heads: list[str]) -> int:
    """Number of tables under "All figures", which share the columns that name a row alone."""
    (section,) = (section for section in page.sections if section.title == "All figures")
    found = [part for part in section.parts if isinstance(part, Table)]
    first = [[cell for row in table.rows for cell in row[:2]] for table in found]
    assert all(names == first[0] for names in first)
    shown = [column.title for table in found for column in table.columns[2:]]
    assert sorted(shown) == sorted(heads[2:])
    return len(found)


@pytest.mark.slow
def test_several_outputs_have_a_block_each() -> None:
    report = measured()
    assert len(report["rows"]) == 4 * len(Task)
    names = [part["output"] for part in by_output(report)]
    assert names == [str(task) for task in Task]
    for part in by_output(report):
        assert [row["name"] for row in part["rows"]][:2] == ["keras-float32", "tflite-float32"]
        assert tables.screen_table(part).row_count == 4
    text = tables.markdown_report("net", report)
    for task in Task:
        assert f"## Output {task} ({task})" in text
    rows = list(csv.DictReader(io.StringIO(csv_table(report))))
    assert [row["output"] for row in rows[::4]] == names
    assert {row["top1"] for row in rows if row["task"] != "classification"} == {""}
    page = task_page(report)
    parsed(render(page))
    titles = [section.title for section in page.sections]
    assert [t for t in titles if t.endswith(": All figures")] == [
        f"{task} ({task}): All figures" for task in Task
    ]
    assert titles[-1] == "Conditions of the measurement"
    assert all(f"**{task} ({task})**" in page.lead for task in Task)
    assert page.lead.count("smaller") == 1


def test_a_classifier_says_what_it_said() -> None:
    report = measured(Task.CLASSIFICATION)
    assert tables.columns_of(report["rows"]) == tables.COLUMNS
    assert csv_table(report).splitlines()[0] == ",".join(CSV_FIELDS)
    assert {"task", "output", "drops", "parts"}.isdisjoint(report["rows"][-1])
    assert "of top-1 [" in task_page(report).lead


def test_a_lead_says_which_way_is_worse() -> None:
    report = measured(Task.REGRESSION)
    row = next(row for row in report["rows"] if row["name"] == "tflite-int8")
    assert row["drop"] > 0
    assert f"`tflite-int8` raises MAE by **{row['drop']:.3g}** to" in task_page(report).lead
    row["drop"], row["drop_interval"] = -0.5, [-0.7, -0.3]
    assert "lowers MAE by **0.5**" in task_page(report).lead
    assert "the gain is real" in task_page(report).lead
    binary = measured(Task.BINARY)
    row = next(row for row in binary["rows"] if row["name"] == "tflite-int8")
    row["drop"] = 0.0
    assert f"keeps accuracy at **{row['metrics']['accuracy']:.2f}**" in task_page(binary).lead


def test_an_infinite_sqnr_is_no_number_in_json_and_not_drawn() -> None:
    report = measured(Task.REGRESSION)
    row = next(row for row in report["rows"] if row["name"] == "tflite-float32")
    row["sqnr_db"] = row["metrics"]["sqnr_db"] = None
    table = tables.markdown_table(report)
    assert " inf |" in table
    page = task_page(report)
    figure = page.sections[0].parts[0]
    assert "tflite-float32" not in figure.alt


def test_changed_answers_are_words() -> None:
    page = task_page(measured(Task.MULTI_LABEL))
    section = next(s for s in page.sections if s.title == "Images whose answer changed")
    assert "distance of its score from the threshold" in section.parts[0].text
    words = {word for item in section.parts[1].items for word in item.label.split()}
    assert {"sky:", "no", "yes"} <= words
    binary = task_page(measured(Task.BINARY))
    section = next(s for s in binary.sections if s.title == "Images whose answer changed")
    assert any("cat" in item.label and "dog" in item.label for item in section.parts[1].items)
