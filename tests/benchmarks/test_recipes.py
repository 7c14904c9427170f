"""The benchmark of every recipe of the shipped network."""

from __future__ import annotations

import pytest

from benchmarks.recipes import run
from evaluation.latency import ClockPlan
from quantize.recipes import RECIPES


@pytest.mark.slow
def test_every_recipe_is_written_and_timed_in_every_runtime() -> None:
    figures = run(images=8, clock=ClockPlan(warmup=0, repeats=2, seconds=0.0, least=1))
    assert {f.subject for f in figures if f.quantity == "size"} == {r.name for r in RECIPES}
    timed = [f.subject.partition(" in ") for f in figures if f.quantity == "latency p50"]
    for recipe in RECIPES:
        runtimes = {runtime for name, _, runtime in timed if name == recipe.name}
        assert len(runtimes) >= 2, recipe.name
    assert all(figure.value > 0 for figure in figures)
