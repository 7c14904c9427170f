"""The float pass over the calibration images: extremes, typical spans and the images looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from foundation.errors import InvalidInputError
from network.operators import Fused
from quantize.ranges.extremes import BATCH, MARGIN, Extremes, extremes
from quantize.ranges.float_pass import CalibrationImages, float_pass
from tests.network.graphs import (
    activations,
    batched,
    bottlenecks,
    images,
)


def test_a_source_that_can_choose_reads_no_image_but_those_looked_at() -> None:
    pictures = images(64)
    asked: list[np.ndarray] = []

    def chosen(numbers: np.ndarray) -> Iterator[np.ndarray]:
        asked.append(numbers)
        yield from batched(pictures[numbers], 4)()

    def never() -> Iterator[np.ndarray]:
        raise AssertionError("all images were read")

    choosing = float_pass(bottlenecks(0), CalibrationImages(64, never, chosen), 4, 16)
    picking = float_pass(bottlenecks(0), CalibrationImages(64, batched(pictures)), 4, 16)
    assert [len(numbers) for numbers in asked] == [16]
    assert np.array_equal(choosing.images, picking.images)
    for name, span in choosing.spans.items():
        assert np.array_equal(span.low, picking.spans[name].low)
        assert np.array_equal(span.high, picking.spans[name].high)


@pytest.mark.parametrize("most", [4, 16])
def test_images_that_an_earlier_pass_ran_are_not_run_again(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, given = bottlenecks(0), CalibrationImages(16, batched(images(16)))
    earlier = float_pass(graph, given, most, 10**9)
    wanted = float_pass(graph, given, 8, 10**9)
    fewer = float_pass(graph, given, 4, 12, earlier=earlier)

    def never(*_: object) -> Iterator[dict[str, Extremes]]:
        raise AssertionError("images were run")

    monkeypatch.setattr("quantize.ranges.float_pass.extremes", never)
    found = float_pass(graph, given, 8, 10**9, earlier=earlier)
    assert np.array_equal(found.images, wanted.images)
    for kind in ("spans", "typical", "beyond"):
        one, other = getattr(found, kind), getattr(wanted, kind)
        assert all(np.array_equal(one[name].low, other[name].low) for name in other)
        assert all(np.array_equal(one[name].high, other[name].high) for name in other)
    assert found.disagreement == wanted.disagreement
    assert len(fewer.numbers) == 12


def test_plans_of_one_network_share_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, pictures = bottlenecks(0), images(16)
    shared = CalibrationImages(16, batched(pictures), passes={})
    first = float_pass(graph, shared, 16, 10**9)
    others = float_pass(graph, shared, 4, 12)  # on other images, for which nothing is kept yet
    wanted = float_pass(graph, replace(shared, passes=None), 8, 10**9)

    def never(*_: object) -> Iterator[dict[str, Extremes]]:
        raise AssertionError("images were run")

    monkeypatch.setattr("quantize.ranges.float_pass.extremes", never)
    found = float_pass(graph, shared, 8, 10**9)
    assert (len(first.images), len(others.numbers), len(found.numbers)) == (16, 12, 16)
    assert np.array_equal(found.images, wanted.images)
    for name, span in wanted.beyond.items():
        assert np.array_equal(span.high, found.beyond[name].high)
    pictures[found.numbers[3]] = np.nan
    with pytest.raises(InvalidInputError, match="finite numbers"):
        float_pass(graph, shared, 16, 10**9)


def test_typical_spans_are_the_mean_over_batches() -> None:
    graph, pictures = bottlenecks(0), images(4 * BATCH)
    pictures[-1] *= 8  # one image in the last batch
    seen = float_pass(graph, CalibrationImages(len(pictures), batched(pictures)), 4, 10**9)
    parts = [extremes(graph, [pictures[i : i + BATCH]]) for i in range(0, 32, BATCH)]
    highs = np.stack([next(part)["project_0"].high for part in parts])
    np.testing.assert_allclose(seen.typical["project_0"].high, highs.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(seen.spans["project_0"].high, highs.max(axis=0), rtol=1e-5)


def test_hardly_any_batch_exceeds_what_is_expected_of_it() -> None:
    rng = np.random.default_rng(0)
    maxima = rng.gumbel(3, 0.5, (24 + 1000, 400))  # [batches, channels]
    seen, others = np.split(maxima, [24])
    span = Extremes(-seen.max(axis=0), seen.max(axis=0))
    beyond = span.beyond(Extremes(-seen.mean(axis=0), seen.mean(axis=0)), len(seen))
    assert np.mean(others.max(axis=0) > span.high) > 0.9
    assert np.mean(others.max(axis=0) > beyond.high) < 0.4
    assert np.array_equal(beyond.low, -beyond.high)
    assert np.median((beyond.high - span.high) / 0.5) == pytest.approx(MARGIN, rel=0.2)


def test_one_batch_tells_nothing_of_others() -> None:
    span = Extremes(np.zeros(3), np.ones(3))
    assert np.array_equal(span.beyond(span, 1).high, span.high)


@pytest.mark.parametrize("fused", [Fused.RELU6, Fused.NONE])
def test_extremes_are_those_of_tensorflow(fused: Fused) -> None:
    graph, pictures = bottlenecks(1, fused=fused), images(24)
    found: dict[str, list[Extremes]] = {}
    for spans in extremes(graph, [pictures[:16], pictures[16:]]):
        for name, span in spans.items():
            found.setdefault(name, []).append(span)
    wanted = activations(graph, pictures)
    assert set(found) == set(wanted) == set(graph.activations)
    for name, value in wanted.items():
        rows = value.reshape(-1, value.shape[-1])
        both = found[name][0].joined(found[name][1])
        np.testing.assert_allclose(both.low, rows.min(axis=0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(both.high, rows.max(axis=0), rtol=1e-5, atol=1e-6)
