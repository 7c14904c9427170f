"""Sweeps and evaluations on one worker and on two, of the process pool and of Dask.

Whole commands, with Python's start, the check of the plan, the workers' imports of TensorFlow and
the writing of the tables; a cluster is started before the clock. "Of twice one worker" is the time
of one worker over twice that of two; processor time says whether two workers had more to do, or
other work took the cores. A killed worker is a random one (SIGKILL); tables are compared but for
what is clocked.
"""

from __future__ import annotations

import csv
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.clusters.kills import DASK, POOL, Kills, cpu_seconds, killed_every, workers_below
from benchmarks.clusters.local import cluster
from benchmarks.clusters.networks import lively_weights
from benchmarks.clusters.photos import many_photos
from benchmarks.costs import Beside, Cost, alone, cost_of_edgequant
from benchmarks.record import Figure
from edgequant.artifacts import code_digest
from edgequant.sweeping.engine import open_engine
from edgequant.sweeping.plan import read_plan
from edgequant.sweeping.running import Ended, Request, run_all
from edgequant.sweeping.tasks import Task, tasks_of
from foundation.errors import InvalidInputError
from foundation.threads import cores

MODEL = "mobilenet_v2_small"
KILL_SECONDS = 20.0
EMPTY_TASKS = 1000
ALPHAS = (0.35, 0.5, 0.75, 1.0)
PLAN = """
data = "fashion_mnist:test"
recipes = ["tflite-int8", "onnx-int8", "tflite-int8-per-tensor"]
efforts = ["fast", "default"]
samples = 100
limit = 500
"""
_TASKS = 24
_CLOCKED = ("seconds", "where", "latency_ms")
"""Columns of a sweep's table that no two runs share."""
_CALIBRATION = "fashion_mnist:calibration"
_WHOLE, _REPEATED = 10_000, 4_096
"""Images of the timed evaluation, and of the one whose reports are compared: 8 parts."""
_SIZE = 96
"""Side of its network's input: large enough that the start of the workers is a small part."""
_SHARES = (1, 2, 3, 7)
_OF_PHOTOS, _PHOTOS = "mobilenet_v2", 4_096
"""Network and number of the photos whose calibration is divided: 64 parts."""

Table = list[dict[str, str]]


def run() -> list[Figure]:
    """Measure all of it; the subject is the work and the workers.

    Raises:
        InvalidInputError: fewer than two cores, or a command failed.
    """
    if cores() < 2:
        raise InvalidInputError(
            "two workers are measured on two cores",
            received=f"{cores()} core",
            remedy="run it on such a machine",
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        grid = _Grid(folder)
        figures = [*_speeds(grid), *_kills(grid), *_empty(grid)]
        figures += _evaluations(folder, grid.weights[-1])
        figures += _calibrations(folder)
    return figures


class _Grid:
    """The grid of 24 tasks, each run of it with a store of its own.

    Args:
        folder: folder for the plan and the runs.
    """

    def __init__(self, folder: Path) -> None:
        self.plan = folder / "grid.toml"
        self.weights = lively_weights(MODEL, ALPHAS, _CALIBRATION, folder)
        tables = [
            f'[[models]]\nmodel = "{MODEL}"\nweights = "{file.name}"\nalphas = {alpha}\n'
            for alpha, file in zip(ALPHAS, self.weights, strict=True)
        ]
        self.plan.write_text("\n".join([PLAN, *tables]), encoding="utf-8")
        self._folder = folder
        self._runs = 0
        self.table: Table = []

    def run(self, *words: str, beside: Beside = alone) -> tuple[Cost, int]:
        """A run, and the number of its rows that differ from those of the first run."""
        self._runs += 1
        output = self.output
        words = ("sweep", str(self.plan), "--output", str(output), *words)
        done = cost_of_edgequant(*words, beside=beside)
        table = _table(output / "sweep.csv")
        self.table = self.table or table
        differ = sum(mine != first for mine, first in zip(table, self.table, strict=True))
        return done, differ

    @property
    def output(self) -> Path:
        """Folder of the last run."""
        return self._folder / f"run{self._runs}"

    def first_task(self) -> Task:
        """First task of the plan."""
        return tasks_of(read_plan(self.plan), _TASKS)[0]


def _table(path: Path) -> Table:
    """Rows of a sweep without what is clocked."""
    with path.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        for name in _CLOCKED:
            row.pop(name)
        row["front"] = " ".join(cost for cost in row["front"].split() if cost not in _CLOCKED)
    return rows


@dataclass(frozen=True)
class _Way:
    """A way to run the grid.

    Attributes:
        subject: name of the workers.
        words: options of the command.
        dask: number of Dask workers; 0 for processes of the command.
        workers: number of workers.
    """

    subject: str
    words: tuple[str, ...]
    dask: int
    workers: int


_ONE = _Way("1 process", ("--workers", "1"), 0, 1)
_POOL = _Way("2 processes", ("--workers", "2"), 0, 2)
_DASK = _Way("2 Dask workers", (), 2, 2)


@contextmanager
def _opened(way: _Way) -> Iterator[tuple[str, ...]]:
    """Options of the command, with the cluster started if there is one."""
    if not way.dask:
        yield way.words
        return
    with cluster(way.dask) as address:
        yield (*way.words, "--cluster", address)


def _speeds(grid: _Grid) -> list[Figure]:
    seconds, figures = {}, []
    for way in (_POOL, _ONE, _DASK):  # one worker in the middle of the two that it is beside
        with _opened(way) as words:
            done, differ = grid.run(*words)
            # Processes of a Dask worker are not those of the command.
            others = sum(cpu_seconds(one.pid) for one in workers_below(None, POOL))
        seconds[way] = done.seconds
        subject, n = f"grid: {way.subject}", way.workers
        figures += [
            Figure(subject, "whole command", done.seconds, "s", _TASKS, n),
            Figure(subject, "processor time", done.processor_seconds + others, "s", _TASKS, n),
            Figure(subject, "rows that differ", differ, "rows", _TASKS, n),
        ]
    for way in (_POOL, _DASK):
        ratio = seconds[_ONE] / (2 * seconds[way])
        subject = f"grid: {way.subject}"
        figures.append(Figure(subject, "of twice one worker", ratio, "x", _TASKS, way.workers))
    return figures


def _kills(grid: _Grid) -> list[Figure]:
    """The grid while a worker is killed every 20 seconds."""
    figures = []
    for way in (_POOL, _DASK):
        kills: list[Kills] = []
        with _opened(way) as words:
            done, differ = grid.run(*words, beside=partial(_killing, way, kills))
        subject = f"grid: {way.subject}, one killed every {KILL_SECONDS:g} s"
        for quantity, value, unit in (
            ("whole command", done.seconds, "s"),
            ("workers killed", kills[0].count, "kills"),
            ("rows that differ", differ, "rows"),
        ):
            figures.append(Figure(subject, quantity, value, unit, _TASKS, way.workers))
    return figures


@contextmanager
def _killing(way: _Way, kills: list[Kills], process: int) -> Iterator[None]:
    """Kills of the command's processes, or of the Dask workers, which this process started."""
    root, text = (None, DASK) if way.dask else (process, POOL)
    with killed_every(KILL_SECONDS, lambda: workers_below(root, text)) as made:
        yield
    kills.append(made)


def _empty(grid: _Grid) -> list[Figure]:
    """Time of a task that is in the store: request, look-up and answer, on workers that run."""
    task = grid.first_task()
    values = {
        "do": "task",
        "task": task.to_dict(),
        "store": str(grid.output / "store"),
        "code": code_digest(),
    }
    figures = []
    for way in (_POOL, _DASK):
        with _opened(way) as words, open_engine(*_engine(words)) as engine:

            def took(count: int) -> float:
                requests = [Request(str(n), "empty", values) for n in range(count)]
                start = time.perf_counter()
                ended = run_all(requests, engine, 0, lambda _: None)
                _require_answers(ended)
                return time.perf_counter() - start

            took(2 * way.workers)  # starts the processes
            ms = median(took(EMPTY_TASKS) for _ in range(3)) / EMPTY_TASKS * 1000
        subject = f"empty task: {way.subject}"
        figures.append(Figure(subject, "overhead", ms, "ms", EMPTY_TASKS, way.workers))
    return figures


def _engine(words: tuple[str, ...]) -> tuple[str | None, int | None]:
    """Arguments of ``open_engine`` for options of the command."""
    options = dict(zip(words[::2], words[1::2], strict=True))
    workers = options.get("--workers")
    return options.get("--cluster"), None if workers is None else int(workers)


def _require_answers(ended: tuple[Ended, ...]) -> None:
    failed = [one for one in ended if one.answer is None]
    if failed:
        raise InvalidInputError(
            "a task that is in the store is answered",
            received=failed[0].sentence,
            remedy="run the benchmark alone",
        )


def _evaluations(folder: Path, weights: Path) -> list[Figure]:
    """Images a second of an evaluation in parts, and its reports for more and more workers."""
    quantize = ["quantize", "--recipe", "tflite-float32,tflite-int8", "--optimize", "fast"]
    quantize += ["--model", MODEL, "--weights", str(weights), "--alpha", f"{ALPHAS[-1]}"]
    quantize += ["--size", str(_SIZE), "--calibration", _CALIBRATION, "--samples", "100"]
    cost_of_edgequant(*quantize, "--output", str(folder / "files"))
    (exact,), (int8,) = (
        (folder / "files").rglob(f"*{name}.tflite") for name in ("float32", "int8")
    )
    words = ["evaluate", str(int8), "--reference", str(exact), "--data", "fashion_mnist:test"]
    words += ["--no-latency", "--json"]
    figures, seconds = [], {}
    for workers in (1, 2):
        store = str(folder / f"whole{workers}")
        done = cost_of_edgequant(*words, "--workers", str(workers), "--store", store)
        speed = re.search(r"([\d.]+) images/s", done.err)
        assert speed is not None
        seconds[workers] = done.seconds
        subject = f"evaluate, {_WHOLE:,} images: {workers} process{'es' if workers > 1 else ''}"
        figures += [
            Figure(subject, "whole command", done.seconds, "s", _WHOLE, workers),
            Figure(subject, "images/s", float(speed[1]), "1/s", _WHOLE, workers),
        ]
    ratio = seconds[1] / seconds[2]
    figures.append(Figure(subject, "times one worker", ratio, "x", _WHOLE, 2))
    return figures + _reports(words, folder)


def _calibrations(folder: Path) -> list[Figure]:
    """A plan whose ranges are measured on many photos, in one process, and in parts on workers."""
    photos = many_photos(folder / "photos", _PHOTOS)
    (weights,) = lively_weights(_OF_PHOTOS, ALPHAS[:1], str(photos), folder, 32)
    words = ["quantize", "--recipe", "tflite-int8", "--samples", f"{_PHOTOS}"]
    words += ["--model", _OF_PHOTOS, "--weights", str(weights), "--alpha", f"{ALPHAS[0]}"]
    words += ["--calibration", str(photos)]
    ways = {"in one process": [], "1 worker": ["--workers", "1"], "2 workers": ["--workers", "2"]}
    figures, seconds, first = [], {}, b""
    for number, (way, more) in enumerate(ways.items()):
        output = folder / f"calibrated{number}"
        store = ["--store", str(folder / f"store{number}")] if more else []
        done = cost_of_edgequant(*words, *more, *store, "--output", str(output))
        (file,) = output.glob("*.tflite")
        first, found = first or file.read_bytes(), file.read_bytes()
        seconds[way] = done.seconds
        subject, n = f"calibrate, {_PHOTOS:,} photos: {way}", 2 if way == "2 workers" else 1
        figures += [
            Figure(subject, "whole command", done.seconds, "s", _PHOTOS, n),
            Figure(subject, "same bytes", float(found == first), "", _PHOTOS, n),
        ]
    ratio = seconds["1 worker"] / seconds["2 workers"]
    figures.append(Figure(subject, "times one worker", ratio, "x", _PHOTOS, 2))
    return figures


def _reports(words: list[str], folder: Path) -> list[Figure]:
    """Bytes in which the report of 2, 3 and 7 workers differs from that of one."""
    figures, first = [], b""
    for workers in _SHARES:
        with cluster(1, workers) as address:
            store = str(folder / f"part{workers}")
            limit = ["--limit", str(_REPEATED), "--store", store, "--cluster", address]
            report = cost_of_edgequant(*words, *limit).out
        first = first or report
        differ = abs(len(report) - len(first)) + sum(
            a != b for a, b in zip(report, first, strict=False)
        )
        subject = f"evaluate, {_REPEATED:,} images: {workers} Dask worker{'s' * (workers > 1)}"
        figures.append(Figure(subject, "bytes that differ", differ, "B", _REPEATED, workers))
    return figures
