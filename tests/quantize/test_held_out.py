"""`best` is taken only where calibration images that it was not made on do not prefer `default`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from quantize import effort
from quantize.effort import EFFORTS
from quantize.engine import make_plan
from quantize.held_out import FEWEST, MOST_HELD, HeldOut, divided
from quantize.plans.blank import blank_plan
from quantize.ranges.float_pass import CalibrationImages
from quantize.settings import Optimization, PlanSettings
from tests.network.graphs import batched, bottlenecks, calibration, images

BEST = PlanSettings(optimization=Optimization.BEST)
DEFAULT = PlanSettings(optimization=Optimization.DEFAULT)


def numbered(count: int) -> CalibrationImages:
    """Images that tell their numbers."""
    return CalibrationImages(count, batched(np.arange(count, dtype=np.float32)[:, None], 3))


def read(given: CalibrationImages, chosen: Iterator[np.ndarray] | None = None) -> list[int]:
    return [int(x) for batch in (chosen or given.batches()) for x in batch[:, 0]]


@pytest.mark.parametrize("count", [FEWEST, 9, 64, 1000])
def test_no_image_is_on_both_sides(count: int) -> None:
    fitting, held = divided(numbered(count))
    assert held is not None
    assert sorted(read(fitting) + read(held)) == list(range(count))
    assert (len(read(fitting)), len(read(held))) == (fitting.count, held.count)
    assert 1 <= held.count <= min(MOST_HELD, max(1, count // 8))
    some = np.array([0, fitting.count - 1])
    assert read(fitting, fitting.of(some)) == [read(fitting)[i] for i in some]


def test_few_images_are_not_divided() -> None:
    few = numbered(FEWEST - 1)
    assert divided(few) == (few, None)


def test_noise_tells_a_plan_from_a_random_one() -> None:
    graph = bottlenecks(0)
    unseen = HeldOut.of(graph, calibration(8), [True])
    made = make_plan(graph, calibration(16), None, DEFAULT)
    random = replace(blank_plan(graph, DEFAULT), graph=made.graph)
    good, bad = unseen.noise(graph, made), unseen.noise(graph, random)
    assert 0 < 10 * good**2 < bad**2
    told = unseen.comparison(bad, good)
    assert told["held_out_images"] == 8
    assert told["held_out_gain_db"] == pytest.approx(20 * np.log10(bad / good), abs=0.01)
    assert unseen.comparison(bad, 0.0) == {"held_out_images": 8}


def test_mirror_images_are_compared_as_well() -> None:
    graph, given = bottlenecks(0), calibration(8)
    plan = make_plan(graph, calibration(16), None, DEFAULT)
    turned = CalibrationImages(8, lambda: [b[:, :, ::-1] for b in given.batches()])
    single = [HeldOut.of(graph, held, [False]).noise(graph, plan) for held in (given, turned)]
    both = HeldOut.of(graph, given, [False], mirrored=True)
    assert single[0] != single[1]
    assert both.noise(graph, plan) == pytest.approx(np.mean(single), rel=0.02)
    assert both.comparison(1.0, 1.0)["held_out_images"] == 8


def test_a_best_plan_that_unseen_images_do_not_prefer_is_the_default_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph, given = bottlenecks(1), CalibrationImages(32, batched(images(32)))
    poor = replace(EFFORTS[Optimization.BEST], images=1, positions=1, sweeps=0)
    monkeypatch.setattr(effort, "EFFORTS", {**EFFORTS, Optimization.BEST: poor})
    plan, default = make_plan(graph, given, None, BEST), make_plan(graph, given, None, DEFAULT)
    assert (plan.settings, plan.story["kept"]) == (BEST, "default")
    assert plan.activations == default.activations
    for name, constant in default.constants.items():
        assert np.array_equal(plan.constants[name].integers, constant.integers)
    assert [note for note in plan.notes if "4 held-out calibration images prefer" in note]


def test_the_plan_tells_which_one_was_taken() -> None:
    plan = make_plan(bottlenecks(1), CalibrationImages(24, batched(images(24))), None, BEST)
    assert plan.story["held_out_images"] == 3
    assert plan.story["kept"] == ("best" if plan.story["held_out_gain_db"] >= 0 else "default")
