"""What a metric, a drop and the metrics of a file are, and the metric that all tasks share.

The metrics of a task are rows of its file in evaluation/tasks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from calibration_data.task import Task
from evaluation.intervals import Interval
from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

    from evaluation.expected_flips import ExpectedFlips
    from evaluation.scores import Outputs

CONFIDENCE = 0.95

Function = Callable[[Any], float]


@dataclass(frozen=True)
class Metric:
    """One number about an output of a network.

    Attributes:
        name: key in reports.
        unit: ``%``, ``dB``, ``nat``, ``count``; ``target`` for the unit of the targets; empty for
            none.
        needs_reference: whether the metric compares with the float network.
        function: outputs -> value; its docstring has formula and source.
        needs_targets: whether the metric compares with the true values.
        title: head of its column; the name if it has no other.
        note: what it is, in half a sentence.
        defined: whether these outputs and targets have a value of it; no report shows another.
        minor: whether the table on the screen leaves it to the other reports.
        listed: whether tables have a column of it.
    """

    name: str
    unit: str
    needs_reference: bool
    function: Function = field(repr=False)
    needs_targets: bool = False
    title: str = ""
    note: str = ""
    defined: Callable[[Any], bool] = field(repr=False, default=lambda _: True)
    minor: bool = field(repr=False, default=False)
    listed: bool = True

    def applies(self, outputs: Outputs) -> bool:
        """Whether the outputs have what the metric compares with, and a value of it."""
        has_reference, has_targets = outputs.reference is not None, outputs.targets is not None
        return (
            (has_reference or not self.needs_reference)
            and (has_targets or not self.needs_targets)
            and self.defined(outputs)
        )

    @property
    def head(self) -> str:
        """Title with the unit."""
        unit = "" if self.unit in ("", "target", "count") else f" {self.unit}"
        return f"{self.title or self.name}{unit}"


def sqnr(outputs: Outputs) -> float:
    """Signal to quantization noise of the output, in dB, over all images and values.

    ``10 log10(sum r^2 / sum (r - y)^2)``, of the outputs as they are: logits or probabilities.
    Source: Jayant and Noll 1984, Digital Coding of Waveforms, chapter 4. Equal outputs give
    infinity, which ``Metrics.to_dict`` writes as None.

    Raises:
        InvalidInputError: no reference, or one that is zero everywhere.
    """
    import numpy as np

    reference = outputs.required_reference.astype(np.float64)
    signal = float(np.square(reference).sum())
    noise = float(np.square(reference - outputs.outputs).sum())
    return decibels(signal, noise)


def decibels(signal: float, noise: float) -> float:
    """Signal to quantization noise in dB from sums of squares; infinity without noise.

    Args:
        signal: of the float network's outputs.
        noise: of the differences from them.

    Raises:
        InvalidInputError: no signal.
    """
    if signal == 0:
        raise InvalidInputError(
            "the float network's outputs are not all zero",
            received="zeros only",
            remedy="check the weights of the float model",
        )
    if noise == 0:
        return math.inf
    return 10 * (math.log10(signal) - math.log10(noise))


SQNR = Metric(
    "sqnr_db",
    "dB",
    needs_reference=True,
    function=sqnr,
    title="SQNR",
    note="signal to quantization noise of the outputs; more is better",
)
"""Row that every task has."""


def percent(hits: np.ndarray) -> float:
    """Percentage of true values in a boolean array."""
    return 100 * int(hits.sum()) / hits.size


@dataclass(frozen=True, kw_only=True)
class Drop:
    """Loss of a metric against the float network, on the same images.

    Attributes:
        points: what is lost, in the unit of the metric; above zero is a loss, whether more or less
            of the metric is better.
        low: lower limit of the interval, in points.
        high: upper limit.
        confidence: confidence level of the interval.
        method: method by which the interval was computed.
        n: number of images.
    """

    points: float
    low: float
    high: float
    confidence: float
    method: str
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class AccuracyDrop(Drop):
    """Loss of the share of right answers, in percentage points.

    ``points = 100 (right_to_wrong - wrong_to_right) / n``.

    Attributes:
        right_to_wrong: images that only the float network answers right.
        wrong_to_right: images that only the file answers right.
        wrong_to_other_wrong: images with two different wrong answers.
        changed: images with two different answers, the sum of the three.
        p_value: p value of McNemar's exact test; its hypothesis is that both are equally accurate.
    """

    right_to_wrong: int
    wrong_to_right: int
    wrong_to_other_wrong: int
    changed: int
    p_value: float


@dataclass(frozen=True)
class ClassAccuracy:
    """Accuracy on the images of one class.

    Attributes:
        label: class index.
        n: number of images of the class.
        accuracy: percent of them with the right answer.
        drop: percentage points lost against the float network; None without one.
    """

    label: int
    n: int
    accuracy: float
    drop: float | None


@dataclass(frozen=True)
class PartRow:
    """Figure of one value of an output: one label, or one measured quantity.

    Attributes:
        index: place in the output.
        n: number of images that the figure is of.
        value: primary metric of that value alone.
        drop: loss against the float network, in the unit of the metric; None without one.
    """

    index: int
    n: int
    value: float
    drop: float | None


@dataclass(frozen=True)
class Metrics:
    """All metrics of one output of a file on one set of images.

    Attributes:
        n: number of images.
        classes: number of values of the output for one image, or for one place of a map.
        values: value of each metric by name; only those that need neither a reference nor
            targets, where there are none.
        top1_interval: interval of the primary metric, in its unit; None without targets or where
            the metric has none.
        drop: paired loss of the primary metric; None without a reference or without targets.
        changed: number of images with different answers; None without a reference or in a task
            without answers.
        per_class: accuracy of each class that occurs among the labels; empty without labels.
        confidence: confidence level of the intervals.
        task: meaning of the output.
        drops: paired loss of other metrics, by name.
        parts: figures of single values of the output.
        expected: expected number of images with different answers; None where ``changed`` is, and
            in tasks without a margin.
        curve: precision at evenly spaced recalls from 0 to 1; empty for tasks without.
    """

    n: int
    classes: int
    values: dict[str, float]
    top1_interval: Interval | None
    drop: Drop | None
    changed: int | None
    per_class: tuple[ClassAccuracy, ...]
    confidence: float = CONFIDENCE
    task: Task = Task.CLASSIFICATION
    drops: Mapping[str, Drop] = field(default_factory=dict)
    parts: tuple[PartRow, ...] = ()
    curve: tuple[float, ...] = ()
    expected: ExpectedFlips | None = None

    @property
    def top1(self) -> float | None:
        """Top-1 accuracy in percent; None without labels."""
        return self.values.get("top1")

    @property
    def top5(self) -> float | None:
        """Top-5 accuracy in percent; None without labels."""
        return self.values.get("top5")

    @property
    def agreement(self) -> float | None:
        """Percent of images with the float network's answer; None without a reference."""
        return self.values.get("agreement")

    @property
    def sqnr_db(self) -> float | None:
        """Signal to quantization noise in dB, infinity if all is equal; None without reference."""
        return self.values.get("sqnr_db")

    @property
    def kl(self) -> float | None:
        """Divergence from the float network in nats; None without a reference."""
        return self.values.get("kl")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, which has no infinity: the SQNR of equal outputs is None."""
        finite = {k: v if math.isfinite(v) else None for k, v in self.values.items()}
        return {**asdict(self), "values": finite}
