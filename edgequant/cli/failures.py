"""Errors of a command's surroundings, one sentence each: names, folders, memory."""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from io import StringIO
from typing import Any

import click

from edgequant.cli.streams import EX_PIPE, say_error
from foundation.errors import EdgequantError, InvalidInputError
from foundation.foreign import printable, reason_of

_EX_SOFTWARE = 70
_LONGEST_WORD = 300
_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TOO_MANY = (errno.EMFILE, errno.ENFILE, errno.EAGAIN)
_SAVINGS = {
    "samples": "--samples",
    "limit": "--limit",
    "vectors": "--vectors",
    "batch_size": "--batch-size",
    "size": "--size",
    "alpha": "--alpha",
}
"""Options by parameter that save memory when their values are smaller."""


def check_surroundings(arguments: Sequence[str]) -> None:
    """Refuse arguments and folders that no command can work with, before one starts.

    Args:
        arguments: words of the command line.

    Raises:
        InvalidInputError: an argument is not UTF-8, or the current folder was deleted or cannot be
            read.
    """
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise _not_text(argument) from error
    try:
        here = os.getcwd()  # noqa: PTH109 - Path.cwd is the same call
        os.stat(here)  # noqa: PTH116
    except OSError as error:
        raise InvalidInputError(
            "a command runs in a folder that exists and can be read",
            received=f"a current folder that cannot ({reason_of(error)})",
            remedy="change into another folder",
        ) from error


def _not_text(argument: str) -> InvalidInputError:
    encoding = sys.getfilesystemencoding()
    if encoding.replace("-", "").lower() != "utf8":
        return InvalidInputError(
            f"arguments are letters of the terminal's encoding, {encoding}",
            received=printable(argument),
            remedy="set a UTF-8 locale, such as LC_ALL=C.UTF-8",
        )
    return InvalidInputError(
        "arguments are UTF-8 text",
        received=printable(argument),
        remedy="rename that file or folder",
    )


def shortened(message: str) -> str:
    """Message whose very long words (digits, names) are cut in the middle."""
    return re.sub(
        rf"\S{{{_LONGEST_WORD},}}", lambda word: f"{word[0][:80]}...{word[0][-40:]}", message
    )


def out_of_memory(error: MemoryError, arguments: Sequence[str], group: click.Group) -> str:
    """Sentence for work that does not fit into memory.

    Args:
        error: its notes say what was being done, innermost first.
        arguments: words of the command line.
        group: commands of the command line.
    """
    words = [word for word in arguments if not word.startswith("-")]
    command = group.commands.get(words[0]) if words else None
    parameters = set() if command is None else {parameter.name for parameter in command.params}
    smaller = [option for name, option in _SAVINGS.items() if name in parameters]
    task = next(iter(getattr(error, "__notes__", ())), words[0] if words else "the command")
    remedy = f"give a smaller {' or '.join(smaller[:3])}, " if smaller else "give smaller files, "
    return (
        f"{printable(task)} fits into memory; received more than there is: "
        f"{remedy}or use a machine with more."
    )


def system_error(error: OSError) -> EdgequantError:
    """Sentence for an error of the operating system that no other module has explained."""
    named = printable(error.filename) if error.filename else "a call to the system"
    remedy = "check the path and its permissions"
    if error.errno in _ROOM:
        remedy = "free space there or in the folder for temporary files (TMPDIR)"
    elif error.errno in _TOO_MANY:
        remedy = "close other programs, or raise the limit (ulimit)"
    elif "temporary" in str(error):
        remedy = "set TMPDIR to a folder that can be written"
    return InvalidInputError(
        "the system lets a command read its input and write its output",
        received=f"{named} ({reason_of(error)})",
        remedy=remedy,
    )


def report_bug(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Print the traceback of an error of this program, and exit with 70."""
    if sys.stderr is not None:
        with suppress(OSError):
            traceback.print_exception(kind, error, trace)
    say_error("edgequant: this is a bug; please report it with the lines above.")
    os._exit(_EX_SOFTWARE)


def report_failure(message: str, code: int, arguments: list[str]) -> int:
    """Print what went wrong, with the traceback if ``arguments`` hold --debug.

    Returns:
        Exit code, as it was passed.
    """
    if code == EX_PIPE:
        return code
    if "--debug" in arguments:
        traceback.print_exc()
    click.echo(f"edgequant: {shortened(printable(message))}", err=True)
    return code


def show_usage(error: click.ClickException) -> int:
    """Print which option or argument is wrong, without control characters.

    Returns:
        Exit code of bad input.
    """
    usage = StringIO()
    error.show(usage)
    for line in usage.getvalue().splitlines():
        click.echo(shortened(printable(line)), err=True)
    return 2
