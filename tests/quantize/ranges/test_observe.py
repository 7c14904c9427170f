"""Observed ranges: states of shards merge to that of one pass."""

from __future__ import annotations

import numpy as np
import pytest

from foundation.errors import InvalidInputError
from quantize.ranges.observe import observe, observed_names
from quantize.ranges.observers import load_states, save_states
from quantize.settings import RangeMethod
from tests.network.graphs import bottlenecks, images


def test_activations_with_a_known_range_are_not_observed() -> None:
    names = observed_names(bottlenecks(0, blocks=1))
    assert names == ("project_0", "project_1", "add_1", "last", "pool", "scores")


def test_shards_give_what_one_pass_gives(tmp_path) -> None:
    graph, pictures = bottlenecks(0), images(24)
    whole = observe(graph, [pictures[:8], pictures[8:16], pictures[16:]], sample=None)
    save_states(tmp_path / "first.npz", observe(graph, [pictures[:8]], sample=None).values())
    save_states(
        tmp_path / "rest.npz", observe(graph, [pictures[16:], pictures[8:16]], None).values()
    )
    rest, first = (load_states(tmp_path / name) for name in ("rest.npz", "first.npz"))
    assert whole.keys() == rest.keys() == first.keys()
    shards = {name: state.merged(first[name]) for name, state in rest.items()}
    for name, state in whole.items():
        other = shards[name]
        assert state.images == other.images == 24
        assert np.array_equal(state.low, other.low)
        assert np.array_equal(state.high, other.high)
        assert state.histogram.exponent == other.histogram.exponent
        assert np.array_equal(state.histogram.counts, other.histogram.counts)
        for method in RangeMethod:
            assert state.range(method) == pytest.approx(other.range(method), rel=1e-6)


def test_no_image_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="calibration images"):
        observe(bottlenecks(0), [])
