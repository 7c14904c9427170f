"""What each layer costs when it alone is quantized, its weights and its activations apart.

The float activations of a batch are computed once; a change is followed from the layer where it
is made, through the operators that it reaches. Weights are rounded as the engine rounds them, for
float inputs: with all the rest in float there is nothing else to make good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from foundation.errors import InvalidInputError
from network.graph import Graph, Op
from network.run_tensorflow import constants, dequantized, forward, quantized, run_op, schedule
from quantize.engine import EFFORTS, Settled, layer_settings
from quantize.parallel import one_blas_thread
from quantize.plans.simulate import multiply_adds
from quantize.recipes import PlanSettings
from quantize.rounding.layers import Solved, solve
from quantize.rounding.moments import moments

BATCH = 8
"""Images whose activations are all held at once."""

INPUT_KIND = "INPUT"
"""Stands for the kind of an operator in the row of the image."""


@dataclass(frozen=True)
class LabelledImages:
    """Images to judge on, which nothing was decided on.

    Attributes:
        count: of images.
        batches: images float32 ``[batch, height, width, 3]`` and labels int64 ``[batch]``, from
            the start at each call; None for labels stands for what the float network says.
    """

    count: int
    batches: Callable[[], Iterable[tuple[np.ndarray, np.ndarray | None]]]


@dataclass(frozen=True)
class Effect:
    """What is lost when one thing alone is quantized.

    Attributes:
        noise: power of the change of the scores, as a share of the scores' own.
        drop: float minus changed network, in points of top-1.
        agreement: percent of images with the same answer.
    """

    noise: float
    drop: float
    agreement: float

    @property
    def sqnr_db(self) -> float | None:
        """Signal to quantization noise of the scores; None where nothing changes."""
        return float(-10 * np.log10(self.noise)) if self.noise > 0 else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"sqnr_db": self.sqnr_db, "drop": self.drop, "agreement": self.agreement}


@dataclass(frozen=True)
class LayerSensitivity:
    """One row of the ranking.

    Attributes:
        name: of the operator, or of the image.
        kind: of the operator; ``INPUT_KIND`` of the image.
        multiply_adds: on one image.
        weights: effect of its weights and bias in integers; None without any.
        activations: effect of its results in integers; None where it adds no rounding.
    """

    name: str
    kind: str
    multiply_adds: int
    weights: Effect | None
    activations: Effect | None

    @property
    def noise(self) -> float:
        """Of both together, taken as independent."""
        return sum(effect.noise for effect in (self.weights, self.activations) if effect)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "multiply_adds": self.multiply_adds,
            "weights": None if self.weights is None else self.weights.to_dict(),
            "activations": None if self.activations is None else self.activations.to_dict(),
        }


@dataclass(frozen=True)
class Sensitivity:
    """The ranking of a network.

    Attributes:
        layers: the most sensitive first, by the noise of weights and activations together.
        images: that it was measured on.
        top1: of the float network on them, in percent.
    """

    layers: tuple[LayerSensitivity, ...]
    images: int
    top1: float


def sensitivity(
    settled: Settled,
    settings: PlanSettings,
    judged: LabelledImages,
    advance: Callable[[int], None] = lambda _: None,
) -> Sensitivity:
    """Quantize one thing at a time and look at the scores.

    Args:
        settled: equalized graph and parameters.
        settings: how weights are rounded; its ``float_ops`` are left out.
        judged: images that nothing was decided on.
        advance: told of operators that are rounded, then of images.

    Raises:
        InvalidInputError: no image to judge on, or float operators that there are not.
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
    changes = list(_changes(graph, settled, solved, frozenset(settings.float_ops)))
    tally = {change.key: _Tally() for change in changes}
    base = _Tally()
    for images, labels in _parts(judged):
        values = _values(graph, images)
        exact = np.asarray(values[graph.output])
        said = exact.argmax(axis=1)
        right = said if labels is None else labels
        base.add(exact, exact, right)
        for change in changes:
            tally[change.key].add(exact, np.asarray(_followed(graph, values, change)), right)
        advance(len(images))
    if base.images == 0:
        raise InvalidInputError(
            "sensitivity is measured on calibration images",
            received="an empty set",
            remedy="give a calibration set with more images",
        )
    rows = [_row(graph, name, tally, base) for name in dict.fromkeys(c.key[0] for c in changes)]
    rows.sort(key=lambda row: (-row.noise, row.name))
    return Sensitivity(tuple(rows), base.images, 100 * base.right / base.images)


def solved_alone(
    settled: Settled, settings: PlanSettings, advance: Callable[[int], None] = lambda _: None
) -> dict[str, Solved]:
    """Every weighted operator rounded for the float network's own inputs, by name."""
    graph, effort = settled.graph, EFFORTS[settings.optimization]
    layer = layer_settings(settings)
    values: dict[str, np.ndarray] = {graph.input: settled.kept}
    solved: dict[str, Solved] = {}
    for op, spent in schedule(graph):
        if op.is_weighted and op.name not in settings.float_ops:
            source = values[op.inputs[0]]
            middle = max(1, len(source) // 2)
            parts = (source[:middle], source[middle:] if len(source) > 1 else source)
            first, second = (
                moments(op, graph, ((x, x) for x in _pieces(part)), effort.positions)
                for part in parts
            )
            halves = (first, second)
            solved[op.name] = solve(op, graph, settled.params[op.inputs[0]], halves, layer)
        _advance_values(graph, op, values)
        for name in spent:
            del values[name]
        advance(1)
    return solved


def _advance_values(graph: Graph, op: Op, values: dict[str, np.ndarray]) -> None:
    """Compute an operator of the float network in pieces."""
    count = len(next(values[n] for n in op.inputs if n and not graph.is_constant(n)))
    results: list[list[np.ndarray]] = [[] for _ in op.outputs]
    for start in range(0, count, BATCH):
        held = {name: value[start : start + BATCH] for name, value in values.items()}
        for kept, value in zip(results, run_op(op, graph, constants(graph, op, held)), strict=True):
            kept.append(np.asarray(value))
    for name, pieces in zip(op.outputs, results, strict=True):
        values[name] = np.concatenate(pieces)


def _pieces(images: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(images), BATCH):
        yield images[start : start + BATCH]


def _parts(judged: LabelledImages) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    for images, labels in judged.batches():
        for start in range(0, len(images), BATCH):
            part = slice(start, start + BATCH)
            yield images[part], None if labels is None else labels[part]


@dataclass(frozen=True)
class _Change:
    """One thing quantized.

    Attributes:
        key: name of the row, and which of its columns.
        op: whose constants are others, or whose results are rounded; None for the image.
        values: other constants, by name.
        rounded: activations that are rounded.
    """

    key: tuple[str, str]
    op: Op | None
    values: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    rounded: Mapping[str, Any] = field(default_factory=dict, repr=False)


def _changes(
    graph: Graph, settled: Settled, solved: Mapping[str, Solved], floats: frozenset[str]
) -> Iterator[_Change]:
    params = settled.params
    yield _Change((graph.input, "activations"), None, rounded={graph.input: params[graph.input]})
    for op in graph.ops:
        if op.name in floats:
            continue
        if op.name in solved:
            layer = solved[op.name]
            other = {op.inputs[1]: layer.weight.to_float(), op.inputs[2]: layer.bias.to_float()}
            yield _Change((op.name, "weights"), op, values=other)
        if not op.traits.moves:  # a result that only moves adds no rounding
            yield _Change((op.name, "activations"), op, rounded={n: params[n] for n in op.outputs})


def _values(graph: Graph, images: np.ndarray) -> dict[str, Any]:
    """Every activation of the float network."""
    import tensorflow as tf

    values: dict[str, Any] = {}

    def seen(name: str, value: Any) -> Any:
        values[name] = value
        return value

    forward(graph, tf.constant(images), seen)
    return values


def _followed(graph: Graph, values: Mapping[str, Any], change: _Change) -> Any:
    """Scores after a change, from the float activations; computes only what it reaches."""
    changed = {
        name: dequantized(quantized(values[name], params), params)
        for name, params in change.rounded.items()
    }
    for op in graph.ops:
        if op is change.op and change.values:
            given = constants(graph, op, {**_read(op, values, changed), **change.values})
        elif op is not change.op and any(name in changed for name in op.inputs):
            given = constants(graph, op, _read(op, values, changed))
        else:
            continue
        changed.update(zip(op.outputs, run_op(op, graph, given), strict=True))
    return changed.get(graph.output, values[graph.output])


def _read(op: Op, values: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    return {n: changed.get(n, values[n]) for n in op.inputs if n in values}


@dataclass
class _Tally:
    """Sums over images.

    Attributes:
        images: so far.
        signal: sum of squares of the float scores.
        noise: sum of squares of the change.
        right: answers that are right.
        same: answers as the float network's.
    """

    images: int = 0
    signal: float = 0.0
    noise: float = 0.0
    right: int = 0
    same: int = 0

    def add(self, exact: np.ndarray, found: np.ndarray, labels: np.ndarray) -> None:
        said = found.argmax(axis=1)
        self.images += len(exact)
        self.signal += float(np.square(exact.astype(np.float64)).sum())
        self.noise += float(np.square(found.astype(np.float64) - exact).sum())
        self.right += int((said == labels).sum())
        self.same += int((said == exact.argmax(axis=1)).sum())


def _row(
    graph: Graph, name: str, tally: Mapping[tuple[str, str], _Tally], base: _Tally
) -> LayerSensitivity:
    def effect(part: str) -> Effect | None:
        seen = tally.get((name, part))
        if seen is None:
            return None
        return Effect(
            noise=seen.noise / max(seen.signal, np.finfo(np.float64).tiny),
            drop=100 * (base.right - seen.right) / base.images,
            agreement=100 * seen.same / base.images,
        )

    op = graph.producers.get(name)
    return LayerSensitivity(
        name=name,
        kind=INPUT_KIND if op is None else str(op.kind),
        multiply_adds=0 if op is None else multiply_adds(graph, op),
        weights=effect("weights"),
        activations=effect("activations"),
    )
