"""Ranking of layers by what each costs when it alone is quantized.

Weights and activations are separate changes (``changes``); each is followed to the outputs
(``following``); here the outputs are tallied over the images and the layers ranked, by the noise of
``quantize.objective``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from foundation.errors import InvalidInputError
from network.graph import Graph
from quantize.engine import Settled
from quantize.objective import decided, energy, mean_noise
from quantize.parallel import one_blas_thread
from quantize.plans.simulate import multiply_adds
from quantize.sensitivity.changes import (
    ACTIVATIONS,
    BATCH,
    CLIPPING,
    PARTS,
    WEIGHTS,
    changes,
    solved_alone,
)
from quantize.sensitivity.following import changed_outputs, float_activations
from quantize.settings import PlanSettings

INPUT_KIND = "INPUT"
"""Kind in the row of the image, which no operator computes."""


@dataclass(frozen=True)
class Verdict:
    """What a task says of the outputs of all images.

    Attributes:
        value: its first metric; None without true values.
        drop: its loss against the float network, in the task's unit.
        agreement: percent of the answers that are those of the float network.
    """

    value: float | None
    drop: float
    agreement: float


class Scores(Protocol):
    """Statistics of one change, for tasks whose answers are no single scores."""

    def add(self, exact: list[np.ndarray], changed: list[np.ndarray]) -> None:
        """Add the next ``BATCH`` images: float and changed outputs, ``[batch, ...]`` each."""
        ...

    def verdict(self) -> Verdict:
        """What is lost on all images."""
        ...


@dataclass(frozen=True)
class LabelledImages:
    """Images to measure on, which nothing was decided on.

    Attributes:
        count: number of images.
        batches: images float32 ``[batch, height, width, 3]`` and labels int64 ``[batch]``, from
            the start at each call; None for labels stands for the float network's answers.
        classifies: whether the largest score is the network's answer; without answers there is no
            drop and no agreement, unless ``scores`` tells them.
        scores: makes the scores of one change, for detectors and segmenters; None for others.
    """

    count: int
    batches: Callable[[], Iterable[tuple[np.ndarray, np.ndarray | None]]]
    classifies: bool = True
    scores: Callable[[], Scores] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Effect:
    """What is lost when one thing alone is quantized.

    Attributes:
        noise: power of the change of the outputs, as a share of their power; the mean of these
            shares over several outputs.
        drop: top-1 of the float network minus that of the changed one in percentage points, or the
            loss of the first metric of a detector or segmenter; None for other networks.
        agreement: percent of images, boxes or pixels with the same answer; None for such a network
            too.
        outputs: noise of each of several outputs, by name; empty for a single one.
    """

    noise: float
    drop: float | None
    agreement: float | None
    outputs: Mapping[str, float] = field(default_factory=dict)

    @property
    def sqnr_db(self) -> float | None:
        """Signal-to-quantization-noise ratio of the outputs in dB; None where nothing changes."""
        return _decibels(self.noise)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values: dict[str, Any] = {
            "sqnr_db": self.sqnr_db, "drop": self.drop, "agreement": self.agreement
        }  # fmt: skip
        if self.outputs:
            values["outputs_sqnr_db"] = {n: _decibels(noise) for n, noise in self.outputs.items()}
        return values


def _decibels(noise: float) -> float | None:
    return float(-10 * np.log10(noise)) if noise > 0 else None


@dataclass(frozen=True)
class LayerSensitivity:
    """One row of the ranking.

    Attributes:
        name: name of the operator, or of the image.
        kind: kind of the operator; ``INPUT_KIND`` for the image.
        multiply_adds: number of multiply-adds on one image.
        weights: effect of integer weights and bias; None for an operator without.
        activations: effect of integer results; None for an operator that adds no rounding.
        clipping: what of it is there without rounding, from numbers beyond the range of the
            integers; None for an operator that adds no rounding.
    """

    name: str
    kind: str
    multiply_adds: int
    weights: Effect | None
    activations: Effect | None
    clipping: Effect | None = None

    @property
    def clipped(self) -> float:
        """Noise of clipping as a share of that of the activations, 0 to 1."""
        if self.clipping is None or self.activations is None or not self.activations.noise:
            return 0.0
        return min(self.clipping.noise / self.activations.noise, 1.0)

    @property
    def noise(self) -> float:
        """Noise of weights and activations together, taken as independent."""
        return sum(effect.noise for effect in (self.weights, self.activations) if effect)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "multiply_adds": self.multiply_adds,
            "weights": None if self.weights is None else self.weights.to_dict(),
            "activations": None if self.activations is None else self.activations.to_dict(),
            "clipping_share": self.clipped,
        }


@dataclass(frozen=True)
class Sensitivity:
    """Ranking of a network's layers.

    Attributes:
        layers: rows, the most sensitive first, by the noise of weights and activations together.
        images: number of images that it was measured on.
        top1: top-1 of the float network on these images, in percent; None for a network that does
            not classify.
        value: first metric of a float detector or segmenter on these images; None for others, and
            without true values.
    """

    layers: tuple[LayerSensitivity, ...]
    images: int
    top1: float | None
    value: float | None = None


def sensitivity(
    settled: Settled,
    settings: PlanSettings,
    judged: LabelledImages,
    advance: Callable[[int], None] = lambda _: None,
    parts: frozenset[str] = PARTS,
) -> Sensitivity:
    """Quantize one thing at a time and compare the outputs with the float network's.

    Args:
        settled: equalized graph and parameters.
        settings: how weights are rounded; its ``float_ops`` are left out.
        judged: images that nothing was decided on.
        advance: called with 1 after each rounded operator, then with each number of images done.
        parts: which of ``PARTS`` are measured; the effects of others are None.

    Raises:
        InvalidInputError: no image to measure on, or ``float_ops`` that the graph does not have.
    """
    graph = settled.graph
    if unknown := set(settings.float_ops) - {op.name for op in graph.ops}:
        raise InvalidInputError(
            "operators that stay in float32 are named by their results",
            received=", ".join(sorted(unknown)),
            remedy="take the names from 'edgequant sensitivity' without --keep-float",
        )
    with one_blas_thread():
        solved = solved_alone(settled, settings, advance)
    every = changes(settled, solved, frozenset(settings.float_ops))
    candidates = [change for change in every if change.part in parts]
    tallies = {(change.name, change.part): _Tally.of(judged) for change in candidates}
    base = _Tally.of(judged)
    for images, labels in batches_of(judged):
        activations = float_activations(graph, images)
        exact = [np.asarray(activations[name]) for name in graph.outputs]  # [batch, ...] each
        base.add(exact, exact, labels)
        for change in candidates:
            outputs = changed_outputs(graph, activations, change)
            tallies[change.name, change.part].add(exact, outputs, labels)
        advance(len(images))
    if base.images == 0:
        raise InvalidInputError(
            "sensitivity is measured on calibration images",
            received="an empty set",
            remedy="give a calibration set with more images",
        )
    names = dict.fromkeys(change.name for change in candidates)
    decides = judged.classifies
    rows = [_row(graph, name, tallies, base, decides) for name in names]
    rows.sort(key=lambda row: (-row.noise, row.name))
    top1 = 100 * base.right / base.images if decides else None
    value = None if base.scores is None else base.scores.verdict().value
    return Sensitivity(tuple(rows), base.images, top1, value)


def batches_of(judged: LabelledImages) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Images and labels, BATCH at a time."""
    for images, labels in judged.batches():
        for start in range(0, len(images), BATCH):
            batch = slice(start, start + BATCH)
            yield images[batch], None if labels is None else labels[batch]


@dataclass
class _Tally:
    """Sums over images.

    Attributes:
        images: number of images.
        signal: sum of squares of each float output.
        noise: sum of squares of each output's changes.
        right: number of right answers, those of the first output of classes.
        same: number of answers that are those of the float network.
        scores: statistics of a detector or segmenter; None for others.
    """

    images: int = 0
    signal: list[float] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)
    right: int = 0
    same: int = 0
    scores: Scores | None = None

    @classmethod
    def of(cls, judged: LabelledImages) -> _Tally:
        """A tally of no image yet."""
        return cls(scores=None if judged.scores is None else judged.scores())

    def add(
        self, exact: list[np.ndarray], changed: list[np.ndarray], labels: np.ndarray | None
    ) -> None:
        """Add a batch: float and changed outputs ``[batch, ...]``, labels ``[batch]`` or None."""
        count = len(exact[0])
        self.images += count
        noises = [energy(c.astype(np.float64) - e) for e, c in zip(exact, changed, strict=True)]
        self.signal = _added(self.signal, [energy(output) for output in exact])
        self.noise = _added(self.noise, noises)
        if self.scores is not None:
            self.scores.add(exact, changed)
        number = decided([output.shape for output in exact])
        if number is None:
            answers = same = np.zeros(count, np.int64)
        else:
            answers, same = changed[number].argmax(axis=1), exact[number].argmax(axis=1)
        self.right += int((answers == (same if labels is None else labels)).sum())
        self.same += int((answers == same).sum())


def _added(sums: list[float], values: list[float]) -> list[float]:
    """Sums with these values added one by one; no sum stands for zeros."""
    return [a + b for a, b in zip(sums or [0.0] * len(values), values, strict=True)]


def _row(
    graph: Graph,
    name: str,
    tallies: Mapping[tuple[str, str], _Tally],
    base: _Tally,
    decides: bool,
) -> LayerSensitivity:
    """Row of an operator or of the image, from the tallies of its changes."""

    def effect(part: str) -> Effect | None:
        tally = tallies.get((name, part))
        if tally is None:
            return None
        drop = 100 * (base.right - tally.right) / base.images if decides else None
        agreement = 100 * tally.same / base.images if decides else None
        if tally.scores is not None:
            verdict = tally.scores.verdict()
            drop, agreement = verdict.drop, verdict.agreement
        return Effect(
            noise=mean_noise(tally.signal, tally.noise),
            drop=drop,
            agreement=agreement,
            outputs={} if len(graph.outputs) == 1 else by_output(tally),
        )

    def by_output(tally: _Tally) -> dict[str, float]:
        sums = zip(graph.outputs, tally.signal, tally.noise, strict=True)
        return {name: mean_noise([signal], [noise]) for name, signal, noise in sums}

    op = graph.producers.get(name)
    return LayerSensitivity(
        name=name,
        kind=INPUT_KIND if op is None else str(op.kind),
        multiply_adds=0 if op is None else multiply_adds(graph, op),
        weights=effect(WEIGHTS),
        activations=effect(ACTIVATIONS),
        clipping=effect(CLIPPING),
    )
