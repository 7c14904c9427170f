"""Types of options that commands share; they refuse bad values before any work is done."""

from __future__ import annotations

import errno
import math
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from foundation.foreign import printable, reason_of

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

MOST = 2**31 - 1
"""Largest number of anything that is counted: images, epochs, pixels."""
PLAIN = "plain"
"""Value of --channels for arrays of numbers."""
LARGEST_SEED = 2**32 - 1
"""Largest seed of NumPy and Keras: 32 bits."""


class Text(click.types.StringParamType):
    """Text that is not empty and has no control characters."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text itself, once it is checked."""
        text = str(value)
        if not text.strip():
            self.fail("an empty text says nothing; leave the option out.", param, ctx)
        if printable(text) != text:
            self.fail(f"{printable(text)} is not printable text.", param, ctx)
        return text

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,
        incomplete: str,
    ) -> list[CompletionItem]:
        """Registered names of what the parameter takes, or files."""
        from edgequant.cli.completing import completions

        return completions(param.name or "", incomplete)


class NameOrPath(Text):
    """Text that may be a path: if that path exists, it is a file or a folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text itself, once it is checked."""
        text = super().convert(value, param, ctx)
        if why := _unusable(text):
            self.fail(
                f"{_brief(text)} is no file or folder that can be opened ({why}).", param, ctx
            )
        return text


class ChannelsText(click.types.StringParamType):
    """Channels of the input as a text: a name, a number, or ``plain``."""

    name = "channels"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text itself, once it is checked."""
        from calibration_data.channels import CHANNELS_SYNTAX, parsed_channels

        text = str(value).lower()
        if text != PLAIN:
            try:
                parsed_channels(text)
            except ValueError:
                self.fail(
                    f"{_brief(printable(text))} is not {CHANNELS_SYNTAX}, or {PLAIN}.", param, ctx
                )
        return text


class FilePath(click.Path):
    """Path of a file or a folder, which need not exist."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """Path from a text."""
        text = NameOrPath().convert(os.fspath(value), param, ctx)
        return super().convert(text, param, ctx)


class Finite(click.FloatRange):
    """Finite number between bounds; NaN, which no comparison with a bound refuses, is refused."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Finite number from a text."""
        number: float = click.FLOAT.convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{number:g} is not a finite number.", param, ctx)
        bounded: float = super().convert(number, param, ctx)
        return bounded


def _unusable(text: str) -> str:
    """Reason why a path cannot be opened; empty if it can, or does not exist."""
    try:
        mode = os.stat(text).st_mode  # noqa: PTH116 - Path.exists hides some errors
    except OSError as error:
        missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
        return "" if missing else reason_of(error)
    except ValueError as error:
        return reason_of(error)
    usable = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    return "" if usable else "it is a pipe, a socket or a device"


def _brief(text: str, longest: int = 60) -> str:
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text)} letters)"


TEXT = Text()
NAME_OR_PATH = NameOrPath()
PATH = FilePath()
CHANNELS = ChannelsText()
COUNT = click.IntRange(1, MOST)
SEED = click.IntRange(0, LARGEST_SEED)
