"""Operators of a network by kind: in which type each file would compute them, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from export.tflite.islands import left_in_float
from network.graph import Graph, Op
from network.integer_forms import obstacle
from network.multiply_adds import shares
from quantize.islands import NO_INT16, percent
from quantize.recipes import Recipe

TARGETS = ("tflite-int8", "onnx-int8", "tflite-int16x8")
"""Recipes whose types are shown."""

_COLUMNS = ("tflite", "onnx", "int16x8")
"""Short names of these on the screen."""


@dataclass(frozen=True)
class OperatorRow:
    """Operators of one kind that are computed alike.

    Attributes:
        kind: TFLite's name of the kind.
        count: number of such operators.
        share: share of the network's multiply-adds, 0 to 1 (``network.multiply_adds``).
        types: type by recipe: ``int8``, ``int16``, ``float32`` or ``-`` where the file cannot be.
        why: reason of every type that is not an integer's; empty where all are.
    """

    kind: str
    count: int
    share: float
    types: Mapping[str, str]
    why: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "types": dict(self.types)}

    def cells(self) -> dict[str, Any]:
        """Cells of the row on the screen."""
        return {
            "operator": self.kind,
            "count": self.count,
            "MACs": percent(self.share),
            **dict(zip(_COLUMNS, self.types.values(), strict=True)),
            "why": self.why,
        }


def operator_rows(
    graph: Graph, in_onnx: Iterable[str] | None, refused: str, wide: Recipe
) -> tuple[OperatorRow, ...]:
    """Rows of a network, the largest share first.

    Args:
        graph: canonical.
        in_onnx: names of operators that an int8 .onnx computes in float between quantizers; None
            where there can be no such file.
        refused: name of the operator that prevents it; empty without one.
        wide: recipe of the int16x8 file, with the settings of its plan if it gets one.
    """
    written = None if in_onnx is None else frozenset(in_onnx)
    left = left_in_float(graph, wide)
    counted = shares(graph, (op.name for op in graph.ops))
    counts: Counter[tuple[str, tuple[str, ...], str]] = Counter()
    sums: Counter[tuple[str, tuple[str, ...], str]] = Counter()
    for op in graph.ops:
        key = (str(op.kind), *_typed(graph, op, written, left, refused))
        counts[key] += 1
        sums[key] += counted[op.name]  # type: ignore[assignment]
    rows = (
        OperatorRow(
            kind, counts[key], float(sums[key]), dict(zip(TARGETS, types, strict=True)), why
        )
        for key in counts
        for kind, types, why in [key]
    )
    return tuple(sorted(rows, key=lambda row: (-row.share, row.kind)))


def _typed(
    graph: Graph,
    op: Op,
    written: frozenset[str] | None,
    in_int16_float: Mapping[str, str],
    refused: str,
) -> tuple[tuple[str, ...], str]:
    """Types of an operator in the files of ``TARGETS``, and why some are not integers."""
    reason = obstacle(graph, op)
    tflite = "float32" if reason else "int8"
    onnx = "-" if written is None else "float32" if reason or op.name in written else "int8"
    int16 = "float32" if op.name in in_int16_float else "int16"
    whys = [reason] if reason else []
    if op.name == refused:
        whys.append("no ONNX form")
    elif onnx == "float32" and not reason:
        whys.append("float in ONNX")
    if int16 == "float32" and not reason:
        whys.append(NO_INT16)
    return (tflite, onnx, int16), "; ".join(whys)
