"""What every command promises: quick help, clean output, docs that agree, rooms that are ours."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from edgequant.docs import HOME, PAGES, rendered
from edgequant.rooms import ROOMS
from models.spec import model_specs
from quantize.recipes import RECIPES
from tests.edgequant.conftest import Run

HEAVY = ("numpy", "tensorflow", "keras", "onnx", "onnxruntime", "ai_edge_litert", "PIL", "rich")


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys; from edgequant.cli.main import cli\n"
        "try: cli.main(['quantize', '--help'])\n"
        f"except SystemExit: print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("what", ["models", "recipes", "datasets", "runtimes", "targets", "tasks"])
def test_list_prints_json_alone(run: Run, what: str) -> None:
    outcome = run("list", what, "--json")
    assert outcome.code == 0
    assert len(outcome.json[what]) >= 2
    assert outcome.err == ""


def test_list_names_every_model_and_recipe(run: Run) -> None:
    assert [row["name"] for row in run("list", "models", "--json").json["models"]] == list(
        model_specs()
    )
    shown = run("list", "recipes").out
    assert all(recipe.name in shown for recipe in RECIPES)


def test_unknown_option_and_command_exit_with_two(run: Run) -> None:
    assert run("quantise").code == 2
    assert run("quantize", "--recipe", "tflite-int8", "--bits", "4").code == 2


def test_every_room_that_a_wheel_holds_is_pinned() -> None:
    """The expected list is the one that the wheel is built from, not the one under test."""
    settings = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))
    included = settings["tool"]["setuptools"]["packages"]["find"]["include"]
    packages = {pattern.removesuffix("*") for pattern in included}
    there = {path.parent.name for path in HOME.glob("*/__init__.py")}
    assert packages == there - {"tests", "benchmarks"}
    assert set(ROOMS) == packages - {"edgequant"}


@pytest.mark.parametrize("start", ["module", "script"])
def test_rooms_are_ours_in_a_folder_with_rooms_of_its_own(tmp_path: Path, start: str) -> None:
    for room in ROOMS:
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text("raise SystemExit('the wrong room')")
    script = Path(sys.executable).with_name("edgequant")
    command = [sys.executable, "-m", "edgequant"] if start == "module" else [str(script)]
    done = subprocess.run(
        [*command, "list", "models", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "mobilenet_v2" in done.stdout


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_generated_docs_are_up_to_date(page: Path) -> None:
    text = (HOME / page).read_text(encoding="utf-8")
    assert rendered(text) == text, "run make docs"


def test_make_has_a_target_for_every_recipe() -> None:
    makefile = (HOME / "Makefile").read_text()
    listed = re.search(r"^RECIPES := ((?:.*\\\n)*.*)$", makefile, re.MULTILINE)
    assert listed is not None
    assert listed[1].replace("\\", "").split() == [recipe.name for recipe in RECIPES]
    for target in ("help", "setup", "compare", "train", "test", "lint", "bench", "clean"):
        assert re.search(rf"^{target}:.*## ", makefile, re.MULTILINE), target


def test_a_table_takes_the_columns_of_some_units() -> None:
    whole, part = (
        rendered(f"<!-- generated: figures c{units} -->\n<!-- end -->") for units in ("", " x")
    )
    assert "TFLite Micro: C, x" in part
    assert ", B |" in whole
    assert ", B |" not in part
    assert "| 204,288 |" in whole
