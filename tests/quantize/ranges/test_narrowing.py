"""Narrower ranges: a candidate that has lost is given up, and nothing else changes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from network.run_litert import Network
from quantize.ranges.activations import Range
from quantize.ranges.float_pass import CalibrationImages, float_pass
from quantize.ranges.narrowing import narrowed
from tests.network.graphs import batched, bottlenecks, images


@pytest.mark.parametrize("seed", range(3))
def test_the_search_ends_early_with_the_ranges_of_a_full_one(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantize.parallel.cores", lambda: 1)
    graph, pictures = bottlenecks(seed), images(24)
    pictures[::5] *= 3  # rare values, some of which are worth clipping
    seen = float_pass(graph, CalibrationImages(24, batched(pictures)), 4, 10**9)
    ranges = {name: span.range for name, span in seen.spans.items()}
    runs = 0
    run = Network.run

    def counted(network: Network, values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        nonlocal runs
        runs += 1
        return run(network, values)

    def search() -> tuple[dict[str, Range], int]:
        nonlocal runs
        runs = 0
        return narrowed(graph, ranges, pictures, [False]), runs

    monkeypatch.setattr(Network, "run", counted)
    early, fewer = search()
    monkeypatch.setattr("quantize.ranges.narrowing.CERTAIN", math.inf)
    full, more = search()
    assert early == full
    assert fewer < more
