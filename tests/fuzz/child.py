"""One parser's cases in a process of its own, which a C parser may end: ``NAME SEED FIRST LAST``.

Prints the number of each case before it runs, and each finding as JSON behind its number.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path

import edgequant.process  # noqa: F401 - a process of ours
from tests.fuzz.parsers import PARSERS
from tests.fuzz.runs import damaged, run_case

_MOST_MEMORY = 6 << 30
"""Bytes of address space beyond what the process has once its sample is made and read."""


def main(name: str, seed: int, first: int, last: int) -> None:
    """Run the cases ``first`` to ``last - 1``."""
    parser = next(parser for parser in PARSERS if parser.name == name)
    warnings.simplefilter("ignore")  # Pillow's remarks on odd files
    warnings.simplefilter("error", RuntimeWarning)  # numbers that NumPy could not compute with
    warnings.filterwarnings("ignore", "Image size")  # Pillow's, of which there is an error too
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / parser.file
        parser.sample(path)
        sample = path.read_bytes()
        parser.read(path)
        limit = _address_space() + _MOST_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for case in range(first, last):
            print(case, flush=True)
            path.write_bytes(damaged(parser, sample, seed, case))
            found = run_case(parser, path, seed, case)
            if found is not None:
                print(json.dumps(asdict(found)), flush=True)


def _address_space() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    return int(pages) * resource.getpagesize()


if __name__ == "__main__":
    main(sys.argv[1], *(int(word) for word in sys.argv[2:5]))
