"""Document of a sweep: a row for each task, the front of each cost, the gates, what failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from edgequant.sweeping.making import failure_name, result_of
from edgequant.sweeping.plan import Gates, SweepPlan
from edgequant.sweeping.store import Store, read_record
from edgequant.sweeping.tasks import Choice, Task
from reports.sweep_rows import COSTS, on_front, quality

Document = dict[str, Any]


def document(plan: SweepPlan, tasks: Sequence[Task], store: Store) -> Document:
    """All that the store has of a plan's tasks.

    Args:
        plan: the plan.
        tasks: its tasks.
        store: their results.

    Returns:
        ``rows`` in the order of the plan, ``failed``, ``waiting`` and the plan's data and gates;
        the same for every number of workers, but for what was clocked.
    """
    rows: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    for task in tasks:
        result = result_of(store, task.key)
        if result is not None:
            rows.append({**_row(result), "misses": _missed(result, plan.gates)})
            continue
        mine = {"key": task.key, "choice": asdict(task.choice), "name": task.choice.text}
        failure = read_record(store, failure_name(task.key))
        if failure is None:
            waiting.append(mine)
        else:
            failed.append({**mine, **failure})
    for cost in COSTS:
        front = on_front(rows, cost)
        for row in rows:
            row.setdefault("front", []).extend([cost.name] if row["key"] in front else [])
    return {
        "data": plan.data,
        "calibration": plan.calibration,
        "n": rows[0]["n"] if rows else None,
        "gates": {name: limit for name, limit in asdict(plan.gates).items() if limit is not None},
        "rows": rows,
        "failed": failed,
        "waiting": waiting,
    }


def _row(result: dict[str, Any]) -> dict[str, Any]:
    """Row of the table: the choice, the figures and what was clocked."""
    choice, row, reference = result["choice"], result["row"], result["reference"]
    value, interval = quality(row)
    clocked = row["latency_ms"]
    return {
        "key": result["key"],
        "name": _text(choice),
        **choice,
        **({"task": row["task"]} if "task" in row else {}),
        "metric": value.name,
        "unit": value.unit,
        "value": value.value,
        "interval": interval,
        "float_value": quality(reference)[0].value,
        "drop": row.get("drop"),
        "drop_interval": row.get("drop_interval"),
        "lower_is_better": value.lower_is_better,
        "agreement": row.get("agreement"),
        "sqnr_db": row.get("sqnr_db"),
        "bytes": result["file"]["bytes"],
        "macs": result["cost"]["macs"],
        "params": result["cost"]["params"],
        "arena_bytes": result["cost"]["arena_bytes"],
        "latency_ms": None if clocked is None else clocked["p50"],
        "n": result["n"],
        "file": result["file"]["name"],
        "sha256": result["file"]["sha256"],
        "stored": result["file"]["stored"].get(result["file"]["name"]),
        "remarks": result["remarks"],
        "seconds": result["seconds"],
        "where": result["where"],
    }


def _text(choice: dict[str, Any]) -> str:
    return Choice(**choice).text


def _missed(result: dict[str, Any], gates: Gates) -> list[str]:
    """Names of the gates that a file does not keep; a figure that was not measured keeps none."""
    clocked = result["row"]["latency_ms"]
    figures = {
        "max_drop": result["row"].get("drop"),
        "max_bytes": result["file"]["bytes"],
        "max_ms": None if clocked is None else clocked["p50"],
        "max_macs": result["cost"]["macs"],
        "max_arena": result["cost"]["arena_bytes"],
    }
    limits = {name: limit for name, limit in asdict(gates).items() if limit is not None}
    return [
        name
        for name, limit in limits.items()
        if (figure := figures[name]) is None or figure > limit
    ]
