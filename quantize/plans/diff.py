"""Differences between two plans, tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from network.affine import QuantParams
from quantize.plans.plan import IntegerConstant, QuantizationPlan


@dataclass(frozen=True)
class PlanDifference:
    """One difference of a tensor or of the whole plan.

    Attributes:
        name: name of the tensor; empty for the whole plan.
        part: what differs.
        detail: the difference in words.
    """

    name: str
    part: str
    detail: str

    def to_dict(self) -> dict[str, str]:
        """Plain values for JSON."""
        return {"name": self.name, "part": self.part, "detail": self.detail}


def differences(first: QuantizationPlan, second: QuantizationPlan) -> tuple[PlanDifference, ...]:
    """Every difference that a file rendered from the plans could show; notes are not compared."""
    return (
        *_whole(first, second),
        *_params(first.activations, second.activations),
        *_constants(first.constants, second.constants),
        *_floats(first.floats, second.floats),
    )


def _whole(first: QuantizationPlan, second: QuantizationPlan) -> Iterator[PlanDifference]:
    compared = ("granularity", "weight_range", "float_ops", "wide_ops")
    pairs = [("graph", first.graph, second.graph)]
    pairs += [(p, getattr(first.settings, p), getattr(second.settings, p)) for p in compared]
    for part, one, two in pairs:
        if one != two:
            yield PlanDifference("", part.replace("_", " "), f"{_short(one)} and {_short(two)}")


def _short(value: Any) -> str:
    text = ", ".join(value) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."


def _missing(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[PlanDifference]:
    for name in sorted(first.keys() ^ second.keys()):
        where = "first" if name in first else "second"
        yield PlanDifference(name, "tensor", f"in the {where} plan alone")


def _params(
    first: Mapping[str, QuantParams], second: Mapping[str, QuantParams]
) -> Iterator[PlanDifference]:
    yield from _missing(first, second)
    for name in sorted(first.keys() & second.keys()):
        yield from _scales(name, first[name], second[name])


def _scales(name: str, one: QuantParams, two: QuantParams) -> Iterator[PlanDifference]:
    if (one.dtype, one.axis, len(one.scale)) != (two.dtype, two.axis, len(two.scale)):
        kinds = [f"{len(p.scale)} of {p.dtype.value}, axis {p.axis}" for p in (one, two)]
        yield PlanDifference(name, "scales", " and ".join(kinds))
        return
    if one.scale != two.scale:
        ratio = np.asarray(two.scale, np.float64) / np.asarray(one.scale, np.float64)
        count = int(np.count_nonzero(ratio != 1))
        yield PlanDifference(
            name,
            "scale",
            f"{count} of {len(ratio)}, second over first {ratio.min():.4g} to {ratio.max():.4g}",
        )
    if one.zero_point != two.zero_point:
        shift = np.asarray(two.zero_point) - np.asarray(one.zero_point)
        yield PlanDifference(
            name, "zero point", f"second minus first {shift.min()} to {shift.max()}"
        )


def _constants(
    first: Mapping[str, IntegerConstant], second: Mapping[str, IntegerConstant]
) -> Iterator[PlanDifference]:
    yield from _missing(first, second)
    for name in sorted(first.keys() & second.keys()):
        one, two = first[name], second[name]
        yield from _scales(name, one.params, two.params)
        if one.integers.shape != two.integers.shape:
            shapes = f"{list(one.integers.shape)} and {list(two.integers.shape)}"
            yield PlanDifference(name, "shape", shapes)
            continue
        distance = np.abs(one.integers.astype(np.int64) - two.integers)
        if distance.any():
            share = 100 * np.count_nonzero(distance) / distance.size
            yield PlanDifference(
                name, "integers", f"{share:.1f} % of {distance.size:,}, by {distance.max()} at most"
            )


def _floats(
    first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]
) -> Iterator[PlanDifference]:
    yield from _missing(first, second)
    for name in sorted(first.keys() & second.keys()):
        if not np.array_equal(first[name], second[name]):
            yield PlanDifference(name, "float32 values", "not the same")
