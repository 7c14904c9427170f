"""The same work on many batches at once, in threads: TensorFlow and NumPy release Python's lock.

TensorFlow computes many operators of a small batch on one core, however many threads it has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from foundation.threads import cores

Item = TypeVar("Item")
Result = TypeVar("Result")


def one_blas_thread() -> AbstractContextManager[Any]:
    """Context in which a product of matrices takes one core.

    ``in_parallel`` uses the cores; BLAS threads that wait for a core in use spin, and take several
    times as long as one thread alone.
    """
    import scipy.linalg  # noqa: F401 - its own BLAS is limited only once it is loaded
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(1, user_api="blas")
    return limits


def in_parallel(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Results in the order of the items, whichever thread was first.

    Work that has not begun is dropped where the results are read no further.

    Args:
        work: called for each item, on as many cores as this process may use.
        items: read no further ahead than the cores need.

    Yields:
        Results of ``work``.
    """
    count = cores()
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(count) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
