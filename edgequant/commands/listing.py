"""``edgequant list`` and ``edgequant inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from calibration_data.datasets.base import dataset_kinds
from edgequant.cli.terminal import Terminal, plain_table
from evaluation.session import runtimes
from evaluation.task import task_kinds
from export.target import export_targets, target_of
from models.cost.table import ListedCost, listed_costs
from models.spec import model_specs
from models.weights.named import known_weights
from network.inspection import Inspection, TensorInfo
from quantize.recipes import RECIPES


def show(what: str, terminal: Terminal) -> None:
    """List a registry as a table or JSON."""
    rows = _ROWS[what]()
    terminal.table(plain_table(rows), _DETAILS.get(what, ()))
    terminal.result({what: rows})


def show_inspection(path: Path, terminal: Terminal, *, all_tensors: bool) -> Inspection:
    """Show operators, types, scales and sizes of a file, and return them."""
    inspection = target_of(path).inspect(path)
    terminal.say(f"{path}  {inspection.format} {inspection.opset}  {inspection.size_bytes:,} bytes")
    ends = [
        {"end": end, **_tensor_row(tensor)}
        for end, tensors in (("input", inspection.inputs), ("output", inspection.outputs))
        for tensor in tensors
    ]
    terminal.table(plain_table(ends))
    terminal.table(
        plain_table(
            [
                {"operator": o.name, "computes in": o.compute, "count": o.count}
                for o in inspection.operators
            ]
        )
    )
    terminal.table(plain_table(_size_rows(inspection)))
    if all_tensors:
        terminal.table(plain_table([_tensor_row(tensor) for tensor in inspection.tensors]))
    terminal.result(inspection.to_dict())
    return inspection


def _size_rows(inspection: Inspection) -> list[dict[str, Any]]:
    return [
        {"part": part, "bytes": f"{size:,}", "share": f"{100 * size / inspection.size_bytes:.1f} %"}
        for part, size in inspection.size_by_part.items()
    ]


def _tensor_row(tensor: TensorInfo) -> dict[str, Any]:
    scales = len(tensor.scale)
    return {
        "name": tensor.name,
        "type": tensor.dtype,
        "shape": "x".join("?" if size is None else str(size) for size in tensor.shape),
        "scale": f"{tensor.scale[0]:.6g}" if scales == 1 else f"{scales} scales" if scales else "-",
        "zero point": str(tensor.zero_point[0]) if len(tensor.zero_point) == 1 else "-",
    }


def _models() -> list[dict[str, Any]]:
    costs = listed_costs()
    return [
        {
            "name": spec.name,
            "task": str(spec.task),
            **_cost_cells(costs.get(spec.name)),
            "input": "x".join(str(size) for size in spec.input_shape),
            "classes": spec.classes,
            "weights": ", ".join(known_weights(spec)),
            "source": spec.source,
            "changes": ", ".join(f"--{knob}" for knob in ("size", "classes", *spec.knobs)),
            "activation": spec.activation.value,
            "alpha": spec.alpha,
            "summary": spec.summary,
        }
        for spec in model_specs().values()
    ]


def _cost_cells(cost: ListedCost | None) -> dict[str, Any]:
    """Millions of parameters and multiply-adds; int8 bytes of weights and of activations."""
    if cost is None:  # a network that was just added, before 'make costs'
        return dict.fromkeys(("params M", "MACs M", "int8 MB", "RAM kB"), "-")
    return {
        "params M": round(cost.params / 1e6, 2),
        "MACs M": round(cost.macs / 1e6, 1),
        "int8 MB": round(cost.params / 1e6, 1),
        "RAM kB": round(cost.peak_elements / 1e3),
    }


def _recipes() -> list[dict[str, Any]]:
    return [
        {
            "name": recipe.name,
            "io": recipe.io.value,
            "calibration": "yes" if recipe.needs_calibration else "no",
            "summary": recipe.summary,
        }
        for recipe in RECIPES
    ]


def _datasets() -> list[dict[str, Any]]:
    return [
        {
            "kind": kind.name,
            "DATA": kind.syntax,
            "summary": kind.summary,
            "names": ", ".join(kind.examples),
        }
        for kind in dataset_kinds()
        if kind.listed
    ]


def _runtimes() -> list[dict[str, Any]]:
    return [
        {
            "name": runtime.name,
            "files": ", ".join(runtime.suffixes),
            "default": "yes" if runtime.default else "",
            "summary": runtime.summary,
        }
        for runtime in runtimes().values()
    ]


def _tasks() -> list[dict[str, Any]]:
    return [
        {
            "name": str(kind.task),
            "metrics": ", ".join(metric.title or metric.name for metric in kind.metrics),
            "--max-drop limits": kind.first.title,
            "summary": kind.summary,
        }
        for kind in task_kinds().values()
    ]


def _targets() -> list[dict[str, Any]]:
    return [
        {"name": target.name, "suffix": target.suffix, "packages": ", ".join(target.packages)}
        for target in export_targets().values()
    ]


_ROWS = {
    "models": _models,
    "recipes": _recipes,
    "datasets": _datasets,
    "runtimes": _runtimes,
    "targets": _targets,
    "tasks": _tasks,
}
_DETAILS = {
    "models": (
        *("source", "summary", "activation", "alpha", "changes"),
        *("RAM kB", "task", "int8 MB", "classes"),
    )
}
"""Columns of a list that a narrow screen leaves out, the first one first."""
