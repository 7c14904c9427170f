"""Part 2, float16: the representable numbers around the values that occur."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from network.run_tensorflow import run
from studies.relu6.grid import decibels
from studies.relu6.layers import Ranges, Role, grids, ranges_of, roles
from studies.relu6.network import Network
from studies.relu6.simulated import batches

IMAGES = 200
LARGEST = 65504.0
"""Largest finite float16 (IEEE 754-2008, binary16)."""
SMALLEST_NORMAL = 2.0**-14
"""Smallest normal float16: all smaller numbers have steps of 2 ** -24 (subnormal numbers)."""

BINADES = range(-26, 18)
"""Exponents e of ``[2 ** e, 2 ** (e + 1))``; the first holds everything below, the last above."""


@dataclass(frozen=True)
class BinadeRow:
    """Activations of one network between two powers of two.

    Attributes:
        kind: kind of the network.
        seed: seed of its training.
        exponent: e of ``[2 ** e, 2 ** (e + 1))``.
        share: share of the values other than 0 in this interval.
        half_step: distance of two float16 numbers in this interval.
        int8_step: geometric mean of the int8 steps of the tensors that hold the values.
    """

    kind: str
    seed: int
    exponent: int
    share: float
    half_step: float
    int8_step: float


@dataclass(frozen=True)
class HalfRow:
    """Activations of one network in float16.

    Attributes:
        kind: kind of the network.
        seed: seed of its training.
        largest: largest magnitude.
        headroom: 65,504 divided by the largest magnitude.
        subnormal: share of the values other than 0 below 2 ** -14.
        overflow: share of the values other than 0 beyond 65,504.
        half_db: signal-to-noise ratio of float16 rounding, all non-linear activations together.
        int8_db: signal-to-noise ratio of int8 rounding with ranges from smallest to largest.
    """

    kind: str
    seed: int
    largest: float
    headroom: float
    subnormal: float
    overflow: float
    half_db: float
    int8_db: float


def spacing(values: np.ndarray) -> np.ndarray:
    """Distance of float16 numbers at each magnitude: ``2 ** (max(e, -14) - 10)``.

    Args:
        values: numbers other than 0, within float16's range.
    """
    exponents = np.frexp(np.abs(values.astype(np.float64)))[1] - 1
    return np.asarray(np.ldexp(1.0, np.maximum(exponents, -14) - 10))


def measure(network: Network) -> tuple[HalfRow, list[BinadeRow]]:
    """Rows of a network: its non-linear activations on some test images."""
    graph, images = network.graph, network.images.some(IMAGES)
    non_linear = [n for n, role in roles(graph).items() if role is Role.ACTIVATED]
    by_name = grids(graph, ranges_of(graph, network.states, Ranges.MIN_MAX), 8, images.contract)
    tally = _Tally()
    for batch in batches(images.test):
        activations: dict[str, np.ndarray] = {}

        def record(name: str, value: object, into: dict[str, np.ndarray] = activations) -> object:
            into[name] = np.asarray(value)
            return value

        run(graph, batch, record)
        for name in non_linear:
            values, grid = activations[name], by_name[name]
            tally.add(values, grid.nearest(values), grid.scale)
    kind, seed = network.variant.kind.name, network.variant.seed
    return tally.row(kind, seed), tally.binades(kind, seed)


class _Tally:
    """Counts over activations and batches."""

    def __init__(self) -> None:
        self.counts = np.zeros(len(BINADES))
        self.steps = np.zeros(len(BINADES))  # sums of log2 of the int8 step
        self.signal = self.half = self.integer = self.largest = 0.0
        self.subnormal = self.overflow = self.nonzero = 0

    def add(self, values: np.ndarray, integer: np.ndarray, step: float) -> None:
        exact = values.astype(np.float64).ravel()
        magnitudes = np.abs(exact[exact != 0])
        exponents = np.frexp(magnitudes)[1] - 1 - BINADES.start
        counts = np.bincount(np.clip(exponents, 0, len(BINADES) - 1), minlength=len(BINADES))
        self.counts += counts
        self.steps += counts * np.log2(step)
        self.signal += float(np.square(exact).sum())
        inside = np.clip(values, -LARGEST, LARGEST).astype(np.float16).astype(np.float64).ravel()
        self.half += float(np.square(exact - inside).sum())
        self.integer += float(np.square(exact - integer.ravel()).sum())
        self.largest = max(self.largest, float(magnitudes.max(initial=0.0)))
        self.subnormal += int(np.count_nonzero(magnitudes < SMALLEST_NORMAL))
        self.overflow += int(np.count_nonzero(magnitudes > LARGEST))
        self.nonzero += magnitudes.size

    def row(self, kind: str, seed: int) -> HalfRow:
        return HalfRow(
            kind,
            seed,
            self.largest,
            LARGEST / self.largest,
            self.subnormal / self.nonzero,
            self.overflow / self.nonzero,
            decibels(self.signal, self.half),
            decibels(self.signal, self.integer),
        )

    def binades(self, kind: str, seed: int) -> list[BinadeRow]:
        return [
            BinadeRow(
                kind,
                seed,
                exponent,
                float(count / self.nonzero),
                float(spacing(np.asarray(2.0**exponent))),
                float(2.0 ** (steps / count)),
            )
            for exponent, count, steps in zip(BINADES, self.counts, self.steps, strict=True)
            if count
        ]
