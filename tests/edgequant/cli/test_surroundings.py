"""``edgequant`` alone, and completion in shells."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from edgequant.cli.completing import completions
from edgequant.cli.main import cli, main
from edgequant.cli.surroundings import VARIABLE
from edgequant.cli.welcome import WELCOME
from models.spec import model_specs
from quantize.recipes import RECIPES
from tests.edgequant.conftest import Run


def test_without_an_argument_it_says_what_it_is(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([])
    assert not stop.value.code
    assert capfd.readouterr().out == f"{WELCOME}\n"
    assert max(map(len, WELCOME.splitlines())) <= 100


@pytest.mark.parametrize(
    "line", [line.strip() for line in WELCOME.splitlines() if line.startswith("  edgequant ")]
)
def test_every_command_of_the_welcome_can_be_typed(line: str) -> None:
    _, name, *words = shlex.split(line)
    parent = click.Context(cli, info_name="edgequant", **cli.context_settings)
    cli.commands[name].make_context(name, words, parent=parent)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script_that_asks_this_program(run: Run, shell: str) -> None:
    outcome = run("completion", shell)
    assert outcome.code == 0
    assert f"{VARIABLE}={shell}_complete" in outcome.out


@pytest.mark.slow
def test_a_shell_is_answered() -> None:
    asked = {"COMP_WORDS": "edgequant quan", "COMP_CWORD": "1", VARIABLE: "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-m", "edgequant"],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "plain,quantize\n"


def test_names_complete_before_files() -> None:
    recipes = [item.value for item in completions("recipes", "onnx-int8,tflite-")]
    assert recipes == [f"onnx-int8,{r.name}" for r in RECIPES if r.name.startswith("tflite-")]
    assert {item.value for item in completions("model", "")} == set(model_specs())
    assert "fashion_mnist:test" in {item.value for item in completions("data", "fash")}
    (file,) = completions("model", "photos/")
    assert file.type == "file"
    (other,) = completions("preprocessing", "x")
    assert other.type == "file"


def test_paths_complete_to_files(tmp_path: Path) -> None:
    command = cli.commands["lint"]
    (model,) = (p for p in command.params if p.name == "model")
    (item,) = model.shell_complete(click.Context(command, **cli.context_settings), str(tmp_path))
    assert item.type in ("file", "dir")
