"""Memory plans: no clash, no better packing, and what they print."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.c.memory import ALIGNMENT, MemoryPlan, Overlap, Step, drawn, plan_memory

some = settings(max_examples=60, derandomize=True, deadline=None, database=None)


@st.composite
def networks(draw: st.DrawFn) -> list[Step]:
    """Chains with shortcuts, scratch memory and results that may lie over sources."""
    made, steps = ["in"], []
    for number in range(draw(st.integers(1, 7))):
        reads = {made[-1], draw(st.sampled_from(made))}
        name, size = f"t{number}", draw(st.integers(1, 40)) * draw(st.integers(1, 5))
        overlaps = tuple(
            Overlap(name, source, draw(st.integers(0, 30)))
            for source in sorted(reads)
            if draw(st.booleans())
        )
        scratch = draw(st.sampled_from([0, 0, 24]))
        step = Step(name, "STEP", tuple(sorted(reads)), ((name, size),), scratch, overlaps)
        steps.append(step)
        made.append(name)
    return steps


def clashes(plan: MemoryPlan) -> list[tuple[str, str]]:
    """Pairs that lie over each other without permission."""
    allowed = {(o.result, o.source): o.gap for step in plan.steps for o in step.overlaps}
    found = []
    places = list(plan.places.values())
    for i, one in enumerate(places):
        for two in places[i + 1 :]:
            together = one.first <= two.last and two.first <= one.last
            if not together or one.end <= two.offset or two.end <= one.offset:
                continue
            first, then = sorted((one, two), key=lambda p: p.first)
            gap = allowed.get((then.name, first.name))
            over = gap is not None and first.last == then.first
            if not over or then.offset + (gap or 0) > first.offset:
                found.append((one.name, two.name))
    return found


@some
@given(networks())
def test_nothing_clashes_and_the_bound_holds(steps: list[Step]) -> None:
    plan = plan_memory(steps, {"in": 64}, [steps[-1].name])
    assert clashes(plan) == []
    assert plan.bound <= plan.arena
    assert all(place.offset % ALIGNMENT == 0 for place in plan.places.values())
    assert plan.arena == max(plan.in_use(n) for n in range(len(plan.steps)))


def test_a_chain_is_packed_into_its_two_largest_neighbours() -> None:
    sizes = [64, 100, 400, 200, 40]
    names = ["in", *(f"t{i}" for i in range(4))]
    steps = [
        Step(names[i + 1], "STEP", (names[i],), ((names[i + 1], sizes[i + 1]),)) for i in range(4)
    ]
    plan = plan_memory(steps, {"in": 64}, ["t3"])
    assert plan.arena == plan.bound == 600
    assert plan.optimal
    assert plan.lines()[-1] == "arena: 600 bytes, the least of this order of execution"


def test_a_result_that_may_lie_over_its_source_takes_the_gap_alone() -> None:
    step = Step("out", "STEP", ("in",), (("out", 200),), overlaps=(Overlap("out", "in", 52),))
    plan = plan_memory([step], {"in": 160}, ["out"])
    assert plan.arena == 212
    assert plan.places["in"].offset - plan.places["out"].offset == 52


def test_a_source_that_is_read_later_is_not_overwritten() -> None:
    steps = [
        Step("a", "STEP", ("in",), (("a", 80),), overlaps=(Overlap("a", "in", 0),)),
        Step("b", "STEP", ("a", "in"), (("b", 80),)),
    ]
    plan = plan_memory(steps, {"in": 80}, ["b"])
    assert plan.arena == 240


def test_an_output_is_kept_until_the_end() -> None:
    steps = [
        Step("a", "STEP", ("in",), (("a", 80),)),
        Step("b", "STEP", ("a",), (("b", 80),), overlaps=(Overlap("b", "a", 0),)),
    ]
    plan = plan_memory(steps, {"in": 8}, ["a", "b"])
    assert not clashes(plan)
    assert plan.arena == 160


def test_the_order_of_least_peak_is_used() -> None:
    """Two branches of one input: the one with the large inner tensor runs first."""
    steps = [
        Step("small", "STEP", ("in",), (("small", 100),)),
        Step("wide", "STEP", ("in",), (("wide", 1000),)),
        Step("narrow", "STEP", ("wide",), (("narrow", 8),)),
        Step("end", "STEP", ("small", "narrow"), (("end", 8),)),
    ]
    plan = plan_memory(steps, {"in": 40}, ["end"])
    assert plan.arena == 1048
    assert [step.name for step in plan.steps].index("small") > 0


@some
@given(st.lists(st.integers(1, 12), min_size=3, max_size=5))
def test_small_chains_are_packed_as_well_as_any_order_can(sizes: list[int]) -> None:
    names = ["in", *(f"t{i}" for i in range(len(sizes)))]
    steps = [
        Step(names[i + 1], "STEP", (names[i],), ((names[i + 1], 4 * size),))
        for i, size in enumerate(sizes)
    ]
    plan = plan_memory(steps, {"in": 16}, [names[-1]])
    assert plan.arena == best_of_all(plan)


def best_of_all(plan: MemoryPlan) -> int:
    """Least arena over every order of placing buffers at the lowest offset."""
    least = 10**9
    for order in permutations(plan.places.values()):
        placed: list[tuple[int, int, int, int]] = []
        for place in order:
            others = [p for p in placed if p[2] <= place.last and place.first <= p[3]]
            offsets = sorted({0, *(p[1] for p in others)})
            offset = next(
                o for o in offsets if all(o + place.size <= p[0] or o >= p[1] for p in others)
            )
            placed.append((offset, offset + place.size, place.first, place.last))
        least = min(least, max(p[1] for p in placed))
    return least


def test_an_order_that_cannot_run_is_refused() -> None:
    with pytest.raises(ValueError, match="reads b before"):
        plan_memory([Step("a", "STEP", ("b",), (("a", 4),))], {"in": 4}, ["a"])


def test_the_picture_has_a_line_for_each_step() -> None:
    steps = [Step("a", "STEP", ("in",), (("a", 64),)), Step("b", "STEP", ("a",), (("b", 64),))]
    picture = drawn(plan_memory(steps, {"in": 64}, ["b"]), width=8)
    assert picture == ["   0  AAAABBBB  A in  B a", "   1  CCCCBBBB  C b"]
