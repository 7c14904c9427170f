"""Making and measuring one file, in a worker's process; the result goes into the store."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from edgequant.api.child import run
from edgequant.api.exchange import Job
from edgequant.artifacts import key_of
from edgequant.sweeping.child import host
from edgequant.sweeping.floats import answers_text
from edgequant.sweeping.parts import require_code
from edgequant.sweeping.store import Store, open_store, read_record, write_record
from edgequant.sweeping.tasks import Task, request_of
from foundation.errors import EdgequantError
from foundation.scratch import temporary_scratch
from quantize.recipes import recipe
from quantize.settings import Precision

_BYTES = {Precision.INT8: 1, Precision.INT4: 1, Precision.INT16X8: 2}
"""Bytes of an activation where it is an integer; 4 otherwise."""


def result_name(key: str) -> str:
    """Name of a task's result in the store."""
    return f"tasks/{key}.json"


def mark_name(key: str) -> str:
    """Name of the mark of a task that is being done; shown, and never decided by."""
    return f"running/{key}.json"


def failure_name(key: str) -> str:
    """Name of the sentence of a task that was set aside."""
    return f"failed/{key}.json"


def result_of(store: Store, key: str) -> dict[str, Any] | None:
    """Result of a task that is done; None if it is not, or the file is damaged."""
    record = read_record(store, result_name(key))
    return record if record is not None and record.get("key") == key else None


def made(request: dict[str, Any]) -> dict[str, Any]:
    """Make, measure and store the file of a task, unless it is in the store.

    Args:
        request: ``task``, ``store`` and ``code``, the digest of the source that named the task.

    Returns:
        The result.

    Raises:
        InvalidInputError: this process runs another version; also every error of the command.
    """
    task = Task.of(request["task"])
    require_code(request)
    store = open_store(request["store"])
    stored = result_of(store, task.key)
    if stored is not None:
        return stored
    write_record(store, mark_name(task.key), {"where": _where(), "started": time.time()})
    try:
        result = _made(task, store, answers_text(request["store"], task.float_key))
        write_record(store, result_name(task.key), result)
    finally:
        store.delete(mark_name(task.key))
    return result


def _made(task: Task, store: Store, answers: str) -> dict[str, Any]:
    start = time.monotonic()
    with temporary_scratch() as folder:
        words = (*task.words, f"--float-answers={answers}", f"--output={folder / 'file'}")
        job = Job(words, "edgequant sweep")
        values = run(job, lambda _: None).values
        _forget()
        report = values.pop("report")
        artifact = Path(values["artifact"])
        files = {}
        for text in values["files"]:
            path = Path(text)
            files[path.name] = f"files/{task.key[:16]}/{path.name}"
            store.write(files[path.name], path.read_bytes())
    rows = [row for row in report["rows"] if row.get("output", "") == _first(report)]
    return {
        "key": task.key,
        "choice": task.to_dict()["choice"],
        "reference": _short(rows[0]),
        "row": _short(rows[-1]),
        "n": report["n"],
        "data": report["data"],
        "cost": _cost(task, store),
        "file": {
            "name": artifact.name,
            "bytes": values["size_bytes"],
            "sha256": values["sha256"],
            "stored": files,
        },
        "remarks": [*values["remarks"], *report.get("remarks", ())],
        "seconds": round(time.monotonic() - start, 3),
        "where": _where(),
        "machine": report["machine"],
    }


def _first(report: dict[str, Any]) -> str:
    name: str = report["rows"][0].get("output", "")
    return name


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """Row without what is listed image by image or class by class."""
    long = ("flipped", "per_class", "parts", "curve")
    return {name: value for name, value in row.items() if name not in long}


def cost_words(task: Task) -> tuple[str, ...]:
    """Words of ``edgequant cost`` for a task; tasks with the same words have the same cost."""
    return (*task.cost_words, f"--bytes={_BYTES.get(recipe(task.choice.recipe).precision, 4)}")


def _cost(task: Task, store: Store) -> dict[str, Any]:
    """Multiply-adds, weights and arena of a task's model: counted by one task, read by others."""
    words = cost_words(task)
    model = request_of(task.words).model.digest()
    name = f"costs/{key_of({'words': words, 'model': model})}.json"
    known = read_record(store, name)
    if known is None:
        known = _counted(words)
        write_record(store, name, known)
    return known


def _counted(words: tuple[str, ...]) -> dict[str, Any]:
    """Cost of a model; a network without a memory plan has its peak alone."""
    tell: Any = lambda _: None  # noqa: E731
    try:
        values = run(Job((*words, "--plan"), "edgequant sweep"), tell).values
    except EdgequantError:
        values = run(Job(words, "edgequant sweep"), tell).values
    _forget()
    plan = values.get("plan", {})
    return {
        "macs": values["macs"],
        "params": values["params"],
        "arena_bytes": plan.get("arena_bytes", values["peak_bytes"]),
    }


def _forget() -> None:
    """Free what Keras keeps of the models of a task."""
    import keras

    keras.utils.clear_session()


def _where() -> str:
    return f"{host()}, process {os.getpid()}"
