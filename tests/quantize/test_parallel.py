"""Threads change neither the results nor their order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from foundation.threads import cores
from quantize.equalization.pairing import _greedy_pairs
from quantize.parallel import in_parallel, one_blas_thread


def test_results_come_in_the_order_of_the_items() -> None:
    def slow_first(item: int) -> int:
        time.sleep(0.02 if item == 0 else 0)
        return item * item

    assert list(in_parallel(slow_first, range(20))) == [i * i for i in range(20)]


def test_items_are_read_no_further_than_the_cores_need() -> None:
    read = 0

    def items() -> Iterator[int]:
        nonlocal read
        for number in range(100):
            read = number + 1
            yield number

    results = in_parallel(lambda item: item, items())
    assert next(results) == 0
    assert read <= cores() + 1
    results.close()  # type: ignore[attr-defined]


def test_work_that_has_not_begun_is_dropped_when_no_more_results_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    futures: list[Future[int]] = []

    class OneAtOnce(ThreadPoolExecutor):
        """Begins no second piece of work, as if the first had left no core for it."""

        def submit(self, work: Any, *arguments: Any) -> Any:
            future: Future[int] = Future() if futures else super().submit(work, *arguments)
            futures.append(future)
            return future

    monkeypatch.setattr("quantize.parallel.cores", lambda: 1)
    monkeypatch.setattr("quantize.parallel.ThreadPoolExecutor", OneAtOnce)
    results = in_parallel(lambda item: item, range(3))
    assert next(results) == 0
    assert [future.cancelled() for future in futures] == [False, False]
    results.close()  # type: ignore[attr-defined]
    assert [future.cancelled() for future in futures] == [False, True]


def test_an_error_of_one_item_reaches_the_caller() -> None:
    def picky(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        return item

    with pytest.raises(ValueError, match="three"):
        list(in_parallel(picky, range(5)))


def test_blas_has_one_thread_inside_and_its_own_number_again_outside() -> None:
    from threadpoolctl import threadpool_info

    def threads() -> set[int]:
        return {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}

    import scipy.linalg  # noqa: F401

    before = threads()
    with one_blas_thread():
        assert threads() == {1}
    assert threads() == before


@pytest.mark.parametrize("seed", range(3))
def test_pairs_are_the_greedy_ones(seed: int) -> None:
    """The sparse search finds the same pairs as the full one."""
    shares = np.random.default_rng(seed).random((12, 40)).astype(np.float32) ** 3
    free = list(np.argsort(-np.square(shares).sum(axis=1), kind="stable"))
    wanted = []
    while free:
        first = free.pop(0)
        costs = [
            np.square(np.maximum(shares[first] + shares[o] - 1, 0)).sum() for o in sorted(free)
        ]
        partner = sorted(free)[int(np.argmin(costs))]
        free.remove(partner)
        wanted += [first, partner]
    assert _greedy_pairs(shares).tolist() == wanted
