"""What a shell and a notebook show: tables and bars."""

from __future__ import annotations

import pytest

from edgequant.api import progress
from edgequant.api.progress import Progress, listening
from edgequant.api.tables import Table, html_of, text_of

TABLE = Table(("recipe", "size kB"), (("a<b>", "7"), ("tflite-int8", "1,234")), (False, True))


def test_a_table_is_aligned() -> None:
    assert TABLE.text().splitlines() == [
        "recipe       size kB",
        "-----------  -------",
        "a<b>               7",
        "tflite-int8    1,234",
    ]


def test_texts_are_escaped_in_html() -> None:
    html = html_of((TABLE,), ("n = 3 <images>",), ("a & b",))
    assert '<td style="text-align: left; white-space: nowrap">a&lt;b&gt;</td>' in html
    assert '<td style="text-align: right; white-space: nowrap">1,234</td>' in html
    assert "<div>n = 3 &lt;images&gt;</div><div>note: a &amp; b</div>" in html


def test_columns_without_a_value_are_left_out_in_html() -> None:
    table = Table(("name", "p50 ms", "size"), (("a", "-", "-"), ("b", "-", "7")), (False,) * 3)
    assert "p50 ms" not in table.html()
    assert "size" in table.html()
    assert "p50 ms" in table.text()


def test_parts_are_apart_and_empty_ones_left_out() -> None:
    assert text_of((), ("one",), ("two",)) == "one\nnote: two"
    assert text_of((TABLE,), (), ()) == TABLE.text()


EVENTS: tuple[dict[str, object], ...] = (
    {"steps": 1},  # before any step has a name
    {"begin": "images", "total": 3},
    {"steps": 2},
    {"steps": 1},
    {"end": True},
    {"begin": "latency", "total": None},
)


def test_a_function_gets_each_state() -> None:
    seen: list[Progress] = []
    with listening(seen.append) as listen:
        for event in EVENTS:
            listen(event)
    assert seen == [
        Progress("images", 0, 3),
        Progress("images", 2, 3),
        Progress("images", 3, 3),
        Progress("latency", 0, None),
    ]


@pytest.mark.parametrize("shown", [True, False])
def test_a_bar_is_drawn_where_one_is_seen(
    shown: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_can_show", lambda: shown)
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes the stream for a terminal
    with listening(None) as listen:
        for event in EVENTS:
            listen(event)
    assert ("latency" in capsys.readouterr().err) is shown
    with listening(False) as listen:
        listen(EVENTS[1])
    assert capsys.readouterr().err == ""
