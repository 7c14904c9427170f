"""Documents that pages become: whole, self-contained, escaped and the same each time."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import InvalidInputError
from reports.html import inline, order, pieces, render, slug, write_page
from reports.page import Cell, Column, Facts, Kind, Page, Prose, Section, Table
from tests.reports.samples import HOSTILE, comparison, everything

_VOID = {"meta", "link", "img", "br", "hr", "input"}
_LOADING = {("img", "src"), ("script", "src"), ("link", "href"), ("image", "href"), ("use", "href")}


class Document(HTMLParser):
    """Collects elements, ids and loaded addresses; fails on tags that do not match."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), f"{tag} has an attribute twice"
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def parsed(text: str) -> Document:
    document = Document()
    document.feed(text)
    document.close()
    assert not document.open
    return document


PAGES = {"everything": everything, "comparison": comparison}


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """Each page once: their figures take a second."""
    return {name: render(page()) for name, page in PAGES.items()}


@pytest.fixture(params=PAGES)
def text(request: pytest.FixtureRequest, texts: dict[str, str]) -> str:
    return texts[request.param]


def test_elements_are_closed_in_order_and_ids_are_unique(text: str) -> None:
    document = parsed(text)
    ids = [values["id"] for _, values in document.tags if "id" in values]
    assert len(ids) == len(set(ids))
    for _, values in document.tags:
        for name in ("href", "aria-labelledby", "aria-describedby"):
            target = values.get(name)
            if target and (name != "href" or target.startswith("#")):
                assert target.removeprefix("#") in ids, target
        for value in values.values():
            for used in re.findall(r"url\(#([^)]+)\)", value or ""):
                assert used in ids


def test_nothing_is_loaded_from_elsewhere(text: str) -> None:
    document = parsed(text)
    for tag, values in document.tags:
        for name, value in values.items():
            if (tag, name) in _LOADING:
                assert value is not None
                assert value.startswith(("data:", "#"))
            assert not name.startswith("on")
        assert tag not in {"iframe", "object", "embed", "base", "form"}
    style = text[text.index("<style>") : text.index("</style>")]
    assert "@import" not in style
    assert "url(" not in style
    policy = next(v["content"] for t, v in document.tags if v.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy


def test_hostile_texts_stay_texts(texts: dict[str, str]) -> None:
    text = texts["everything"]
    document = parsed(text)
    assert [tag for tag, _ in document.tags].count("script") == 1
    assert all(
        v.get("src", "").startswith("data:image/png;base64,")
        for t, v in document.tags
        if t == "img"
    )
    assert text.count("<script>alert") == 0
    assert "{{ 7 * 7 }}" in "".join(document.texts)
    links = [v["href"] for t, v in document.tags if t == "a"]
    assert "https://example.org/a?b=c&d" in links
    assert not [link for link in links if link and link.startswith(("javascript", "data"))]
    whole = "".join(document.texts)
    assert whole.count(HOSTILE) > 8


def test_equal_pages_are_equal_bytes_and_written_whole(
    texts: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "deep/page.html"
    page = comparison()
    write_page(page, path)
    assert path.read_text(encoding="utf-8") == texts["comparison"]
    assert path.stat().st_size < 3_000_000
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(InvalidInputError, match="the output folder is writable"):
        write_page(page, blocked / "page.html")


def test_a_page_needs_no_section() -> None:
    page = Page("empty", "", (), "edgequant")
    assert "<nav" not in render(page)
    parsed(render(page))


def test_a_row_has_a_cell_for_each_column() -> None:
    with pytest.raises(ValueError, match="each of the 2 columns"):
        Table("", (Column("a"), Column("b")), (("1",),))


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (Cell("x", 1.5), "1.5"),
        (Cell("12 kB"), "12.0"),
        (Cell("1,631"), "1631.0"),
        (Cell("+0.08 [-0.03, +0.19]"), "0.08"),
        (Cell("-1e3"), "-1000.0"),
        (Cell("\N{MINUS SIGN}2"), "-2.0"),
        (Cell("33 (17 lost, 9 won)"), "33.0"),
        (Cell("0.35/0.42"), "0.35"),
        (Cell("-"), ""),
        (Cell("not measured"), ""),
        (Cell("inf", math.inf), "Infinity"),
        (Cell("-inf", -math.inf), "-Infinity"),
        (Cell("nan", math.nan), ""),
    ],
)
def test_numbers_sort_by_their_value(cell: Cell, expected: str) -> None:
    assert order(cell, Column("", Kind.NUMBER)) == expected


def test_texts_sort_by_their_letters_unless_told_otherwise() -> None:
    assert order(Cell("12"), Column("")) == ""
    assert order(Cell("large", 3), Column("")) == "3.0"


@given(st.text())
def test_marks_leave_the_letters_of_any_text(text: str) -> None:
    document = parsed(f"<p>{inline(text)}</p>")
    shown = "".join(document.texts)
    removed = re.sub(r"[`*\[\]()]", "", text.replace("\r\n", "\n").replace("\r", "\n"))
    kept = re.sub(r"[`*\[\]()]", "", shown.replace("\r\n", "\n").replace("\r", "\n"))
    if not any(tag == "a" for tag, _ in document.tags):
        assert kept == removed
    assert {tag for tag, _ in document.tags} <= {"p", "a", "code", "strong"}


@given(st.text())
def test_any_text_makes_a_whole_document(text: str) -> None:
    table = Table(text, (Column(text, note=text),), ((text,),))
    section = Section(text, (Prose(text), table, Facts(((text, text),))))
    parsed(render(Page(text, text, (section,) * 3, text, ((text, text),))))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-", "-"),
        ("90.5", "90.5"),
        ("top-1 %", "<span>top-1</span> %"),
        ("drop, points [95 %]", "drop, points <span>[95 %]</span>"),
        ("+0.06 [-0.05, +0.17]", "+0.06 <span>[-0.05, +0.17]</span>"),
        ("38 (18 lost, 12 won)", "38 <span>(18 lost, 12 won)</span>"),
        ("f(a b)c (", "<span>f(a b)c</span> ("),
        ("<b> -", "&lt;b&gt; -"),
        ("", ""),
    ],
)
def test_lines_break_between_words_and_brackets(text: str, expected: str) -> None:
    assert pieces(text) == expected


def test_ids_of_sections_are_their_titles() -> None:
    assert slug("What breaks it: outliers, 4 bits") == "what-breaks-it-outliers-4-bits"
    assert slug("???") == "section"
