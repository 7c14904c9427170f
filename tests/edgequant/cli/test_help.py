"""Help pages: what each option says of itself is what the code does."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from edgequant.cli.main import cli
from edgequant.cli.sections import HELP_NAMES, Section, SectionedOption
from export.bundles.target import ship_targets
from models.training.recipe import TrainingRecipe
from quantize.qat.exchange import QatSettings


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command, with the words that call it."""
    for name, command in cli.commands.items():
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", c) for inner, c in command.commands.items())
        else:
            yield name, command


COMMANDS = dict(commands())


def context_of(command: click.Command) -> click.Context:
    """Context of a command that runs: click keeps the help option of the first one."""
    parent = click.Context(cli, info_name="edgequant", **cli.context_settings)
    return parent if command is cli else click.Context(command, parent=parent)


def help_of(name: str, option: str) -> str:
    """Help text of an option."""
    options = {text: p for p in COMMANDS[name].params for text in p.opts}
    found = options[option]
    assert isinstance(found, SectionedOption)
    return found.help or ""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_sentence_and_its_values_have_a_name(name: str) -> None:
    command = COMMANDS[name]
    context = context_of(command)
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            text = parameter.help or ""
            assert re.match(r"[A-Z].*\.$", text), f"{name} {parameter.opts[0]}: {text!r}"
            if not (parameter.is_flag or isinstance(parameter.type, click.Choice)):
                metavar = parameter.make_metavar(context)
                assert metavar not in ("TEXT", "PATH", "INTEGER RANGE", "FLOAT RANGE"), parameter


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_lists_each_option_once_in_sections_of_one_order(name: str) -> None:
    command = COMMANDS[name]
    lines = command.get_help(context_of(command)).splitlines()
    titles = [line[:-1] for line in lines if line and line[0] != " " and line.endswith(":")]
    known = [section.value for section in Section]
    assert titles == sorted(titles, key=known.index)
    tables = lines[lines.index(f"{titles[0]}:") :]
    listed = [line.split()[0].rstrip(",") for line in tables if line.startswith("  -")]
    expected = [p.opts[0] for p in command.params if isinstance(p, click.Option) and not p.hidden]
    assert sorted(listed) == sorted([*expected, "-h"])


def test_no_summary_of_a_command_is_cut_on_a_terminal_of_80_columns() -> None:
    context = context_of(cli)
    context.terminal_width = 80
    page = cli.get_help(context)
    summaries = page.partition("Commands:\n")[2].partition("\n\n")[0]
    assert len(summaries.splitlines()) == len(cli.commands)
    assert "..." not in summaries


@pytest.mark.parametrize(
    ("name", "option", "default"),
    [
        ("train", "--epochs", TrainingRecipe().epochs),
        ("train", "--batch-size", TrainingRecipe().batch_size),
        ("train", "--learning-rate", TrainingRecipe().learning_rate),
        ("train", "--holdout", TrainingRecipe().holdout),
        ("train", "--seed", TrainingRecipe().seed),
        ("quantize", "--qat-epochs", QatSettings().epochs),
        ("quantize", "--qat-learning-rate", QatSettings().learning_rate),
    ],
)
def test_a_default_in_a_sentence_is_that_of_the_code(name: str, option: str, default: int) -> None:
    assert help_of(name, option).endswith(f"; {default} by default.")


def test_the_platforms_are_named() -> None:
    assert help_of("ship", "--for").partition(": ")[2] == f"{', '.join(ship_targets())}."


def test_an_option_for_several_names_may_be_given_several_times() -> None:
    words = ["--model=m", "--recipe=tflite-int8", "--recipe", "onnx-int8,onnx-float16"]
    command = COMMANDS["quantize"]
    context = command.make_context("quantize", words, help_option_names=[*HELP_NAMES])
    assert context.params["recipes"] == "tflite-int8,onnx-int8,onnx-float16"
