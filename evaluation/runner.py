"""Run sessions over a stream of images, on several cores and in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

from evaluation.session import Closeable
from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

    from evaluation.session import Session


class Batch(Protocol):
    """Preprocessed images of a set, with what is known of them."""

    @property
    def images(self) -> np.ndarray:
        """Preprocessed, float32 ``[b, height, width, 3]``."""
        ...

    @property
    def labels(self) -> np.ndarray | None:
        """True classes, int64 ``[b]``; None for images without labels."""
        ...

    @property
    def indices(self) -> np.ndarray:
        """Places in the set, int64 ``[b]``, each of them once."""
        ...


@dataclass(frozen=True, eq=False)
class Predictions:
    """What several networks said of the same images, in the order of ``indices``.

    Attributes:
        outputs: float32 ``[n, classes]`` by the network's name.
        labels: int64 ``[n]``; None for images without labels.
        indices: int64 ``[n]``, ascending.
    """

    outputs: dict[str, np.ndarray]
    labels: np.ndarray | None
    indices: np.ndarray


def predict_all(
    open_session: Callable[[], Session],
    batches: Iterable[Batch],
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Run one network over a stream of images; see ``predict_many``.

    Returns:
        Outputs float32 ``[n, classes]`` and labels int64 ``[n]``, in the order of the indices;
        None in the place of labels for images without.
    """
    results = predict_many({"": open_session}, batches, workers, progress)
    return results.outputs[""], results.labels


def predict_many(
    open_sessions: Mapping[str, Callable[[], Session]],
    batches: Iterable[Batch],
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Predictions:
    """Run several networks over one stream of images, so that all get identical tensors.

    Each worker thread has one session of every network. Batches are taken from the stream in the
    calling thread, never more than ``workers + 1`` ahead of the oldest unfinished one; outputs
    are kept, images are not.

    Args:
        open_sessions: for each name, a call that opens a session; made ``workers`` times.
        batches: of images, in any order.
        workers: threads; sessions should have one thread each.
        progress: called in the calling thread with the number of images that are done.

    Raises:
        InvalidInputError: no images, no network, or fewer than one worker.
        ValueError: an index that occurs twice.

    What a session, the stream or ``progress`` raises is raised here, after the running batches
    have ended; those that wait are dropped.
    """
    if workers < 1 or not open_sessions:
        raise InvalidInputError(
            "evaluation needs one worker and one network at least",
            received=f"{workers} workers and {len(open_sessions)} networks",
            remedy="give more",
        )
    done: list[_Done] = []
    finished = 0
    benches = _benches(open_sessions, workers)
    # Closed here, so that an error in progress stops the workers before it reaches the caller.
    with closing(_results(benches, batches)) as results:
        for result in results:
            done.append(result)
            finished += len(result.indices)
            if progress is not None:
                progress(finished)
    return _joined(done, list(open_sessions))


@dataclass(frozen=True, eq=False)
class _Done:
    """One finished batch, without its images."""

    outputs: dict[str, np.ndarray]
    labels: np.ndarray | None
    indices: np.ndarray


_Bench = dict[str, "Session"]


def _benches(
    open_sessions: Mapping[str, Callable[[], Session]], workers: int
) -> tuple[_Bench, ...]:
    return tuple(
        {name: open_session() for name, open_session in open_sessions.items()}
        for _ in range(workers)
    )


def _results(benches: tuple[_Bench, ...], batches: Iterable[Batch]) -> Generator[_Done, None, None]:
    """Results in the order of the stream, with a bounded number of batches in flight."""
    free: SimpleQueue[_Bench] = SimpleQueue()
    for bench in benches:
        free.put(bench)
    waiting: deque[Future[_Done]] = deque()
    pool = ThreadPoolExecutor(len(benches))
    try:
        for batch in batches:
            waiting.append(pool.submit(_predict, free, batch))
            while len(waiting) > len(benches) or (waiting and waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for session in (session for bench in benches for session in bench.values()):
            if isinstance(session, Closeable):
                session.close()  # so that a batch that never ends does
        pool.shutdown(wait=True)


def _predict(benches: SimpleQueue[_Bench], batch: Batch) -> _Done:
    bench = benches.get()
    try:
        outputs = {name: session.predict(batch.images) for name, session in bench.items()}
    finally:
        benches.put(bench)
    return _Done(outputs, batch.labels, batch.indices)


def _joined(done: list[_Done], names: list[str]) -> Predictions:
    import numpy as np

    if not any(len(batch.indices) for batch in done):
        raise InvalidInputError(
            "evaluation needs one image at least", received="none", remedy="give more images"
        )
    indices = np.concatenate([batch.indices for batch in done])
    order = np.argsort(indices, kind="stable")
    indices = indices[order]
    if (indices[1:] == indices[:-1]).any():
        raise ValueError("an index occurs twice in the stream of batches")
    labels = [batch.labels for batch in done if batch.labels is not None]
    return Predictions(
        outputs={
            name: np.concatenate([batch.outputs[name] for batch in done])[order] for name in names
        },
        labels=np.concatenate(labels)[order] if len(labels) == len(done) else None,
        indices=indices,
    )
