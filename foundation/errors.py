"""The error tree of the project, on its ground floor: this file imports nothing of it.

EdgequantError                  anything the command line turns into one sentence
├── InvalidInputError           the user's input breaks a rule             exit code 2
│   └── UnsupportedError        a request that a target cannot honour      exit code 2
└── GateFailedError             a limit the user set was not kept          exit code 1

A message is one sentence: the rule, then what was received, then what to do.
"""

from __future__ import annotations

MOST_SHOWN = 1000
"""Characters of what was received that a message shows."""


def printable(text: object) -> str:
    """A text without control characters or lone surrogates, as any terminal can show it."""
    shown = str(text).encode("utf-8", "backslashreplace").decode("utf-8")
    lines = " ".join(shown.split("\n"))
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in lines)


class EdgequantError(Exception):
    """Base of every error that a user can cause.

    Args:
        rule: what must hold, without a full stop.
        received: what came instead.
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


class InvalidInputError(EdgequantError):
    """Input that breaks a rule: a file, a flag, a dataset, a model."""


class UnsupportedError(InvalidInputError):
    """A request that cannot be honoured as asked; nothing else is done in its place."""


class GateFailedError(EdgequantError):
    """A limit set by the user (such as ``--max-drop``) was not kept; the results stand."""

    exit_code = 1
