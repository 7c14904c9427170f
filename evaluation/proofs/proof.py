"""What a proof takes and gives; a proof is one file of this package, found by walking it.

A runtime may be missing, may need packages that do not agree with ours, and may take its process
down; so it runs in a child, in an interpreter that the user may name, and a script of
``workers/`` is all that runs there.
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
from foundation.errors import InvalidInputError
from foundation.foreign import printable, read_object
from foundation.scratch import temporary_scratch

_WORKERS = Path(__file__).parent / "workers"
_LONGEST = 1000
"""Letters of a sentence that a runtime had a part in."""


class Verdict(StrEnum):
    """What came of a proof."""

    PROVEN = "proven"
    WITHIN_A_STEP = "within a step"
    """The same labels, and outputs of which some differ by one integer: kernels round in other
    ways. The sentence says how many."""
    FAILED = "failed"
    NOT_RUN = "not run"
    """The runtime is not there; nothing is known."""


@dataclass(frozen=True)
class ProofResult:
    """What a runtime said of a folder.

    Attributes:
        verdict: see Verdict.
        sentence: what was compared, with the figures; or why it was not.
        figures: plain values for the manifest, which leaves out names that begin with "_".
    """

    verdict: Verdict
    sentence: str
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ProofRequest:
    """What to prove.

    Attributes:
        folder: of the ship target, finished unless the proof is a measurement.
        scratch: an empty folder for files of the proof.
        runtime: Python interpreter, or folder for Node packages, that has the runtime; None for
            this one.
    """

    folder: Path
    scratch: Path
    runtime: Path | None = None


@dataclass(frozen=True)
class Proof:
    """A check by a runtime; modules of this package define some as ``PROOFS``.

    Attributes:
        name: registered name.
        runtime: what must be installed: the name that ``--runtime NAME=PATH`` takes.
        run: see ProofRequest; raises nothing that a missing runtime causes.
        optional: of a tool that comes with no extra of ours, so that its absence is no news.
    """

    name: str
    runtime: str
    run: Callable[[ProofRequest], ProofResult] = field(repr=False)
    optional: bool = False


def proofs() -> dict[str, Proof]:
    """All proofs by name."""
    package = import_module("evaluation.proofs")
    found: dict[str, Proof] = {}
    for module in pkgutil.iter_modules(package.__path__):
        rows: tuple[Proof, ...] = getattr(
            import_module(f"evaluation.proofs.{module.name}"), "PROOFS", ()
        )
        found.update({proof.name: proof for proof in rows})
    return dict(sorted(found.items()))


def runtime_paths(texts: tuple[str, ...]) -> dict[str, Path]:
    """``NAME=PATH`` texts by name.

    Raises:
        InvalidInputError: no such runtime, or no such path.
    """
    known = sorted({proof.runtime for proof in proofs().values() if not proof.optional})
    paths: dict[str, Path] = {}
    for text in texts:
        name, _, place = text.partition("=")
        if name not in known or not place or not Path(place).exists():
            raise InvalidInputError(
                f"--runtime takes NAME=PATH of an existing interpreter or folder, with NAME of "
                f"{', '.join(known)}",
                received=text,
                remedy="write for instance --runtime mediapipe=.venv-ship-android/bin/python",
            )
        # Not resolved: a virtual environment is found from where its python link lies.
        paths[name] = Path(place).absolute()
    return paths


@dataclass(frozen=True)
class Reply:
    """What a worker left.

    Attributes:
        values: of its reply; empty when it died.
        missing: what could not be imported, or None.
        error: why it failed, in one line, or None.
    """

    values: Mapping[str, Any]
    missing: str | None = None
    error: str | None = None


def run_worker(name: str, request: ProofRequest, values: dict[str, Any]) -> Reply:
    """Run a script of workers/ in the interpreter of the request.

    Args:
        name: of the script, without suffix.
        request: interpreter and scratch folder.
        values: plain values for the script.
    """
    with temporary_scratch(request.scratch) as folder:
        asked, answered = folder / "request.json", folder / "reply.json"
        asked.write_text(json.dumps(values), encoding="utf-8")
        script = _WORKERS / f"{name}.py"
        command = [str(request.runtime or sys.executable), "-I", str(script), asked, answered]
        done = run_tool([str(part) for part in command], folder)
        if not answered.is_file():
            return Reply({}, error=f"{_ending(done.code)}: {done.last_line}")
        try:
            reply = read_object(answered, "a runtime replies in JSON", "look at its version")
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
    """The result of a proof whose runtime is missing."""
    return ProofResult(Verdict.NOT_RUN, f"{what} is not installed: {remedy}")


def failed(sentence: str, **figures: Any) -> ProofResult:
    """The result of a proof that came out against the file."""
    return ProofResult(Verdict.FAILED, printable(sentence)[:_LONGEST], figures)


def _ending(code: int) -> str:
    return f"stopped by signal {-code}" if code < 0 else f"exit code {code}"
