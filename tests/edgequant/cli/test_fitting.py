"""Tables fit the screen: details leave first, texts take more lines, figures stay whole."""

from __future__ import annotations

from io import StringIO

import pytest

from edgequant.cli.fitting import WIDTH
from edgequant.cli.networks import list_command
from edgequant.cli.terminal import Terminal, plain_table
from edgequant.commands import written
from reports import tables
from tests.edgequant.conftest import Run
from tests.reports.samples import compared


def drawn(rows: list[dict[str, object]], *details: str, wide: bool = False) -> str:
    """A table as a terminal prints it."""
    out = StringIO()
    terminal = Terminal(machine_readable=False, out=out, err=StringIO(), wide=wide)
    terminal.table(plain_table(rows), details)
    return out.getvalue()


def widest(text: str) -> int:
    """Columns of the longest line."""
    return max(len(line.rstrip()) for line in text.splitlines())


def test_details_leave_one_by_one_until_the_table_fits() -> None:
    rows = [{"name": "n" * 40, "a": 1, "b": "b" * 30, "c": "c" * 25}]
    text = drawn(rows, "c", "b", "a")
    assert "--wide shows more: c" in text
    assert "b" * 30 in text
    assert widest(text) <= WIDTH
    assert "c" * 25 in drawn(rows, "c", "b", "a", wide=True)


def test_a_table_that_fits_has_no_remark() -> None:
    text = drawn([{"name": "n", "a": 1}], "a")
    assert "wide" not in text
    assert "1" in text


def test_texts_take_several_lines_and_keep_every_letter() -> None:
    rows = [{"name": "net", "summary": "one two three " * 20, "figure": 1_234_567.25}]
    text = drawn(rows)
    assert widest(text) <= WIDTH
    assert text.count("three") == 20
    assert "1234567.25" in text


def test_figures_are_never_cut() -> None:
    rows = [{f"column {i}": 1234567890123 for i in range(12)}]
    assert drawn(rows).count("1234567890123") == 12


def test_a_long_name_is_folded_where_nothing_else_can_be() -> None:
    rows = [{"name": "block/" * 40, "figure": 5}]
    text = drawn(rows)
    assert widest(text) <= WIDTH
    assert "".join(text.split()).count("block/") == 40


@pytest.mark.parametrize("what", list_command.params[0].type.choices)
def test_every_list_fits(run: Run, what: str) -> None:
    assert widest(run("list", what).out) <= WIDTH


def test_a_comparison_fits_and_names_what_it_left_out() -> None:
    out = StringIO()
    terminal = Terminal(machine_readable=False, out=out, err=StringIO())
    terminal.table(tables.screen_table(compared()), tables.DETAILS)
    assert widest(out.getvalue()) <= WIDTH
    heads = {column.head for column in tables.COLUMNS if column is not tables.EXPECTED}
    assert set(tables.DETAILS) <= heads
    assert all(head in out.getvalue() for head in heads)


class _Artifact:
    def __init__(self, name: str, *remarks: str) -> None:
        self.recipe, self.remarks = type("Recipe", (), {"name": name}), remarks


def test_a_remark_appears_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written, "remarks_of", lambda artifact: artifact.remarks)
    err = StringIO()
    terminal = Terminal(machine_readable=False, out=StringIO(), err=err)
    artifacts = [_Artifact("tflite-int8", "r", "s"), _Artifact("onnx-int8", "r", "r")]
    written.say_remarks(artifacts, terminal)
    terminal.note("tflite-int8: s")
    assert err.getvalue() == "tflite-int8, onnx-int8: r\ntflite-int8: s\n"
