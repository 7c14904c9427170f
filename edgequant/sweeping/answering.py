"""Answers of a worker's process: a table of what can be asked, each a function of plain values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgequant.sweeping.calibrating import calibrated
from edgequant.sweeping.child import state
from edgequant.sweeping.floats import answered
from edgequant.sweeping.making import made
from edgequant.sweeping.shards import shard
from foundation.errors import EdgequantError
from foundation.foreign import reading

_ANSWERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "state": lambda _: state(),
    "task": made,
    "shard": shard,
    "calibration": calibrated,
    "float": answered,
}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Answer to a request; an error is one of its values, so that the process goes on.

    Args:
        request: ``do``, a name of the table, and what its function takes.
    """
    shown = str(request.get("shown", request["do"]))
    try:
        with reading(shown, "a task of a sweep runs to its end", "report it if it is a bug"):
            return _ANSWERS[request["do"]](request)
    except EdgequantError as error:
        return {"error": error_values(error)}


def error_values(error: EdgequantError) -> dict[str, Any]:
    """Error as plain values."""
    return {
        "type": type(error).__name__,
        "rule": error.rule,
        "received": error.received,
        "remedy": error.remedy,
        "sentence": str(error),
    }
