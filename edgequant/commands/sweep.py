"""``edgequant sweep``: a grid of models, recipes and settings, made and measured on many cores."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from edgequant.artifacts import code_digest, write_json, write_text
from edgequant.cli.invocation import command_line
from edgequant.cli.terminal import Terminal
from edgequant.sweeping.document import Document, document
from edgequant.sweeping.engine import Engine, open_engine
from edgequant.sweeping.floats import float_requests
from edgequant.sweeping.making import cost_words, failure_name, mark_name, result_of
from edgequant.sweeping.plan import SweepPlan, read_plan
from edgequant.sweeping.running import Ended, Request, run_all
from edgequant.sweeping.store import Store, open_store, read_record, shared_store, write_record
from edgequant.sweeping.tasks import Task, tasks_of
from edgequant.sweeping.watching import watched
from foundation.errors import GateFailedError
from foundation.scratch import require_writable
from reports import sweep_tables
from reports.html import write_page
from reports.sweep_page import page

_FEWEST_TIMES = 3
"""Durations from which the rest of a sweep is estimated."""


@dataclass(frozen=True)
class SweepRequest:
    """Sweep to run or to ask about.

    Attributes:
        plan: path of the plan.
        output: folder for table, CSV, JSON and page.
        store: folder or fsspec address of the results; None for one inside ``output``.
        cluster: address of a Dask scheduler; None for processes of this machine.
        workers: number of processes of this machine; None for one a core.
        retries: attempts after the first one that failed.
        max_tasks: largest number of tasks.
        status: only say what is done, what runs and what failed.
    """

    plan: Path
    output: Path
    store: str | None
    cluster: str | None
    workers: int | None
    retries: int
    max_tasks: int
    status: bool

    @property
    def address(self) -> str:
        """Address of the store."""
        return self.store or str((self.output / "store").absolute())


def sweep_command(request: SweepRequest, terminal: Terminal) -> None:
    """Run a sweep, or go on with one, and write what it found; or show its state."""
    plan = read_plan(request.plan)
    with terminal.progress(f"plan {request.plan.name}", None):
        tasks = tasks_of(plan, request.max_tasks)
    if request.status:
        _show_state(tasks, open_store(request.address), terminal)
        return
    require_writable(request.output)
    store = shared_store(request.address)
    with open_engine(request.cluster, request.workers) as engine:
        _run(request, tasks, store, engine, terminal)
    found = document(plan, tasks, store)
    _write(found, request, terminal)
    _judge(found, plan)


def _run(
    request: SweepRequest,
    tasks: Sequence[Task],
    store: Store,
    engine: Engine,
    terminal: Terminal,
) -> None:
    """Run the tasks that the store has no result of; the marked ones, of another sweep, last."""
    done, marked = store.names("tasks"), store.names("running")
    new = [
        task
        for task in tasks
        if f"{task.key}.json" not in done or result_of(store, task.key) is None
    ]
    new = in_order(new, marked)
    terminal.note(
        f"{len(tasks)} tasks, {len(tasks) - len(new)} of them done before; {engine.place()}"
    )
    code = code_digest()
    floats = float_requests(new, store, request.address)
    requests = [
        Request(
            task.key,
            task.choice.text,
            {
                "do": "task",
                "task": task.to_dict(),
                "store": request.address,
                "code": code,
                "shown": task.choice.text,
            },
        )
        for task in new
    ]
    clock = _Clock(len(requests), engine, terminal)
    shown = {f"{one.key}.json": one.shown for one in requests}
    with (
        watched(store, shown) if terminal.interactive else nullcontext() as below,
        terminal.progress(request.plan.stem, len(requests), below) as advance,
    ):

        def told(ended: Ended) -> None:
            if ended.request in floats:  # what failed there fails in its tasks, with a sentence
                return
            _record(ended, store)
            clock.tell(ended)
            advance(1)

        run_all([*floats, *requests], engine, request.retries, told)


def in_order(tasks: Sequence[Task], marked: Collection[str]) -> list[Task]:
    """Tasks in the order of their start: the first of each model, then the others.

    What tasks of a model share, the count of its costs, is then made once and read by the others.
    Within both, those with more work come first, so that no worker has a long task left at the end
    (Graham 1969, doi:10.1137/0117039), and tasks with a mark of another sweep come last.

    Args:
        tasks: tasks in the order of the plan.
        marked: names of the marks in the store.
    """
    shared = [cost_words(task) for task in tasks]
    heaviest_first = sorted(range(len(tasks)), key=lambda n: -tasks[n].choice.work)
    firsts = {shared[number]: number for number in reversed(heaviest_first)}
    order = sorted(
        range(len(tasks)),
        key=lambda n: (
            f"{tasks[n].key}.json" in marked,
            firsts[shared[n]] != n,
            -tasks[n].choice.work,
        ),
    )
    return [tasks[n] for n in order]


def _record(ended: Ended, store: Store) -> None:
    """Keep the sentence of a task that was set aside, and no older one of a task that is done."""
    key = ended.request.key
    if ended.answer is not None:
        store.delete(failure_name(key))
        return
    store.delete(mark_name(key))
    values = {"sentence": ended.sentence, "attempts": ended.attempts, "kind": ended.kind}
    write_record(store, failure_name(key), values)


class _Clock:
    """Says a line for each task that ended, with an estimate of the rest."""

    def __init__(self, count: int, engine: Engine, terminal: Terminal) -> None:
        self._count = count
        self._engine = engine
        self._terminal = terminal
        self._seconds: list[float] = []
        self._ended = 0

    def tell(self, ended: Ended) -> None:
        """Say how a task ended, where, and how long the rest may take."""
        self._ended += 1
        head = f"{self._ended}/{self._count} {ended.request.shown}"
        if ended.answer is None:
            self._terminal.note(
                f"{head}: set aside after {ended.attempts} attempt(s): {ended.sentence}"
            )
            return
        self._seconds.append(ended.answer["seconds"])
        rest = estimate(self._seconds, self._count - self._ended, self._engine.size())
        self._terminal.note(
            f"{head}: {ended.answer['seconds']:.1f} s on {ended.answer['where']}"
            + (f"; {rest} left" if rest else "")
        )


def estimate(seconds: Sequence[float], rest: int, workers: int) -> str:
    """Time of the remaining tasks as a range of two standard errors; empty if unknown.

    Args:
        seconds: durations of the tasks that are done, of which at least 3 are needed.
        rest: number of tasks that are not.
        workers: number of workers.
    """
    if len(seconds) < _FEWEST_TIMES or not rest:
        return ""
    mean = fmean(seconds) * rest
    spread = 2 * stdev(seconds) * math.sqrt(rest * (1 + rest / len(seconds)))
    low, high = (max(0.0, (mean + sign * spread) / workers) for sign in (-1, 1))
    return _duration(low, high)


def _duration(low: float, high: float) -> str:
    for unit, name in ((3600.0, "h"), (60.0, "min")):
        if high >= 2 * unit:
            return f"{low / unit:.1f} to {high / unit:.1f} {name}"
    return f"{low:.0f} to {high:.0f} s"


def _write(found: Document, request: SweepRequest, terminal: Terminal) -> None:
    stem = request.output / "sweep"
    write_json(stem.with_suffix(".json"), found)
    write_text(stem.with_suffix(".csv"), sweep_tables.csv_table(found))
    write_text(stem.with_suffix(".md"), sweep_tables.markdown(found))
    data = tuple((name, f"sweep.{name.lower()}") for name in ("JSON", "CSV"))
    write_page(
        page(found, command_line(), (*data, ("Markdown", "sweep.md"))), stem.with_suffix(".html")
    )
    if found["rows"]:
        terminal.table(sweep_tables.screen_table(found), sweep_tables.DETAILS)
    for line in sweep_tables.sentences(found):
        terminal.say(line)
    for row in found["failed"]:
        terminal.say(f"set aside: {row['name']}: {row['sentence']}")
    terminal.say("written:")
    for ending in (".md", ".json", ".csv"):
        terminal.say_file(stem.with_suffix(ending))
    terminal.say_file(stem.with_suffix(".html"), "page")
    terminal.result({**found, "store": request.address, "page": str(stem.with_suffix(".html"))})


def _judge(found: Document, plan: SweepPlan) -> None:
    """End a sweep of which something failed.

    Raises:
        GateFailedError: a task was set aside, or no file keeps the gates.
    """
    failed = found["failed"]
    if failed:
        raise GateFailedError(
            "every task of a sweep ends with a file",
            received=f"{len(failed)} that were set aside, such as {failed[0]['name']}",
            remedy="see their sentences; the results of the others are written, and the next run "
            "tries these again",
        )
    if found["gates"] and all(row["misses"] for row in found["rows"]):
        raise GateFailedError(
            "a file of a sweep keeps the gates of its plan",
            received=f"none of {len(found['rows'])} with "
            + ", ".join(f"{name} {limit:g}" for name, limit in found["gates"].items()),
            remedy=f"widen the grid of {', '.join(plan.recipes)}, or the gates",
        )


def _show_state(tasks: Sequence[Task], store: Store, terminal: Terminal) -> None:
    """Say what is done, what runs where, what failed and what is left."""
    there = {name: store.names(name) for name in ("tasks", "running", "failed")}
    seconds: list[float] = []
    running: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for task in tasks:
        name = f"{task.key}.json"
        if name in there["tasks"] and (result := result_of(store, task.key)) is not None:
            seconds.append(result["seconds"])
        elif name in there["running"] and (mark := read_record(store, mark_name(task.key))):
            age = max(0.0, time.time() - float(mark["started"]))  # clocks of machines may differ
            running.append({"name": task.choice.text, "where": mark["where"], "seconds": age})
        elif name in there["failed"] and (failure := read_record(store, failure_name(task.key))):
            failed.append({"name": task.choice.text, **failure})
    left = len(tasks) - len(seconds) - len(failed)
    rest = estimate(seconds, left, max(1, len(running)))
    terminal.say(
        f"{len(seconds)} of {len(tasks)} tasks done, {len(running)} begun, {len(failed)} set "
        f"aside, {left - len(running)} not begun" + (f"; {rest} left" if rest else "")
    )
    for row in running:
        terminal.say(f"begun {row['seconds']:.0f} s ago on {row['where']}: {row['name']}")
    for row in failed:
        terminal.say(f"set aside: {row['name']}: {row['sentence']}")
    terminal.result(
        {
            "tasks": len(tasks),
            "done": len(seconds),
            "running": running,
            "failed": failed,
            "left": rest or None,
        }
    )
