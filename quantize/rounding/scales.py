"""Scales of a weight, chosen among candidates by the error of its integers.

A weight that consists of whole multiples of a step already, as one that was read from a quantized
file, may keep them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from network.affine import IntType, QuantParams, weight_reach
from network.graph import Op
from quantize.grids import TOLERANCE, common_step, row_steps
from quantize.rounding.layer_settings import LayerSettings
from quantize.rounding.second_order import PAIR_LIMIT, Layer, pair_reach, rounded

SHARED_NARROWINGS = (1.0, 0.92, 0.84, 0.77, 0.7, 0.64, 0.58, 0.52, 0.46)
"""Factors on the widest of a weight's only scale: where a few channels reach far beyond the others,
cutting their largest weights off gives all of them smaller steps."""


@dataclass(frozen=True)
class OnGrid:
    """A float weight of whole numbers, as one that comes from a quantized file.

    Attributes:
        scale: float64 ``[channels]``, each exactly a float32.
        integers: the weight in these scales, within the limit, ``[channels, inputs]``.
    """

    scale: np.ndarray = field(repr=False)
    integers: np.ndarray = field(repr=False)

    @classmethod
    def of(
        cls, op: Op, weight: np.ndarray, pairs: np.ndarray | None, settings: LayerSettings
    ) -> OnGrid | None:
        """The integers of a weight; None where it has none.

        Where they leave room up to the limit, a whole part of their step is the scale.

        Args:
            op: weighted operator.
            weight: ``[channels, inputs]``.
            pairs: pairs of inputs that must not saturate, as in ``Layer``.
            settings: how the layer is rounded.
        """
        if settings.bits != 8:
            return None
        if settings.per_channel(op):
            steps = row_steps(weight)
        else:
            step = common_step(weight)
            steps = None if step is None else np.full(len(weight), step)
        if steps is None:
            return None
        reach = np.abs(weight).max(axis=1)
        if pairs is not None:
            reach = np.maximum(reach, pair_reach(weight, pairs) * settings.limit / PAIR_LIMIT)
        widest = weight_reach(reach, per_channel=settings.per_channel(op)) / settings.limit
        parts = np.maximum(np.floor(steps / widest * (1 + TOLERANCE)), 1.0)
        scale = np.where(steps > 0, steps / parts, widest).astype(np.float32).astype(np.float64)
        integers = np.clip(np.rint(weight / scale[:, None]), -settings.limit, settings.limit)
        return cls(scale, integers)


def best_rounding(
    op: Op,
    target: np.ndarray,
    layers: list[tuple[slice, Layer]],
    settings: LayerSettings,
    grid: OnGrid | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Scales ``[channels]`` and integers ``[channels, inputs]`` of the least error.

    With one scale per channel, each channel takes the candidate of its own least error; with one
    scale per weight, all take that of the least sum.

    Args:
        op: weighted operator.
        target: float weight ``[channels, inputs]``.
        layers: the same, in groups.
        settings: how the layer is rounded.
        grid: integers that the float weight consists of, whose scale is then one to choose from.
    """
    candidates = _candidates(op, target, layers, settings)
    if grid is not None:
        candidates.append(grid.scale)
    scales = np.stack(candidates)  # [candidates, channels]
    errors = np.empty(scales.shape)
    trials: list[tuple[slice, _Trials]] = []
    for group, layer in layers:
        kept = None if grid is None else grid.integers[group]
        of_group = _try_scales(layer, scales[:, group], settings, kept)
        errors[:, group] = of_group.errors
        trials.append((group, of_group))
    if not settings.per_channel(op):
        errors = np.broadcast_to(errors.sum(axis=1, keepdims=True), errors.shape)
    best = errors.argmin(axis=0)  # [channels], numbers of candidates
    integers = np.empty_like(target)
    for group, of_group in trials:
        integers[group] = of_group.integers_of(best[group])
    return scales[best, np.arange(len(target))], integers


@dataclass(frozen=True)
class _Trials:
    """A layer's rows rounded at candidate scales; a trial is one row at one scale.

    Attributes:
        integers: ``[trials, inputs]``.
        numbers: the trial of each candidate and row, int64 ``[candidates, rows]``; candidates that
            give a row the same scale share a trial.
        errors: error of each candidate and row, float64 ``[candidates, rows]``; 0 for a row
            with a single trial.
    """

    integers: np.ndarray
    numbers: np.ndarray
    errors: np.ndarray

    def integers_of(self, candidates: np.ndarray) -> np.ndarray:
        """Integers ``[rows, inputs]`` of one candidate for each row."""
        return np.asarray(self.integers[self.numbers[candidates, np.arange(len(candidates))]])

    def with_last(self, integers: np.ndarray, errors: np.ndarray) -> _Trials:
        """Trials with other integers ``[rows, inputs]`` of the last candidate.

        Args:
            integers: taken in the rows where they have the lesser error.
            errors: error of each row with them, ``[rows]``.
        """
        better = errors < self.errors[-1]
        numbers, least = self.numbers.copy(), self.errors.copy()
        numbers[-1] = np.where(better, len(self.integers) + np.arange(len(better)), numbers[-1])
        least[-1] = np.where(better, errors, least[-1])
        return _Trials(np.concatenate([self.integers, integers]), numbers, least)


def _try_scales(
    layer: Layer, scales: np.ndarray, settings: LayerSettings, kept: np.ndarray | None
) -> _Trials:
    """Round each row at each of its different scales, ``[candidates, rows]``, once.

    Args:
        layer: rows to round.
        scales: ``[candidates, rows]``.
        settings: how the layer is rounded.
        kept: integers to begin with at the last scale as well, ``[rows, inputs]``.
    """
    # The first candidate that gives the row the same scale: [candidates, rows].
    first = (scales[None] == scales[:, None]).argmax(axis=1)
    is_first = first == np.arange(len(scales))[:, None]

    # One trial for each first candidate of a row.
    trial_rows = np.nonzero(is_first)[1]  # [trials]
    trial_scales = scales[is_first]  # [trials]
    trials = layer.take(trial_rows)
    integers = rounded(trials, trial_scales, damping=settings.damping, sweeps=settings.sweeps)

    # Other candidates refer to the trial of the first one.
    numbers = np.zeros(scales.shape, np.int64)
    numbers[is_first] = np.arange(len(trial_rows))
    numbers = np.take_along_axis(numbers, first, 0)

    # Errors where a row has a choice.
    errors = np.zeros(len(trial_rows))
    has_choice = (is_first.sum(axis=0) > 1) | (kept is not None)
    judged = np.flatnonzero(has_choice[trial_rows])
    rounded_weight = integers[judged] * trial_scales[judged, None]
    errors[judged] = trials.take(judged).error(rounded_weight)
    found = _Trials(integers, numbers, errors[numbers])
    if kept is None:
        return found
    # A sweep also brings pairs of them into their bounds.
    descended = rounded(
        layer, scales[-1], damping=settings.damping, sweeps=max(settings.sweeps, 1), start=kept
    )
    return found.with_last(descended, layer.error(descended * scales[-1][:, None]))


def _candidates(
    op: Op, target: np.ndarray, layers: list[tuple[slice, Layer]], settings: LayerSettings
) -> list[np.ndarray]:
    """Scales to try, float64 ``[channels]``, each exactly a float32."""
    reach = weight_reach(np.abs(target).max(axis=1), per_channel=settings.per_channel(op))
    shared = not settings.per_channel(op) and settings.bits == 8
    narrowings = (_narrowing(layers, reach, settings),) if shared else settings.narrowings
    factors = [np.full_like(reach, factor) for factor in narrowings]
    pairs = layers[0][1].neighbours
    if pairs is not None:
        # The scale at which no pair saturates by itself, and one halfway to it.
        safe = np.maximum(pair_reach(target, pairs) / reach, 1.0)
        if not settings.per_channel(op):
            safe = np.full_like(safe, safe.max())
        factors += [safe**0.5, safe]
    widest = [reach * factor / settings.limit for factor in factors]
    return [scale.astype(np.float32).astype(np.float64) for scale in widest]


def _narrowing(
    layers: list[tuple[slice, Layer]], reach: np.ndarray, settings: LayerSettings
) -> float:
    """Factor on the only scale of a weight with which its nearest integers have the least error.

    Second-order rounding of each would cost as much as the rest of the plan, and chose no better.

    Args:
        layers: the weight, in groups.
        reach: largest magnitude that the widest scale represents, ``[channels]``, all equal.
        settings: how the layer is rounded.
    """

    def error(factor: float) -> float:
        total = 0.0
        for group, layer in layers:
            scale = reach[group, None] * factor / settings.limit
            integers = np.clip(np.rint(layer.weight / scale), -layer.limit, layer.limit)
            total += float(layer.error(integers * scale).sum())
        return total

    return min(SHARED_NARROWINGS, key=error)


def weight_params_of(op: Op, scale: np.ndarray, settings: LayerSettings) -> QuantParams:
    """Parameters of a weight from its scales ``[channels]``; one where the layer has one."""
    dtype = IntType.INT8 if settings.bits == 8 else IntType.INT4
    if settings.per_channel(op):
        return QuantParams(tuple(scale.tolist()), (0,) * len(scale), dtype, op.channel_axis)
    return QuantParams((float(scale[0]),), (0,), dtype)
