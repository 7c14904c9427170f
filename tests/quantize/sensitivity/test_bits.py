"""The choice between 4 and 8 bits is the optimum of its knapsack."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from quantize.sensitivity.bits import least_noise


def every(noise: dict[str, float], saved: dict[str, int], needed: int) -> float:
    """Least noise of all choices that save enough."""
    names = list(noise)
    sets = (c for size in range(len(names) + 1) for c in combinations(names, size))
    return min(sum(noise[n] for n in c) for c in sets if sum(saved[n] for n in c) >= needed)


@pytest.mark.parametrize("seed", range(8))
def test_no_other_choice_of_these_bytes_has_less_noise(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f"op_{i}" for i in range(9)]
    noise = dict(zip(names, (10 ** rng.uniform(-9, -3, 9)).tolist(), strict=True))
    saved = dict(zip(names, rng.integers(1, 100_000, 9).tolist(), strict=True))
    needed = int(rng.uniform(0.1, 1) * sum(saved.values()))
    choice = least_noise(noise, saved, needed)
    assert sum(saved[name] for name in choice.names) >= needed
    assert choice.noise == pytest.approx(every(noise, saved, needed), rel=1e-6)
    assert choice.gap < 1e-3


def test_ends_of_the_scale() -> None:
    noise, saved = {"a": 1e-3, "b": 2e-3}, {"a": 10, "b": 20}
    assert least_noise(noise, saved, 0).names == ()
    assert least_noise(noise, saved, 30).names == ("a", "b")
    assert least_noise(noise, saved, 11).names == ("b",)
    assert least_noise({"a": 0.0}, {"a": 10}, 5).gap == 0.0
