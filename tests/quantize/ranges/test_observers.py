from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from foundation.errors import InvalidInputError
from network.affine import params_from_range
from network.operators import Fused
from quantize.ranges.observers import (
    BINS,
    RangeMethod,
    RangeObserver,
    exponent_for,
    known_range,
    load_states,
    save_states,
)

VALUES = st.floats(-1e4, 1e4, width=32, allow_subnormal=False)
BATCHES = arrays(
    np.float32, st.tuples(st.integers(1, 4), st.integers(1, 5), st.just(3)), elements=VALUES
)
few = settings(max_examples=60, deadline=None)


def observed(*batches, sample=None):
    observer = RangeObserver("layer", sample=sample)
    for batch in batches:
        observer.update(batch)
    return observer.state


def assert_same(a, b):
    assert (a.name, a.images) == (b.name, b.images)
    assert np.array_equal(a.low, b.low)
    assert np.array_equal(a.high, b.high)
    assert (a.histogram.exponent, a.histogram.first) == (b.histogram.exponent, b.histogram.first)
    assert np.array_equal(a.histogram.counts, b.histogram.counts)
    assert a.mean_low == pytest.approx(b.mean_low, rel=1e-9, abs=1e-9)
    assert a.mean_high == pytest.approx(b.mean_high, rel=1e-9, abs=1e-9)


@few
@given(st.lists(BATCHES, min_size=2, max_size=5), st.data())
def test_shards_in_any_order_give_the_state_of_one_pass(
    batches: list[np.ndarray], data: st.DataObject
) -> None:
    whole = observed(*batches)
    shuffled = data.draw(st.permutations(batches))
    cut = data.draw(st.integers(1, len(batches) - 1))
    first, second = RangeObserver("layer"), RangeObserver("layer")
    for batch in shuffled[:cut]:
        first.update(batch)
    for batch in shuffled[cut:]:
        second.update(batch)
    first.merge(second)
    assert_same(first.state, whole)


@few
@given(BATCHES)
def test_a_batch_is_its_images(batch: np.ndarray) -> None:
    assert_same(observed(batch), observed(*[batch[i : i + 1] for i in range(len(batch))]))


@few
@given(st.lists(BATCHES, min_size=1, max_size=3))
def test_every_value_is_counted_in_its_bin(batches: list[np.ndarray]) -> None:
    state = observed(*batches)
    values = np.concatenate([batch.reshape(-1) for batch in batches]).astype(np.float64)
    histogram = state.histogram
    assert len(histogram.counts) <= BINS
    places = np.floor(values / histogram.width).astype(int) - histogram.first
    assert np.array_equal(np.bincount(places), histogram.counts)


FAR_BELOW_ZERO = [np.full((1, 1, 3), value, np.float32) for value in (-456.0, -4552.5)]


@few
@given(st.lists(BATCHES, min_size=1, max_size=3), st.sampled_from(RangeMethod))
@example(FAR_BELOW_ZERO, RangeMethod.ENTROPY)
def test_every_method_keeps_within_what_was_seen(
    batches: list[np.ndarray], method: RangeMethod
) -> None:
    state = observed(*batches)
    low, high = state.range(method)
    assert low <= high
    assert state.low.min() <= low
    assert high <= state.high.max()


@given(VALUES, VALUES, VALUES)
def test_bins_grow_with_the_range(a: float, b: float, c: float) -> None:
    low, middle, high = sorted((a, b, c))
    for inner in ((low, middle), (middle, high)):
        assert exponent_for(*inner) <= exponent_for(low, high)


def test_half_of_the_bins_are_used_at_least() -> None:
    state = observed(np.linspace(-3, 5, 3000, dtype=np.float32).reshape(10, 100, 3))
    assert BINS / 2 <= len(state.histogram.counts) <= BINS


@pytest.mark.parametrize("value", [0.0, 3.5, -1e-30, 1e30])
@pytest.mark.parametrize("method", RangeMethod)
def test_a_constant_has_its_value_as_range(value: float, method: RangeMethod) -> None:
    state = observed(np.full((2, 5, 3), value, np.float32))
    assert state.range(method) == pytest.approx((value, value))
    params_from_range(*state.range(method))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_names_the_tensor(value: float) -> None:
    batch = np.zeros((2, 5, 3), np.float32)
    batch[1, 2, 1] = value
    with pytest.raises(InvalidInputError, match="in block_3_expand"):
        RangeObserver("block_3_expand").update(batch)


def test_nothing_seen_is_told() -> None:
    with pytest.raises(InvalidInputError, match="none for layer"):
        _ = RangeObserver("layer").state
    with pytest.raises(InvalidInputError, match="empty layer"):
        RangeObserver("layer").update(np.zeros((0, 3), np.float32))


def outliers():
    """100,000 values around 0, and three outliers."""
    values = np.random.default_rng(3).normal(size=100_000).astype(np.float32)
    values[:3] = (40.0, -50.0, 45.0)
    return values.reshape(10, -1, 1)


def quantization_error(values, ends):
    return float(np.square(params_from_range(*ends).round_trip(values) - values).mean())


@pytest.mark.parametrize("method", [RangeMethod.PERCENTILE, RangeMethod.ENTROPY])
def test_outliers_are_cut(method: RangeMethod) -> None:
    state = observed(outliers())
    low, high = state.range(method)
    assert -30 < low < -2
    assert 2 < high < 30


def test_the_mse_range_has_the_least_error() -> None:
    values = outliers()
    state = observed(values)
    errors = {m: quantization_error(values, state.range(m)) for m in RangeMethod}
    assert min(errors, key=errors.__getitem__) is RangeMethod.MSE
    assert errors[RangeMethod.MSE] < 0.9 * errors[RangeMethod.MIN_MAX]


@pytest.mark.parametrize("method", [RangeMethod.ENTROPY, RangeMethod.MSE])
def test_uniform_values_are_kept_whole(method: RangeMethod) -> None:
    values = np.random.default_rng(4).uniform(-2, 6, (10, 1000, 3)).astype(np.float32)
    low, high = observed(values).range(method)
    assert low == pytest.approx(-2, abs=0.15)
    assert high == pytest.approx(6, abs=0.4)


def test_percentiles_are_those_of_the_values() -> None:
    values = np.random.default_rng(5).normal(size=(10, 3000, 1)).astype(np.float32)
    low, high = observed(values).range(RangeMethod.PERCENTILE, percentile=99.0)
    assert low == pytest.approx(np.quantile(values, 0.01), abs=0.01)
    assert high == pytest.approx(np.quantile(values, 0.99), abs=0.01)
    with pytest.raises(InvalidInputError, match="above 50"):
        observed(values).range(RangeMethod.PERCENTILE, percentile=20.0)


def test_the_moving_average_is_the_mean_of_the_images() -> None:
    values = np.asarray([[-1.0, 2.0], [-3.0, 4.0]], np.float32)[..., None]
    assert observed(values).range(RangeMethod.MOVING_AVERAGE) == (-2.0, 3.0)


def test_a_sample_keeps_the_ends_and_visits_every_channel() -> None:
    values = np.random.default_rng(6).normal(size=(2, 50, 50, 8)).astype(np.float32)
    values[1, 7, 7, 3] = 99.0
    whole, part = observed(values), observed(values, sample=1000)
    assert part.histogram.counts.sum() <= 1000
    assert part.range() == whole.range()
    first = np.zeros((1, 100, 8), np.float32)
    first[..., 5] = 1.0
    counts = observed(first, sample=100).histogram.counts
    assert counts[0] / counts.sum() == pytest.approx(7 / 8, abs=0.02)


def test_states_come_back_from_a_file(tmp_path: Path) -> None:
    states = [observed(outliers()), observed(np.zeros((1, 4, 3), np.float32))]
    renamed = RangeObserver("a/b")
    renamed.update(outliers())
    save_states(tmp_path / "ranges.npz", [states[0], renamed.state])
    found = load_states(tmp_path / "ranges.npz")
    assert list(found) == ["layer", "a/b"]
    assert_same(found["layer"], states[0])
    assert found["layer"].range(RangeMethod.MSE) == states[0].range(RangeMethod.MSE)
    (tmp_path / "other.npz").write_bytes(b"no archive")
    with pytest.raises(InvalidInputError, match="written here"):
        load_states(tmp_path / "other.npz")


def test_only_one_tensor_is_merged() -> None:
    other = RangeObserver("other")
    other.update(np.zeros((1, 4, 3), np.float32))
    with pytest.raises(InvalidInputError, match="of one tensor"):
        observed(np.zeros((1, 4, 3), np.float32)).merged(other.state)


def test_the_range_of_an_activation_with_two_bounds_is_known() -> None:
    assert known_range(Fused.RELU6) == (0.0, 6.0)
    assert known_range(Fused.RELU) is None
