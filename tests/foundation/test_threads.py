"""Number of threads: bounded by the cores, since runtimes hang or crash with more."""

from __future__ import annotations

import pytest

from edgequant.requests import MeasureRequest
from foundation.errors import InvalidInputError
from foundation.threads import cores, require_threads


def test_as_many_threads_as_cores_pass() -> None:
    assert require_threads(1) == 1
    assert require_threads(cores()) == cores()


@pytest.mark.parametrize("threads", [-1, 0, cores() + 1, 100_000, 10**10, 10**400])
def test_other_numbers_are_refused_before_anything_runs(threads: int) -> None:
    with pytest.raises(InvalidInputError, match=f"from 1 to {cores()} threads, the number"):
        require_threads(threads)
    with pytest.raises(InvalidInputError, match="--threads"):
        MeasureRequest("data", threads=threads)
