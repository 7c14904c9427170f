"""Keyword arguments are the options of the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_type_hints

import click
import numpy as np
import pytest

from edgequant.api import calls, options
from edgequant.cli.main import cli
from foundation.errors import InvalidInputError

OWN = {"model", "artifact", "plan", "recipe", "recipes", "data", "calibration", "reference"}
"""Options that are parameters of the functions themselves, with the preprocessing as one."""
OWN |= {"output", "preprocessing"}
NOT_OF_PYTHON = {"json", "debug", "wide"}

COMMANDS = {
    "quantize": options.QuantizeOptions,
    "evaluate": options.EvaluateOptions,
    "compare": options.CompareOptions,
    "plan apply": options.ApplyOptions,
    "sweep": options.SweepOptions,
}
WITH_A_CONTRACT = set(COMMANDS) - {"sweep"}


def _options(name: str) -> dict[str, click.Parameter]:
    command: Any = cli
    for word in name.split():
        command = command.commands[word]
    return {
        p.opts[0].removeprefix("--").replace("-", "_"): p
        for p in command.params
        if isinstance(p, click.Option) and not p.hidden
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_has_a_name_in_python(name: str) -> None:
    mine = set(get_type_hints(COMMANDS[name]))
    if name in WITH_A_CONTRACT:
        mine |= set(get_type_hints(options.Preprocessing))
    assert mine == set(_options(name)) - OWN - NOT_OF_PYTHON


@pytest.mark.parametrize("name", COMMANDS)
def test_choices_are_those_of_the_command(name: str) -> None:
    hints = get_type_hints(COMMANDS[name]) | get_type_hints(options.Preprocessing)
    for option, parameter in _options(name).items():
        if isinstance(parameter.type, click.Choice) and option not in OWN:
            assert get_args(hints[option]) == tuple(parameter.type.choices), option


def test_words_of_values() -> None:
    words = options.option_words(
        {
            "latency": False,
            "force": True,
            "trust": False,
            "limit": None,
            "max_drop": -1.5,
            "keep_float": ["conv1", "conv2"],
        },
        options.QuantizeOptions,
        "quantize",
    )
    assert words == ["--no-latency", "--force", "--max-drop=-1.5", "--keep-float=conv1,conv2"]


def test_an_unknown_argument_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"quantize\(\) got an unexpected keyword argument 'bits'"):
        calls.quantize("mobilenet_v2", bits=4)  # type: ignore[call-arg]


def test_words_of_a_preprocessing(tmp_path: Path) -> None:
    words = options.preprocessing_words(
        {"mean": np.array([1.0, 2.5]), "std": 127.5, "labels": ["cat", "dog"]}, tmp_path
    )
    assert words == ["--mean=1.0,2.5", "--std=127.5", f"--labels={tmp_path / 'labels.txt'}"]
    assert (tmp_path / "labels.txt").read_text() == "cat\ndog\n"
    assert options.preprocessing_words(tmp_path / "a.toml", tmp_path) == [
        "--preprocessing",
        str(tmp_path / "a.toml"),
    ]
    with pytest.raises(InvalidInputError, match="received means"):
        options.preprocessing_words({"means": 1.0}, tmp_path)  # type: ignore[typeddict-unknown-key]
