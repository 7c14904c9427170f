"""Files between a program and the process that works for it: job, outcome, error."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from foundation import errors
from foundation.errors import EdgequantError, InvalidInputError

_JOB, _OUTCOME, _ERROR = "job.json", "outcome.json", "error.json"


@dataclass(frozen=True)
class Job:
    """A command to run.

    Attributes:
        words: words of the command line.
        call: the Python call that they stand for.
        fed: model or file whose input takes the arrays as they are, unless it has a contract;
            None if the words say how inputs are made.
    """

    words: tuple[str, ...]
    call: str
    fed: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What a command printed.

    Attributes:
        values: its JSON object.
        tables: tables with ``head``, ``rows`` and ``right``.
        lines: other lines of its standard output.
        remarks: lines of its standard error.
        files: paths of written files that it names.
    """

    values: dict[str, Any]
    tables: list[dict[str, Any]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


def write_job(folder: Path, job: Job) -> None:
    """Write a job for the process that works."""
    (folder / _JOB).write_text(json.dumps(asdict(job)), encoding="utf-8")


def read_job(folder: Path) -> Job:
    """Read the job that ``write_job`` wrote."""
    values = json.loads((folder / _JOB).read_text(encoding="utf-8"))
    return Job(tuple(values["words"]), values["call"], values["fed"])


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Write the outcome for the program."""
    (folder / _OUTCOME).write_text(json.dumps(asdict(outcome)), encoding="utf-8")


def read_outcome(folder: Path) -> Outcome | None:
    """Read the outcome; None if the process ended without one."""
    path = folder / _OUTCOME
    return Outcome(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def write_error(folder: Path, error: EdgequantError) -> None:
    """Write an error for the program to raise."""
    parts = {
        "type": type(error).__name__,
        "rule": error.rule,
        "received": error.received,
        "remedy": error.remedy,
    }
    (folder / _ERROR).write_text(json.dumps(parts), encoding="utf-8")


def read_error(folder: Path) -> EdgequantError | None:
    """Read the error, of the type that it had; None without one."""
    path = folder / _ERROR
    if not path.is_file():
        return None
    parts = json.loads(path.read_text(encoding="utf-8"))
    known = getattr(errors, parts["type"], InvalidInputError)  # a subclass of another module
    error: EdgequantError = known(parts["rule"], received=parts["received"], remedy=parts["remedy"])
    return error
