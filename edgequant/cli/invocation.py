"""Command line of the running command, ready to be typed again."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from typing import Protocol, runtime_checkable

import click
from click.core import ParameterSource

_LEFT_OUT = {"as_json", "debug", "force", "wide"}


@runtime_checkable
class Caller(Protocol):
    """Object of click's context that stands for a call from Python.

    Attributes:
        call: the call, as its author wrote it.
    """

    call: str


def command_line() -> str:
    """Running command with the options that the user gave.

    Options that do not change the result are left out. Outside of a command: the program's name.
    A program that runs the command line itself may name its own call (``Caller``).
    """
    context = click.get_current_context(silent=True)
    if context is None:
        return "edgequant"
    if isinstance(context.obj, Caller):
        return context.obj.call
    return shlex.join([*context.command_path.split(), *given_words(context)])


def given_words(context: click.Context, left_out: Collection[str] = ()) -> list[str]:
    """Words of the options and arguments that the user gave, without those that change no result.

    Args:
        context: context of the command.
        left_out: names of parameters to leave out as well.
    """
    words: list[str] = []
    for parameter in context.command.params:
        name = parameter.name or ""
        by_user = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if by_user and name not in _LEFT_OUT and name not in left_out:
            words += _words(parameter, context.params[name])
    return words


def _words(parameter: click.Parameter, value: object) -> list[str]:
    if isinstance(parameter, click.Argument):
        return [str(value)]
    option = max(parameter.opts, key=len)
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return [option if value else max(parameter.secondary_opts, key=len)]
    values = value if isinstance(value, tuple) else (value,)
    return [word for one in values for word in (option, str(one))]
