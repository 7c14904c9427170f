"""The error tree of the project; this file imports nothing else of it.

EdgequantError                  every error that the command line turns into one sentence
├── InvalidInputError           the user's input breaks a rule             exit code 2
│   └── UnsupportedError        a request that a target cannot honour      exit code 2
└── GateFailedError             a limit that the user set was exceeded     exit code 1

A message is one sentence: the rule, then what was received, then what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

MOST_SHOWN = 1000
"""Largest number of characters of the received value in a message."""


def printable(text: object) -> str:
    """Replace control characters and lone surrogates, so that any terminal can show the text."""
    shown = str(text).encode("utf-8", "backslashreplace").decode("utf-8")
    lines = " ".join(shown.split("\n"))
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in lines)


class EdgequantError(Exception):
    """Base of every error that a user can cause.

    Args:
        rule: what must hold, without a full stop.
        received: value that was received instead.
        remedy: what to do about it, in the imperative.
    """

    exit_code = 2

    def __init__(self, rule: str, *, received: object, remedy: str) -> None:
        self.rule = rule
        self.received = str(received)
        self.remedy = remedy
        shown = self.received
        if len(shown) > MOST_SHOWN:
            shown = f"{shown[: MOST_SHOWN - 3]}..."
        super().__init__(printable(f"{rule}; received {shown}: {remedy}."))

    def __reduce__(self) -> tuple[Callable[..., EdgequantError], tuple[str]]:
        """Form in which another process hands the error over."""
        return partial(type(self), received=self.received, remedy=self.remedy), (self.rule,)


class InvalidInputError(EdgequantError):
    """Input that breaks a rule: a file, a flag, a dataset, a model."""


class UnsupportedError(InvalidInputError):
    """A request that cannot be honoured exactly; nothing similar is done instead."""


class GateFailedError(EdgequantError):
    """A limit that the user set (such as ``--max-drop``) was exceeded; the results are valid."""

    exit_code = 1
