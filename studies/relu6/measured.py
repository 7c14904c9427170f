"""What one network did on the test images, and what several seeds did together."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from studies.relu6.grid import decibels
from studies.relu6.statistics import Estimate, over_seeds_and_images

MOST_DB = 150.0
"""Equal scores have no noise; tables show this in place of infinity."""


@dataclass(frozen=True)
class Subject:
    """What was measured; two rows of one subject differ in the seed alone.

    Attributes:
        kind: of the network.
        what: what was done to it, as the part of the study names it.
        weights: granularity of their scales, or ``float``.
        ranges: how those of activations were found, or ``float``.
        bits: of the activations.
        where: which tensors are rounded.
        runtime: ``simulated``, or what ran a file.
        strength: of what was done to it; calibration images, or a factor.
        repair: what was done against it.
    """

    kind: str
    what: str = "int8"
    weights: str = "float"
    ranges: str = "float"
    bits: int = 32
    where: str = "every tensor"
    runtime: str = "simulated"
    strength: float = 0.0
    repair: str = "none"


@dataclass(frozen=True)
class Measured:
    """Answers of one network.

    Attributes:
        subject: what was measured.
        seed: of its training.
        agreement: percent of images on which float and quantized network answer alike.
        sqnr: of the scores, in dB.
        right: bool ``[n]``, images that the network gets right.
        float_right: likewise of the float network.
    """

    subject: Subject
    seed: int
    agreement: float
    sqnr: float
    right: np.ndarray = field(repr=False)
    float_right: np.ndarray = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``from_dict`` reads them back."""
        return {
            **{f.name: getattr(self.subject, f.name) for f in fields(Subject)},
            "seed": self.seed,
            "agreement": self.agreement,
            "sqnr": self.sqnr,
            "n": len(self.right),
            "right": _packed(self.right),
            "float_right": _packed(self.float_right),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Measured:
        """Read back what ``to_dict`` gave."""
        return cls(
            Subject(**{f.name: values[f.name] for f in fields(Subject)}),
            values["seed"],
            values["agreement"],
            values["sqnr"],
            _unpacked(values["right"], values["n"]),
            _unpacked(values["float_right"], values["n"]),
        )


def measured(
    subject: Subject, seed: int, scores: np.ndarray, reference: np.ndarray, labels: np.ndarray
) -> Measured:
    """Compare scores with labels and with the float network's scores.

    Args:
        subject: what gave them.
        seed: of the network's training.
        scores: float32 ``[n, classes]``; may hold infinity and NaN, which is a wrong answer.
        reference: of the float network, finite.
        labels: int64 ``[n]``.
    """
    finite = np.isfinite(scores).all(axis=1)
    answers = np.where(finite, np.where(finite[:, None], scores, 0).argmax(axis=1), -1)
    expected = reference.argmax(axis=1)
    exact = reference.astype(np.float64)
    noise = float(np.square(exact - scores).sum()) if finite.all() else math.inf
    found = decibels(float(np.square(exact).sum()), noise)
    return Measured(
        subject,
        seed,
        float(np.mean(answers == expected) * 100),
        round(max(min(found, MOST_DB), -MOST_DB), 3),
        answers == labels,
        expected == labels,
    )


@dataclass(frozen=True)
class Summary:
    """A subject over its seeds.

    Attributes:
        subject: what was measured.
        seeds: how many.
        float_top1: mean of the float networks, percent.
        top1: mean, percent, with its interval.
        drop: paired, in percentage points, with its interval.
        agreement: mean, percent.
        sqnr: mean, dB.
    """

    subject: Subject
    seeds: int
    float_top1: float
    top1: Estimate
    drop: Estimate
    agreement: float
    sqnr: float


def summaries(rows: Iterable[Measured]) -> list[Summary]:
    """One summary a subject, in the order of their first rows."""
    groups: dict[Subject, list[Measured]] = {}
    for row in rows:
        groups.setdefault(row.subject, []).append(row)
    return [_summary(subject, group) for subject, group in groups.items()]


def drops(group: Sequence[Measured]) -> np.ndarray:
    """Images that only the float network gets right, less the others: ``[seeds, n]``, percent.

    Several rows of a seed (draws of calibration images) are averaged.
    """
    return _by_seed(group, [row.float_right.astype(int) - row.right for row in group])


def _by_seed(group: Sequence[Measured], values: Sequence[np.ndarray]) -> np.ndarray:
    seeds = dict.fromkeys(row.seed for row in group)
    return np.stack(
        [
            np.mean([v for row, v in zip(group, values, strict=True) if row.seed == seed], axis=0)
            * 100.0
            for seed in seeds
        ]
    )


def contrast(first: Sequence[Measured], second: Sequence[Measured]) -> Estimate:
    """By how much more the first subject drops than the second, paired by seed and image."""
    common = [row.seed for row in second]
    one = [row for row in first if row.seed in common]
    two = [row for row in second if row.seed in [r.seed for r in one]]
    return over_seeds_and_images(drops(one) - drops(two))


def _summary(subject: Subject, group: list[Measured]) -> Summary:
    right = _by_seed(group, [row.right for row in group])
    return Summary(
        subject,
        len(right),
        float(np.mean([row.float_right.mean() * 100 for row in group])),
        over_seeds_and_images(right),
        over_seeds_and_images(drops(group)),
        float(np.mean([row.agreement for row in group])),
        float(np.mean([row.sqnr for row in group])),
    )


def _packed(right: np.ndarray) -> str:
    return base64.b64encode(np.packbits(right).tobytes()).decode()


def _unpacked(text: str, count: int) -> np.ndarray:
    bits = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8))
    return bits[:count].astype(bool)
