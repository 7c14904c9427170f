"""Cases of one parser: what each damaged file came to, within bounds of time and memory."""

from __future__ import annotations

import resource
import signal
import time
import traceback
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foundation.errors import EdgequantError, InvalidInputError
from tests.fuzz.mutations import mutated
from tests.fuzz.parser import Parser

MOST_SECONDS = 20.0
"""Of the processor, for one case; a reader of small files takes milliseconds."""

MOST_GROWTH = 1 << 30
"""Bytes that the process may grow by in one case."""


class TooSlowError(BaseException):
    """A case that ran out of time; not an ``Exception``, so that no reader turns it into one."""


@dataclass(frozen=True)
class Finding:
    """A case whose outcome is neither a value nor one sentence.

    Attributes:
        parser: name of the row.
        seed: of the run.
        case: number within it.
        what: ``traceback``, ``sentence``, ``time``, ``memory`` or ``crash``.
        detail: the error with the line that raised it.
    """

    parser: str
    seed: int
    case: int
    what: str
    detail: str

    @property
    def cause(self) -> tuple[str, str, str]:
        """Cases with one cause count once."""
        return self.parser, self.what, self.detail.partition(" | ")[0]

    def __str__(self) -> str:
        return (
            f"{self.parser}: {self.what}: {self.detail} "
            f"(again: --parser '{self.parser}' --seed {self.seed} --case {self.case})"
        )


def damaged(parser: Parser, sample: bytes, seed: int, case: int) -> bytes:
    """The bytes of a case: equal arguments give equal bytes."""
    name = zlib.crc32(parser.name.encode())
    return mutated(sample, np.random.default_rng([seed, name, case]))


def run_case(parser: Parser, path: Path, seed: int, case: int) -> Finding | None:
    """Read the damaged file at ``path``; None where the outcome is as it must be."""

    def found(what: str, detail: str) -> Finding:
        return Finding(parser.name, seed, case, what, detail)

    before, start = _peak(), time.process_time()
    try:
        with _alarm(MOST_SECONDS):
            parser.read(path)
    except InvalidInputError as error:
        text = str(error)
        if "\n" in text or len(text) > 2000 or not text.isprintable():
            return found("sentence", f"{error.rule[:80]} | {text[:300]!r}")
    except TooSlowError:
        return found("time", f"more than {MOST_SECONDS:g} s")
    except EdgequantError as error:
        return found("traceback", f"{type(error).__name__} | {error}")
    except Exception as error:  # noqa: BLE001 - any other outcome is what is looked for
        return found("traceback", _where(error))
    if time.process_time() - start > MOST_SECONDS:
        return found("time", f"more than {MOST_SECONDS:g} s")
    if _peak() - before > MOST_GROWTH:
        return found("memory", f"more than {MOST_GROWTH >> 20} MiB")
    return None


def _where(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "site-packages" not in frame.filename]
    last = ours[-1] if ours else frames[-1]
    place = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
    return f"{place} | {' '.join(str(error).split())[:200]!r}"


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TooSlowError

    old = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, old)
