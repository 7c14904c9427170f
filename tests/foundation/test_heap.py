"""Freed memory is taken again without new page faults, and cycles are looked for at will."""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys

import pytest

from foundation.heap import keep_freed_memory, without_collections

_WORK = """
import resource
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from foundation.heap import keep_freed_memory
done = keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(np.full, 3_000_000, 1.0, np.float32).result()
print(int(done), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults() -> tuple[bool, int]:
    """Whether the settings were made, and the page faults of eight arrays of 12 MB in turn."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    own["NUMPY_MADVISE_HUGEPAGE"] = "0"
    command = [sys.executable, "-c", _WORK]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=own)
    done, faults = result.stdout.split()
    return done == "1", int(faults)


def test_arrays_of_later_threads_take_the_same_pages() -> None:
    done, kept = _faults()
    if not done:
        pytest.skip("the C library is not glibc")
    # Pages of one array, which the others take as well; by default those of two to eight arrays.
    assert kept < 1.5 * 4 * 3_000_000 / resource.getpagesize()


def test_the_users_choice_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    assert not keep_freed_memory()


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()


def test_cycles_are_looked_for_again_after_the_block_and_after_an_error() -> None:
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), without_collections():
        1 / int(gc.isenabled())
    assert gc.isenabled()
    gc.disable()
    try:
        with without_collections():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
