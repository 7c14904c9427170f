"""Feed every parser with damaged files for a while; exit 1 where one did not end in a sentence.

``python -m tests.fuzz --seconds 3600``; ``--parser``, ``--seed`` and ``--case`` run one case again.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count

from tests.fuzz.parser import Parser
from tests.fuzz.parsers import PARSERS
from tests.fuzz.runs import MOST_SECONDS, Finding

_BATCH = 2000
"""Cases of a process; the next one begins where it stopped."""


@dataclass
class Tally:
    """What was tried and what was found.

    Attributes:
        cases: by parser.
        causes: the first finding of each cause, and how often it came.
    """

    cases: Counter[str] = field(default_factory=Counter)
    causes: dict[tuple[str, str, str], tuple[Finding, int]] = field(default_factory=dict)

    def add(self, finding: Finding) -> None:
        """Count a finding; a cause is printed when it comes for the first time."""
        first, times = self.causes.get(finding.cause, (finding, 0))
        self.causes[finding.cause] = first, times + 1
        if not times:
            print(finding, flush=True)


def main() -> int:
    """Run; the exit status says whether all outcomes were as they must be."""
    options = _options()
    chosen = [p for p in PARSERS if options.parser in (None, p.name)]
    tally = Tally()
    until = time.monotonic() + options.seconds
    nexts = dict.fromkeys((parser.name for parser in chosen), 0)
    for turn in count(1):
        share = min(60.0, max(options.seconds / len(chosen), 1.0)) * min(turn, 10)
        for parser in chosen:
            left = until - time.monotonic()
            if left <= 0 and (turn > 1 or options.case is not None):
                break
            first = nexts[parser.name] if options.case is None else options.case
            last = first + _BATCH if options.case is None else first + 1
            place = (first, last)
            nexts[parser.name] = _child(
                parser, options.seed, place, min(share, max(left, 1)), tally
            )
        if options.case is not None or time.monotonic() >= until:
            break
    return _report(tally)


def _child(parser: Parser, seed: int, place: tuple[int, int], seconds: float, tally: Tally) -> int:
    """Run cases in a process for a while; the number of the next one."""
    first, last = place
    command = [
        sys.executable,
        "-m",
        "tests.fuzz.child",
        parser.name,
        str(seed),
        str(first),
        str(last),
    ]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    assert process.stdout is not None
    case, ends, buffer = first - 1, None, b""
    while True:
        ready, _, _ = select.select([process.stdout], [], [], 2 * MOST_SECONDS + 60)
        chunk = os.read(process.stdout.fileno(), 1 << 16) if ready else b""
        if not chunk:
            break
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            if line.isdigit():
                case = int(line)
                tally.cases[parser.name] += 1
                ends = ends or time.monotonic() + seconds  # the clock starts at the first case
            elif line.startswith(b"{"):
                tally.add(Finding(**json.loads(line)))
        if ends is not None and time.monotonic() > ends:
            process.kill()
            process.wait()
            return case + 1
    if not ready:
        process.kill()
        tally.add(Finding(parser.name, seed, case, "time", "no answer: stuck in C code"))
    elif process.wait() != 0:
        tally.add(Finding(parser.name, seed, case, "crash", f"exit status {process.returncode}"))
    return case + 1


def _report(tally: Tally) -> int:
    for finding, times in tally.causes.values():
        print(f"{times:6} times: {finding}")
    parts = ", ".join(f"{name} {number:,}" for name, number in tally.cases.items())
    print(f"{tally.cases.total():,} damaged files ({parts})")
    print(f"{len(tally.causes)} causes of an outcome that is neither a value nor a sentence")
    return 1 if tally.causes else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long")
    parser.add_argument("--seed", type=int, default=0, help="seed of the damage")
    parser.add_argument("--parser", choices=[p.name for p in PARSERS], help="one row alone")
    parser.add_argument("--case", type=int, help="one case again")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
