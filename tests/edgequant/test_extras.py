"""Extras: the table and pyproject.toml name the same ones, and a missing one is one sentence."""

from __future__ import annotations

import sys
import tomllib

import pytest

from edgequant.docs import HOME
from foundation.errors import UnsupportedError
from foundation.extras import EXTRAS, PAGES, Extra
from tests.edgequant.conftest import Run

_SETTINGS = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.parametrize("extra", EXTRAS, ids=[extra.name for extra in EXTRAS])
def test_an_extra_installs_the_modules_that_it_is_asked_for(extra: Extra) -> None:
    texts = _SETTINGS["optional-dependencies"][extra.name]
    names = {text.split("=")[0].strip(">").replace("-", "_") for text in texts}
    assert names == set(extra.modules)
    base = {text.split(">")[0].replace("-", "_") for text in _SETTINGS["dependencies"]}
    assert not base & names


def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert PAGES.missing() == ("jinja2",)
    with pytest.raises(UnsupportedError, match=r"^pages and figures need the extra 'pages'; rec"):
        PAGES.require()


@pytest.mark.parametrize(
    "words",
    [
        ("compare", "--model", "no.keras", "--data", "nothing:test"),
        ("sensitivity", "--model", "no.keras", "--calibration", "nothing"),
        ("cost", "--grid"),
        ("cost", "--html"),
        ("ship", "--for", "c", "--model", "no.keras"),
        ("study", "relu6"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_commands_with_pages_ask_before_they_work(
    run: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    outcome = run(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert "received an installation without matplotlib: install edgequant[pages]" in outcome.err
