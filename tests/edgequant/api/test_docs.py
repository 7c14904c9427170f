"""The page on Python says what is so: its blocks are run, and it speaks of every name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
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
def test_the_blocks_of_the_page_run(tmp_path: Path) -> None:
    program = tmp_path / "page.py"
    program.write_text("\n".join(_blocks()), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(HOME)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "tflite-int8: 0 of 200" in done.stdout
    assert "missing.keras" in done.stdout
    assert len(list((tmp_path / "report").iterdir())) == 4
    assert (tmp_path / "app" / "mine.tflite").is_file()
