"""Pages as headless Chromium shows them: both themes, a phone, paper, keyboard, no scripts."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from reports import cost_page, sensitivity_page, ship_page
from reports.html import write_page
from studies.relu6.page import page_of
from studies.relu6.results import Results, committed
from tests.reports.chromium import Browser, chromium
from tests.reports.samples import comparison, everything, far
from tests.reports.task_samples import measured, task_page
from tests.reports.test_command_pages import COSTS, FILES, RANKING, manifest
from tests.reports.test_memory_figure import PLAN
from tests.reports.test_sweep_page import sweep_page

pytestmark = pytest.mark.browser

_CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One Chromium for all tests."""
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page with every kind of part, and one of each command."""
    folder = tmp_path_factory.mktemp("pages")
    made = {
        "everything": everything(),
        "compare": comparison(),
        "far": far(),
        "tasks": task_page(measured()),
        "sweep": sweep_page(),
        "sensitivity": sensitivity_page.page(RANKING, "edgequant sensitivity"),
        "cost": cost_page.layers_page(COSTS, "edgequant cost --html"),
        "ship": ship_page.page(manifest(), FILES, [], "edgequant ship", (), PLAN),
        "relu6": page_of(Results.read(committed())),
    }
    for name, page in made.items():
        write_page(page, folder / f"{name}.html")
    return {name: folder / f"{name}.html" for name in made}


@pytest.fixture(
    params=["everything", "compare", "tasks", "sweep", "sensitivity", "cost", "ship", "relu6"]
)
def path(request: pytest.FixtureRequest, pages: dict[str, Path]) -> Path:
    """Each page in turn."""
    found: Path = pages[request.param]
    return found


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_shows_without_an_error_or_a_request(
    browser: Browser, path: Path, width: int, scheme: str
) -> None:
    browser.show(path, width=width, scheme=scheme)
    shot = base64.b64decode(
        browser.command("Page.captureScreenshot", captureBeyondViewport=True)["data"]
    )
    image = Image.open(io.BytesIO(shot))
    assert image.width == width
    colors = image.convert("RGB").getcolors(1 << 24)
    assert colors is not None
    assert len(colors) > 50
    dark = sum(max(colors)[1]) < 3 * 128
    assert dark is (scheme == "dark")
    assert [entry["message"] for entry in browser.driver.get_log("browser")] == []
    events = [json.loads(e["message"])["message"] for e in browser.driver.get_log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert path.as_uri() in asked
    assert {url for url in asked if not url.startswith("data:")} == {path.as_uri()}


def test_the_policy_stops_what_a_page_would_load(browser: Browser, path: Path) -> None:
    browser.show(path)
    browser.run(
        "const image = new Image(); image.src = 'https://example.org/x.png';"
        "document.body.append(image);"
    )
    told = " ".join(entry["message"] for entry in browser.driver.get_log("browser"))
    assert "Content Security Policy" in told


@pytest.mark.parametrize("width", WIDTHS)
def test_only_tables_and_figures_scroll_sideways(browser: Browser, path: Path, width: int) -> None:
    browser.show(path, width=width)
    root = "document.documentElement"
    assert browser.run(f"return {root}.scrollWidth <= {root}.clientWidth")
    assert browser.run("return document.body.scrollWidth <= document.body.clientWidth")
    cut = browser.run(
        "return Array.from(document.querySelectorAll('body *')).filter((e) => "
        "!e.closest('.scroll') && !e.closest('.visually-hidden') && !e.closest('.skip') && "
        "e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 99))"
    )
    assert cut == []


@pytest.mark.parametrize(
    "name", ["compare", "far", "tasks", "sweep", "sensitivity", "cost", "ship", "relu6"]
)
def test_no_table_scrolls_on_a_laptop(browser: Browser, pages: dict[str, Path], name: str) -> None:
    browser.show(pages[name])
    widths = browser.run(
        "return Array.from(document.querySelectorAll('.table .scroll'), "
        "(e) => [e.scrollWidth, e.clientWidth])"
    )
    assert widths
    assert [(table, box) for table, box in widths if table > box] == []


def test_rows_take_two_lines_only_where_figures_are_too_wide_for_one(
    browser: Browser, pages: dict[str, Path]
) -> None:
    heights = (
        "return Array.from(document.querySelector('.table tbody').rows, (row) => row.offsetHeight)"
    )
    lines = []
    for name, width in (("compare", 1280), ("far", 1280), ("far", 390)):
        browser.show(pages[name], width=width)
        lines.append(max(browser.run(heights)))
    assert lines[0] == lines[2] < 35 < lines[1]  # a phone scrolls


def test_proofs_are_read_on_a_phone_without_scrolling(
    browser: Browser, pages: dict[str, Path]
) -> None:
    browser.show(pages["ship"], width=360)
    script = (
        "const table = document.querySelector('table.sentences');"
        "const right = (e) => e.getBoundingClientRect().right;"
        "return [table.closest('.scroll').scrollWidth <= table.closest('.scroll').clientWidth,"
        "Array.from(table.querySelectorAll('tbody td:last-child')).map(right)]"
    )
    fits, edges = browser.run(script)
    assert fits
    assert edges
    assert max(edges) <= 360


def test_what_scrolls_can_be_reached_by_keyboard(browser: Browser, pages: dict[str, Path]) -> None:
    stops = (
        "return new Promise((done) => requestAnimationFrame(() => setTimeout(() => done("
        "Array.from(document.querySelectorAll('.scroll'), (e) => "
        "[e.scrollWidth > e.clientWidth, e.tabIndex])))))"
    )
    for width, some in ((1280, False), (390, True)):
        browser.show(pages["compare"], width=width)
        boxes = browser.run(stops)
        assert any(scrolls for scrolls, _ in boxes) is some
        assert all(place == (0 if scrolls else -1) for scrolls, place in boxes)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_what_is_behind_them(
    browser: Browser, path: Path, scheme: str
) -> None:
    browser.show(path, scheme=scheme)
    browser.run("for (const e of document.querySelectorAll('details')) e.open = true")
    measured = browser.run(_CONTRAST)
    assert len(measured) > 30
    weak = [entry for entry in measured if entry["ratio"] < 4.5]
    assert weak == []


def test_the_theme_is_toggled_and_not_stored(browser: Browser, pages: dict[str, Path]) -> None:
    browser.show(pages["compare"], scheme="light")
    button = browser.driver.find_element(By.ID, "theme")
    probes = (
        ("body", "color"),
        ("body", "backgroundColor"),
        (".plot text", "fill"),
        ("a", "color"),
    )
    light = [browser.color(*probe) for probe in probes]
    scheme = browser.color("body", "colorScheme")
    assert button.text == "Dark theme"
    button.click()
    dark = [browser.color(*probe) for probe in probes]
    assert all(before != after for before, after in zip(light, dark, strict=True))
    assert button.text == "Light theme"
    assert [scheme, browser.color("body", "colorScheme")] == ["light", "dark"]
    button.send_keys(Keys.SPACE)
    assert [browser.color(*probe) for probe in probes] == light
    button.click()
    browser.driver.refresh()
    assert [browser.color(*probe) for probe in probes] == light
    assert browser.run("return document.cookie") == ""


def test_the_preferred_theme_comes_first(browser: Browser, pages: dict[str, Path]) -> None:
    browser.show(pages["compare"], scheme="dark")
    dark = browser.color("body", "backgroundColor")
    assert browser.driver.find_element(By.ID, "theme").text == "Light theme"
    browser.media("screen", "light")
    assert browser.color("body", "backgroundColor") != dark
    button = browser.driver.find_element(By.ID, "theme")
    WebDriverWait(browser.driver, 10).until(lambda _: button.text == "Dark theme")  # an event later


def _heads(browser: Browser) -> list[Any]:
    return list(browser.driver.find_elements(By.CSS_SELECTOR, "main table:first-of-type thead th"))[
        :3
    ]


def test_a_click_sorts_by_value_and_again_the_other_way(
    browser: Browser, pages: dict[str, Path]
) -> None:
    browser.show(pages["everything"])
    before = browser.column(0)
    heads = _heads(browser)
    size = heads[1].find_element(By.TAG_NAME, "button")
    size.click()
    assert browser.column(1) == ["7", "12", "90.5", "1,000", "-"]
    assert [head.get_attribute("aria-sort") for head in heads] == [None, "ascending", None]
    assert browser.driver.find_element(By.ID, "status").get_attribute("textContent") == (
        "Sorted by size kB, ascending"
    )
    size.click()
    assert browser.column(1) == ["1,000", "90.5", "12", "7", "-"]
    assert heads[1].get_attribute("aria-sort") == "descending"
    heads[2].find_element(By.TAG_NAME, "button").click()
    assert browser.column(2) == [
        "-1.25 [-2.0, -0.5]", "7e-3 of 1", "+0.5 [0.1, 0.9]", "inf", "n/a",
    ]  # fmt: skip
    assert heads[1].get_attribute("aria-sort") is None
    assert sorted(browser.column(0)) == sorted(before)


@pytest.mark.parametrize("key", [Keys.ENTER, Keys.SPACE])
def test_the_keyboard_sorts(browser: Browser, pages: dict[str, Path], key: str) -> None:
    browser.show(pages["everything"])
    body = browser.driver.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    assert browser.driver.switch_to.active_element.text == "Skip to the content"
    for _ in range(60):
        active = browser.driver.switch_to.active_element
        if active.tag_name == "button" and active.text == "name":
            break
        active.send_keys(Keys.TAB)
    assert browser.color(":focus", "outlineStyle") == "solid"
    assert browser.color(":focus", "outlineWidth") == "2px"
    browser.driver.switch_to.active_element.send_keys(key)
    names = browser.column(0)
    assert names.index("alpha") < names.index("beta 9") < names.index("beta 10")
    assert names.index("beta 10") < names.index("Gamma")


def test_the_skip_link_leads_to_the_content(browser: Browser, pages: dict[str, Path]) -> None:
    browser.show(pages["compare"])
    browser.driver.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    skip = browser.driver.switch_to.active_element
    assert skip.rect["x"] >= 0
    skip.send_keys(Keys.ENTER)
    assert browser.driver.switch_to.active_element.get_attribute("id") == "content"


def test_everything_is_there_without_scripts(browser: Browser, pages: dict[str, Path]) -> None:
    browser.show(pages["compare"])
    rows = browser.run("return document.querySelectorAll('tbody tr').length")
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    browser.driver.refresh()
    tree = browser.command("DOM.getDocument", depth=0)["root"]["nodeId"]

    def count(selector: str) -> int:
        found = browser.command("DOM.querySelectorAll", nodeId=tree, selector=selector)
        return len(found["nodeIds"])

    assert count("tbody tr") == rows > 10
    assert count("thead button") == 0
    assert count("#theme[hidden]") == 1
    browser.command("Emulation.setScriptExecutionDisabled", value=False)


def test_paper_is_white_and_has_no_buttons(browser: Browser, pages: dict[str, Path]) -> None:
    browser.show(pages["compare"], scheme="dark")
    browser.media("print", "dark")
    assert browser.color("body", "backgroundColor") == "rgb(255, 255, 255)"
    for selector in ("#theme", ".contents", ".skip"):
        assert browser.color(selector, "display") == "none"
    assert browser.color("tr", "breakInside") == "avoid"
    browser.media("screen", "dark")
    browser.driver.find_element(By.ID, "theme").click()
    browser.driver.find_element(By.ID, "theme").click()
    browser.media("print", "dark")
    assert browser.color("body", "backgroundColor") == "rgb(255, 255, 255)"
    printed = base64.b64decode(browser.command("Page.printToPDF", preferCSSPageSize=True)["data"])
    assert printed.startswith(b"%PDF-")
    assert browser.run(
        "return Array.from(document.querySelectorAll('details')).every((e) => e.open)"
    )


def test_names_and_roles_are_there_for_those_who_listen(
    browser: Browser, pages: dict[str, Path]
) -> None:
    browser.show(pages["everything"])
    tree = browser.command("Accessibility.getFullAXTree")["nodes"]
    roles = [(n["role"]["value"], n.get("name", {}).get("value", "")) for n in tree if "role" in n]
    named = dict(roles)
    assert {"banner", "navigation", "main", "contentinfo", "table", "columnheader"} <= set(named)
    images = [name for role, name in roles if role == "image"]
    assert len([name for name in images if name.startswith("alternative")]) == 2
    assert all(name for role, name in roles if role in {"button", "link", "table", "region"})
