from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.intervals import PairedCounts, mcnemar_p, paired_difference, wilson

counts = st.builds(
    PairedCounts, *[st.integers(0, 400)] * 3, st.integers(1, 400)
)  # at least one image


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_limits(successes: int, n: int, low: float, high: float) -> None:
    """Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3."""
    interval = wilson(successes, n)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17:2635-2650, worked example.
        ((36, 12, 2, 0), 0.0569, 0.3404),
        # Fagerland, Lydersen and Laake 2017, Statistical Analysis of Contingency Tables, chapter 8.
        ((59, 6, 16, 80), -0.1186, -0.0046),
    ],
)
def test_the_paired_interval_gives_the_published_limits(
    table: tuple[int, ...], low: float, high: float
) -> None:
    interval = paired_difference(PairedCounts(*table))
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


@pytest.mark.parametrize(
    ("n", "chances"),
    [
        (50, (0.40, 0.20, 0.15, 0.25)),
        (100, (0.70, 0.10, 0.05, 0.15)),
        (200, (0.80, 0.06, 0.04, 0.10)),
        (500, (0.85, 0.03, 0.02, 0.10)),
        (1000, (0.87, 0.02, 0.01, 0.10)),
    ],
)
def test_the_paired_interval_covers_the_truth_about_95_times_in_100(
    n: int, chances: tuple[float, ...]
) -> None:
    draws = np.random.default_rng(0).multinomial(n, chances, size=4000)
    tables, times = np.unique(draws, axis=0, return_counts=True)
    covered = 0
    for table, repeats in zip(tables, times, strict=True):
        interval = paired_difference(PairedCounts(*map(int, table)))
        covered += repeats * (interval.low <= chances[1] - chances[2] <= interval.high)
    assert 0.93 <= covered / 4000 <= 0.975


@settings(max_examples=200, deadline=None)
@given(counts)
def test_the_paired_interval_holds_the_estimate_and_mirrors(table: Any) -> None:
    interval = paired_difference(table)
    estimate = (table.first_only - table.second_only) / table.n
    assert -1 - 1e-12 <= interval.low <= estimate <= interval.high <= 1 + 1e-12
    mirrored = paired_difference(
        PairedCounts(table.both, table.second_only, table.first_only, table.neither)
    )
    assert mirrored.low == pytest.approx(-interval.high, abs=1e-12)
    wider = paired_difference(table, 0.99)
    assert wider.low <= interval.low
    assert wider.high >= interval.high


@pytest.mark.parametrize(
    "table",
    [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (100, 0, 0, 0), (0, 0, 0, 100),
     (0, 30, 20, 0), (0, 50, 0, 0), (90, 0, 0, 10)],
)  # fmt: skip
def test_extreme_tables_have_an_interval_that_is_not_a_point(table: tuple[int, ...]) -> None:
    interval = paired_difference(PairedCounts(*table))
    assert interval.low < interval.high
    assert math.isfinite(interval.low + interval.high)


def test_full_marks_for_both_leave_the_width_of_wilson() -> None:
    """Without any error both limits are at a distance of z^2 / (n + z^2)."""
    z = 1.959963984540054
    interval = paired_difference(PairedCounts(1000, 0, 0, 0))
    assert interval.high == pytest.approx(z * z / (1000 + z * z))
    assert interval.low == -interval.high


def test_mcnemar_is_the_binomial_sum() -> None:
    assert mcnemar_p(0, 0) == 1.0
    assert mcnemar_p(5, 5) == 1.0
    by_hand = 2 * sum(math.comb(22, k) for k in range(7)) / 2**22
    assert mcnemar_p(6, 16) == pytest.approx(by_hand)
    assert mcnemar_p(16, 6) == pytest.approx(by_hand)
    assert mcnemar_p(0, 10) == pytest.approx(2 / 2**10)


def test_impossible_counts_are_refused() -> None:
    for table in ((0, 0, 0, 0), (5, -1, 0, 0)):
        with pytest.raises(ValueError, match="counts"):
            PairedCounts(*table)
    for arguments in ((1, 0), (3, 2), (-1, 2), (1, 2, 1.0)):
        with pytest.raises(ValueError, match="confidence"):
            wilson(*arguments)
