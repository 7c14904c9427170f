"""Interface of the proofs; a proof is one file of this package.

A runtime may be missing, may need other versions of our packages, and may end its process. So it
runs in a child process, in an interpreter that the user may name, which runs only a script of
``workers/``.
"""

from __future__ import annotations

import json
import pkgutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any

from evaluation.proofs.child import run_tool
from evaluation.proofs.tools import Tool
from foundation.errors import InvalidInputError
from foundation.foreign import printable, read_object
from foundation.scratch import temporary_scratch

_WORKERS = Path(__file__).parent / "workers"
_LONGEST = 1000
"""Largest length of a sentence that quotes a runtime."""


class Verdict(StrEnum):
    """Result of a proof."""

    PROVEN = "proven"
    WITHIN_A_STEP = "within a step"
    """The same labels, but some outputs differ by one integer, since kernels round differently. The
    sentence says how many."""
    FAILED = "failed"
    NOT_RUN = "not run"
    """The runtime is not installed; nothing is known."""


@dataclass(frozen=True)
class ProofResult:
    """Result of a proof, with the sentence and figures for the reader.

    Attributes:
        verdict: result of the proof.
        sentence: the comparison with its figures, or the reason why it was not made.
        figures: plain values for the manifest, which leaves out names that begin with "_".
    """

    verdict: Verdict
    sentence: str
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ProofRequest:
    """Folders and runtime of a proof.

    Attributes:
        folder: folder of the ship target, finished unless the proof is a measurement.
        scratch: empty folder for files of the proof.
        runtime: Python interpreter, or folder of Node packages, with the runtime; None for this
            interpreter.
    """

    folder: Path
    scratch: Path
    runtime: Path | None = None


@dataclass(frozen=True)
class Proof:
    """A check by a runtime; modules of this package define ``PROOFS``, a tuple of them.

    Attributes:
        name: registered name.
        runtime: name of the runtime that must be installed, as in ``--runtime NAME=PATH``.
        run: request -> result; a missing runtime is a result, and never raised.
        optional: whether no extra of ours installs the tool, so that its absence is not reported.
        tools: what it needs, for ``edgequant doctor``.
    """

    name: str
    runtime: str
    run: Callable[[ProofRequest], ProofResult] = field(repr=False)
    optional: bool = False
    tools: tuple[Tool, ...] = ()


def proofs() -> dict[str, Proof]:
    """All proofs by name: ``PROOFS`` of each module of this package."""
    package = import_module(__package__)
    by_name: dict[str, Proof] = {}
    for module in pkgutil.iter_modules(package.__path__):
        rows: tuple[Proof, ...] = getattr(
            import_module(f"{__package__}.{module.name}"), "PROOFS", ()
        )
        by_name.update({proof.name: proof for proof in rows})
    return dict(sorted(by_name.items()))


def runtime_paths(texts: tuple[str, ...]) -> dict[str, Path]:
    """Parse ``NAME=PATH`` texts into paths by name.

    Raises:
        InvalidInputError: no such runtime, or no such path.
    """
    known = sorted({proof.runtime for proof in proofs().values() if not proof.optional})
    paths: dict[str, Path] = {}
    for text in texts:
        name, _, path = text.partition("=")
        if name not in known or not path or not Path(path).exists():
            raise InvalidInputError(
                f"--runtime takes NAME=PATH of an existing interpreter or folder, with NAME of "
                f"{', '.join(known)}",
                received=text,
                remedy="write for instance --runtime mediapipe=.venv-ship-android/bin/python",
            )
        # Not resolved: Python finds a virtual environment by the path of its link.
        paths[name] = Path(path).absolute()
    return paths


@dataclass(frozen=True)
class Reply:
    """Reply of a worker.

    Attributes:
        values: values of its reply; empty when it ended without one.
        missing: module that could not be imported, or None.
        error: reason of its failure in one line, or None.
    """

    values: Mapping[str, Any]
    missing: str | None = None
    error: str | None = None


def run_worker(name: str, request: ProofRequest, values: dict[str, Any]) -> Reply:
    """Run a script of workers/ in the interpreter of the request.

    Args:
        name: name of the script, without suffix.
        request: interpreter and scratch folder.
        values: plain values for the script.
    """
    with temporary_scratch(request.scratch) as folder:
        request_file, reply_file = folder / "request.json", folder / "reply.json"
        request_file.write_text(json.dumps(values), encoding="utf-8")
        interpreter, script = request.runtime or sys.executable, _WORKERS / f"{name}.py"
        command = [interpreter, "-I", script, request_file, reply_file]
        done = run_tool([str(argument) for argument in command], folder)
        if not reply_file.is_file():
            return Reply({}, error=f"{_ending(done.code)}: {done.last_line}")
        try:
            reply = read_object(reply_file, "a runtime replies in JSON", "look at its version")
        except InvalidInputError as error:
            return Reply(
                {}, error=f"{_ending(done.code)}: a reply that is damaged ({error.received})"
            )
        if "missing" in reply:
            return Reply({}, missing=printable(reply["missing"]))
        if "error" in reply:
            return Reply({}, error=printable(reply["error"]))
        return Reply({**reply, "log": done.log})


def not_run(what: str, remedy: str) -> ProofResult:
    """Result of a proof without its runtime."""
    return ProofResult(Verdict.NOT_RUN, f"{what} is not installed: {remedy}")


def without(tool: Tool) -> ProofResult:
    """Result of a proof without one of its tools."""
    return not_run(tool.name, tool.remedy)


def failed(sentence: str, **figures: Any) -> ProofResult:
    """Result of a proof that the file did not pass."""
    return ProofResult(Verdict.FAILED, printable(sentence)[:_LONGEST], figures)


def _ending(code: int) -> str:
    return f"stopped by signal {-code}" if code < 0 else f"exit code {code}"
