"""Queries for rows of the results, and phrases whose words depend on the figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from foundation.errors import InvalidInputError
from studies.relu6.bits import FILE
from studies.relu6.layers import Ranges
from studies.relu6.networks import ACTIVATIONS, KINDS
from studies.relu6.results import ContrastRow, DropRow, NoiseRow, Results

PER_CHANNEL = "per-channel"
PER_TENSOR = "per-tensor"
MIN_MAX = Ranges.MIN_MAX.value
PERCENTILE = Ranges.PERCENTILE.value
FIXED = Ranges.FIXED.value
SIMULATED = "simulated"
EVERY = "every tensor"
FUSED = "fused"

Row = TypeVar("Row")

NAMES = {
    "relu6": "ReLU6",
    "relu": "ReLU",
    "swish": "swish",
    "hard_swish": "hard swish",
    "relu6-non_linear": "ReLU6, non-linear bottlenecks",
    "relu6-expansions": "ReLU6, shortcuts between expansions",
    "relu6-from_swish": "swish, fine-tuned with ReLU6",
}

ACTIVATION_KINDS = tuple(kind.name for kind in ACTIVATIONS)
EVERY_KIND = tuple(kind.name for kind in KINDS)
USUAL = ACTIVATION_KINDS[0]
OTHERS = ACTIVATION_KINDS[1:]


@dataclass(frozen=True)
class Lookup:
    """Queries on the results."""

    results: Results

    def drop(
        self,
        kind: str,
        bits: int = 8,
        ranges: str = MIN_MAX,
        weights: str = PER_CHANNEL,
        *,
        what: str = "int8",
        where: str = EVERY,
        runtime: str = SIMULATED,
    ) -> DropRow:
        """Row of part 1; raises as ``only``."""
        return only(
            row
            for row in self.results.drops
            if (row.kind, row.bits, row.ranges, row.weights) == (kind, bits, ranges, weights)
            and (row.what, row.where, row.runtime) == (what, where, runtime)
        )

    def file(self, kind: str, weights: str, what: str = "int8") -> DropRow:
        """Row of part 1 for a real file; raises as ``only``."""
        return only(
            row
            for row in self.results.drops
            if (row.kind, row.weights, row.what, row.runtime) == (kind, weights, what, FILE)
        )

    def floats(self, kind: str) -> DropRow:
        """Any row of part 1, for the accuracy of the float networks."""
        return next(row for row in self.results.drops if row.kind == kind)

    def contrast(
        self,
        kind: str,
        bits: int = 8,
        ranges: str = MIN_MAX,
        weights: str = PER_CHANNEL,
        what: str = "drop",
    ) -> ContrastRow:
        """Comparison of a kind with the paper's; raises as ``only``."""
        return only(
            row
            for row in self.results.contrasts
            if (row.first, row.bits, row.ranges, row.weights, row.what)
            == (kind, bits, ranges, weights, what)
        )

    def noise(self, kind: str, role: str, ranges: str = MIN_MAX, bits: int = 8) -> NoiseRow:
        """Losses of one role; raises as ``only``."""
        return only(
            row
            for row in self.results.noise
            if (row.kind, row.role, row.ranges, row.bits) == (kind, role, ranges, bits)
        )

    def broken(
        self, kind: str, what: str, strength: float, *, repair: str = "none", **more: str
    ) -> DropRow:
        """Row of part 3; raises as ``only``."""
        return only(
            row
            for row in self.results.breaking
            if (row.kind, row.what, row.strength, row.repair) == (kind, what, strength, repair)
            and all(getattr(row, name) == value for name, value in more.items())
        )

    def calibrated(self, kind: str, images: int, ranges: str = MIN_MAX) -> DropRow:
        """Row of the calibration part; raises as ``only``."""
        return only(
            row
            for row in self.results.calibration
            if (row.kind, row.strength, row.ranges) == (kind, float(images), ranges)
        )


def only(rows: Iterable[Row]) -> Row:
    """The only row of a query.

    Raises:
        InvalidInputError: no row, or several: the files are not from one whole run.
    """
    answers = list(rows)
    if len(answers) != 1:
        raise InvalidInputError(
            "the results hold one row for each question",
            received=f"{len(answers)} rows",
            remedy="run 'edgequant study relu6' again, to its end",
        )
    return answers[0]


def points(value: float) -> str:
    """Percentage points, signed only below zero: ``1.23``."""
    return f"{value:.2f}".replace("-", "\u2212")


def within(value: float, low: float, high: float) -> str:
    """A figure with its interval: ``1.23 (0.80 to 1.66)``."""
    return f"{points(value)} ({points(low)} to {points(high)})"


def dropped(row: DropRow) -> str:
    """A drop with its interval."""
    return within(row.drop, row.drop_low, row.drop_high)


def verdict(row: ContrastRow, subject: str, other: str) -> str:
    """Phrase for which of two loses more, or that the interval does not decide it."""
    by = within(abs(row.more), *sorted((abs(row.low), abs(row.high))))
    if row.low > 0:
        return f"{subject} loses {by} points more than {other}"
    if row.high < 0:
        return f"{subject} loses {by} points less than {other}"
    return (
        f"between {subject} and {other} no difference is certain "
        f"({within(row.more, row.low, row.high)} points)"
    )


def listed(parts: Sequence[str]) -> str:
    """List in words: ``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def sentence(text: str) -> str:
    """Text with a capital and a full stop."""
    return f"{text[0].upper()}{text[1:]}."


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown table whose first column is text and whose others are numbers."""
    lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
