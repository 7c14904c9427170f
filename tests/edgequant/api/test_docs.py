"""The page on Python says what is so: its blocks are run, and it speaks of every name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import edgequant
from edgequant.docs import HOME

PAGE = HOME / "docs" / "python.md"


def _blocks() -> list[str]:
    return re.findall(
        r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def test_the_page_speaks_of_every_function_and_error() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in edgequant.__all__:
        if name[0].islower() or name.endswith("Error"):
            assert f"eq.{name}" in text, name


@pytest.mark.slow
def test_the_blocks_of_the_page_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile("\n".join(_blocks()), str(PAGE), "exec"), {"__name__": "page"})
    out = capsys.readouterr().out
    assert "tflite-int8: 0 of 200" in out
    assert "missing.keras" in out
    assert len(list((here / "report").iterdir())) == 4
    assert (here / "app" / "mine.tflite").is_file()
