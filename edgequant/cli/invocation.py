"""The command that runs, as it can be typed again."""

from __future__ import annotations

import shlex

import click
from click.core import ParameterSource

_LEFT_OUT = {"as_json", "debug", "force"}


def command_line() -> str:
    """The running command with the options that the user gave.

    Options that change nothing about the result are left out. Outside of a command: the bare
    name.
    """
    context = click.get_current_context(silent=True)
    if context is None:
        return "edgequant"
    words = context.command_path.split()
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not given or name in _LEFT_OUT:
            continue
        words += _words(parameter, context.params[name])
    return shlex.join(words)


def _words(parameter: click.Parameter, value: object) -> list[str]:
    if isinstance(parameter, click.Argument):
        return [str(value)]
    option = max(parameter.opts, key=len)
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return [option]
    values = value if isinstance(value, tuple) else (value,)
    return [word for one in values for word in (option, str(one))]
