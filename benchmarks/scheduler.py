"""Sweeps past this machine: what a task costs, and where 10,000 tasks on 1,000 workers break first.

Bytes are those of one real task. The scheduler is a real one, and so are the command's part and
1,000 Dask workers; their tasks sleep for durations drawn from those of ``sweep_photos.csv``,
shorter by a factor, until tasks come faster than they are passed on (``clusters/simulated.py``).
All of it shares the cores of this machine, so that the limits are lower ones. The parts of the
command that grow with the number of tasks are timed alone.
"""

from __future__ import annotations

import csv
import json
import random
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import psutil

from benchmarks.clusters.kills import cpu_seconds
from benchmarks.clusters.local import scheduler, wait_for_workers
from benchmarks.costs import cost_of_edgequant
from benchmarks.record import Figure
from benchmarks.sources import RESULTS
from edgequant.artifacts import code_digest
from edgequant.sweeping.document import document
from edgequant.sweeping.engine import Engine
from edgequant.sweeping.making import result_name
from edgequant.sweeping.plan import read_plan
from edgequant.sweeping.running import Request, run_all
from edgequant.sweeping.store import FolderStore, read_record
from edgequant.sweeping.tasks import tasks_of
from foundation.threads import cores
from reports.html import render
from reports.sweep_page import page
from reports.sweep_tables import csv_table, markdown

TASKS, WORKERS, PROCESSES = 10_000, 1_000, 4
FASTER = (10, 50, 500)
"""Factors by which recorded durations are shortened."""
_PLANNED = 2_000
_PLAN = """
data = "fashion_mnist:test"
recipes = ["tflite-int8"]
efforts = ["fast"]
samples = 100
limit = 200
models = ["mobilenet_v2_small"]
"""


def run() -> list[Figure]:
    """Measure; the subject is what grows with the number of tasks or of workers."""
    with (RESULTS / "sweep_photos.csv").open(newline="", encoding="utf-8") as handle:
        recorded = [float(row["seconds"]) for row in csv.DictReader(handle)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures, sizes = _task(folder)
        figures += _command_alone(folder)
    mean = sum(recorded) / len(recorded)
    figures.append(Figure("one task, mean of those recorded", "took", mean, "s", len(recorded), 1))
    return figures + _scheduler(recorded, sizes)


def _task(folder: Path) -> tuple[list[Figure], tuple[int, int]]:
    """Bytes of a task: what is sent, answered and stored; and the first two of them."""
    plan = folder / "plan.toml"
    plan.write_text(_PLAN, encoding="utf-8")
    cost_of_edgequant("sweep", str(plan), "--output", str(folder / "out"))
    (task,) = tasks_of(read_plan(plan), 1)
    store = folder / "out/store"
    answer = (store / result_name(task.key)).read_bytes()
    request = {"do": "task", "task": task.to_dict(), "store": str(store), "code": code_digest()}
    sizes = len(json.dumps(request)), len(json.dumps(json.loads(answer)))
    files = sum(path.stat().st_size for path in (store / "files").rglob("*") if path.is_file())
    rows = [
        ("request", sizes[0]),
        ("answer", sizes[1]),
        ("result in the store", len(answer)),
        ("files in the store", files),
    ]
    return [Figure("one task", name, size, "B", 1, 1) for name, size in rows], sizes


def _command_alone(folder: Path) -> list[Figure]:
    """Seconds of the command's own work: naming the tasks, and writing the tables and the page."""
    many = folder / "many.toml"
    samples = f"samples = {list(range(100, 100 + _PLANNED))}"
    many.write_text(_PLAN.replace("samples = 100", samples), encoding="utf-8")
    plan = read_plan(many)
    start = time.perf_counter()
    tasks = tasks_of(plan, _PLANNED)
    naming = (time.perf_counter() - start) / _PLANNED * TASKS
    store = FolderStore(folder / "out/store")
    (done,) = store.names("tasks")
    result = read_record(store, f"tasks/{done}")
    assert result is not None
    chance, filled = random.Random(0), FolderStore(folder / "filled")
    every = [replace(tasks[n % _PLANNED], key=f"{n:064d}") for n in range(TASKS)]
    for task in every:
        size = {**result["file"], "bytes": chance.randrange(10**5, 10**7)}
        top1 = {**result["row"]["metrics"], "top1": 100 * chance.random()}
        row = {**result["row"], "metrics": top1}
        values = {**result, "key": task.key, "file": size, "row": row}
        path = folder / "filled" / result_name(task.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")  # not to the disk, as a store does
    marks = [time.perf_counter()]
    found = document(plan, every, filled)
    marks.append(time.perf_counter())
    csv_table(found), markdown(found)
    marks.append(time.perf_counter())
    render(page(found, "edgequant sweep"))
    marks.append(time.perf_counter())
    spent = [b - a for a, b in pairwise(marks)]
    names = ("name the tasks", "read the results", "CSV and Markdown", "page")
    return [
        Figure(f"the command, {TASKS:,} tasks: {name}", "took", seconds, "s", TASKS, 1)
        for name, seconds in zip(names, (naming, *spent), strict=True)
    ]


def _scheduler(recorded: Sequence[float], sizes: tuple[int, int]) -> list[Figure]:
    """10,000 tasks on 1,000 simulated workers, the durations shorter and shorter."""
    from benchmarks.clusters.simulated import make_sleepers, simulated_workers
    from edgequant.sweeping.dask_engine import open_dask

    figures = []
    with scheduler() as found, simulated_workers(found.address, WORKERS // PROCESSES, PROCESSES):
        wait_for_workers(found.address, WORKERS, 300)
        with open_dask(found.address) as engine:
            make_sleepers(found.address)
            for factor in FASTER:
                figures += _run(engine, found.process, recorded, factor, sizes)
        memory = psutil.Process(found.process).memory_info().rss / 1e6
    where = f"{WORKERS:,} workers"
    return [*figures, Figure(where, "memory of the scheduler", memory, "MB", WORKERS, cores())]


def _run(
    engine: Engine,
    process: int,
    recorded: Sequence[float],
    factor: int,
    sizes: tuple[int, int],
) -> list[Figure]:
    chance = random.Random(0)
    seconds = [one / factor for one in chance.choices(recorded, k=TASKS)]
    requests = [
        Request(str(n), "", {"padding": " " * sizes[0], "seconds": one, "answer_bytes": sizes[1]})
        for n, one in enumerate(seconds)
    ]
    before, mine, start = cpu_seconds(process), _own(), time.perf_counter()
    ended = run_all(requests, engine, 0, lambda _: None)
    took = time.perf_counter() - start
    assert all(one.answer is not None for one in ended)
    subject = f"{TASKS:,} tasks of {sum(seconds) / TASKS:.2g} s on {WORKERS:,} workers"
    rows = [
        ("took", took, "s"),
        ("without any overhead", max(sum(seconds) / WORKERS, *seconds), "s"),
        ("workers busy", sum(seconds) / (WORKERS * took), "x"),
        ("passed on", TASKS / took, "tasks/s"),
        ("processor time of the scheduler", (cpu_seconds(process) - before) / TASKS * 1e3, "ms"),
        ("processor time of the command", (_own() - mine) / TASKS * 1e3, "ms"),
    ]
    return [Figure(subject, name, value, unit, TASKS, cores()) for name, value, unit in rows]


def _own() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
