"""Answers of one network on the test images, and their summary over several seeds."""

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
"""Signal-to-noise ratio that tables show for equal scores, instead of infinity."""


@dataclass(frozen=True)
class Subject:
    """A setting that was measured; two rows of one subject differ only in the seed.

    Attributes:
        kind: kind of the network.
        what: change of the network, by its name in the part of the study.
        weights: granularity of the weights' scales, or ``float``.
        ranges: method of the activations' ranges, or ``float``.
        bits: bits of the activations.
        where: tensors that are rounded.
        runtime: ``simulated``, or the runtime of a file.
        strength: strength of the change: a number of calibration images, or a factor.
        repair: repair of the change.
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
        subject: setting that was measured.
        seed: seed of the network's training.
        agreement: percent of images with the same answer of float and quantized network.
        sqnr: signal-to-quantization-noise ratio of the scores, in dB.
        right: bool ``[n]``, images that the network gets right.
        float_right: bool ``[n]``, images that the float network gets right.
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
        """Row from the values that ``to_dict`` gave."""
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
        subject: setting that gave the scores.
        seed: seed of the network's training.
        scores: float32 ``[n, classes]``; infinity or NaN counts as a wrong answer.
        reference: scores of the float network, finite.
        labels: int64 ``[n]``.
    """
    finite = np.isfinite(scores).all(axis=1)
    answers = np.where(finite, np.where(finite[:, None], scores, 0).argmax(axis=1), -1)
    expected = reference.argmax(axis=1)
    exact = reference.astype(np.float64)
    noise = float(np.square(exact - scores).sum()) if finite.all() else math.inf
    sqnr = decibels(float(np.square(exact).sum()), noise)
    return Measured(
        subject,
        seed,
        float(np.mean(answers == expected) * 100),
        round(max(min(sqnr, MOST_DB), -MOST_DB), 3),
        answers == labels,
        expected == labels,
    )


@dataclass(frozen=True)
class Summary:
    """A subject over its seeds.

    Attributes:
        subject: setting that was measured.
        seeds: number of seeds.
        float_top1: mean top-1 of the float networks, in percent.
        top1: mean top-1 in percent, with its interval.
        drop: mean paired drop in percentage points, with its interval.
        agreement: mean agreement, in percent.
        sqnr: mean signal-to-quantization-noise ratio, in dB.
    """

    subject: Subject
    seeds: int
    float_top1: float
    top1: Estimate
    drop: Estimate
    agreement: float
    sqnr: float


def summaries(rows: Iterable[Measured]) -> list[Summary]:
    """One summary per subject, in the order of their first rows."""
    groups: dict[Subject, list[Measured]] = {}
    for row in rows:
        groups.setdefault(row.subject, []).append(row)
    return [_summary(subject, group) for subject, group in groups.items()]


def drops(group: Sequence[Measured]) -> np.ndarray:
    """Images that only the float network gets right minus those that only the other does.

    ``[seeds, n]`` in percent. Several rows of a seed (draws of calibration images) are averaged.
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
    """Drop of the first subject minus that of the second, paired by seed and image."""
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
