"""Running of requests on an engine: in order, with retries, and past those that fail."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any

from edgequant.sweeping.engine import Answer, Engine
from foundation.errors import UnsupportedError
from foundation.foreign import reason_of

_AHEAD = 2
"""Requests for each worker that are sent: one that it answers and one that waits there."""
MOST_LOST = 10
"""Workers that a request may lose before it is set aside: it may be what ends them."""


@dataclass(frozen=True)
class Request:
    """A request with its name.

    Attributes:
        key: name, unique among the requests of a run.
        shown: what it is, in a few words.
        values: what is sent.
    """

    key: str
    shown: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """How a request ended.

    Attributes:
        request: the request.
        answer: its answer; None if it was set aside.
        sentence: why it was set aside; empty if it was not.
        attempts: how often it was tried.
        kind: name of the error's class; empty for none.
    """

    request: Request
    answer: Answer | None
    sentence: str
    attempts: int
    kind: str = ""


def run_all(
    requests: Iterable[Request],
    engine: Engine,
    retries: int,
    told: Callable[[Ended], None],
) -> tuple[Ended, ...]:
    """Run requests until each has an answer or was set aside.

    A request that fails is tried ``retries`` times more, except one that cannot be honoured
    (UnsupportedError), for which no attempt differs from another. One whose worker was lost is
    sent to another worker, at most ``MOST_LOST`` times.

    Args:
        requests: requests, sent in this order.
        engine: what runs them.
        retries: attempts after the first one that failed.
        told: takes each as it ends.

    Returns:
        How each ended, in the order of the requests.
    """
    waiting = deque(requests)
    places = {request.key: number for number, request in enumerate(waiting)}
    failed: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    sent: dict[Future[Answer], Request] = {}
    ended: list[Ended] = []
    done: SimpleQueue[Future[Answer]] = SimpleQueue()
    while waiting or sent:
        for _ in range(min(len(waiting), _AHEAD * max(1, engine.size()) - len(sent))):
            request = waiting.popleft()
            future = engine.submit(request.values)
            sent[future] = request
            future.add_done_callback(done.put)
        for future in _all_of(done):
            request = sent.pop(future)
            outcome = _outcome(future, request, engine.lost)
            again = _counted(outcome, lost, failed, retries)
            if again:
                waiting.appendleft(request)
                continue
            tries = lost[request.key] + failed[request.key] + (outcome.answer is not None)
            ended.append(replace(outcome, attempts=tries))
            told(ended[-1])
    return tuple(sorted(ended, key=lambda one: places[one.request.key]))


def _all_of(done: SimpleQueue[Future[Answer]]) -> list[Future[Answer]]:
    """Futures that ended since the last call, one at least: waits for it."""
    found = [done.get()]
    while not done.empty():
        found.append(done.get())
    return found


_LOST = "lost"


def _outcome(
    future: Future[Answer], request: Request, lost: Sequence[type[BaseException]]
) -> Ended:
    error = None if future.cancelled() else future.exception()
    if future.cancelled() or isinstance(error, tuple(lost)):
        why = "its worker was lost" if error is None else f"its worker was lost: {reason_of(error)}"
        return Ended(request, None, why, 0, _LOST)
    if error is not None:
        return Ended(request, None, reason_of(error), 0, type(error).__name__)
    answer = future.result()
    if "error" in answer:
        return Ended(request, None, answer["error"]["sentence"], 0, answer["error"]["type"])
    return Ended(request, answer, "", 0)


def _counted(outcome: Ended, lost: Counter[str], failed: Counter[str], retries: int) -> bool:
    """Count a failure; whether the request is tried again."""
    key = outcome.request.key
    if outcome.answer is not None:
        return False
    if outcome.kind == _LOST:
        lost[key] += 1
        return lost[key] < MOST_LOST
    failed[key] += 1
    return outcome.kind != UnsupportedError.__name__ and failed[key] <= retries
