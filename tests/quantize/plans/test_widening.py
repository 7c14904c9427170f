"""Operators in int16x8: the activations that become int16, their scales, and refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import InvalidInputError, UnsupportedError
from network.affine import IntType, QuantParams
from network.operators import OpKind
from network.run_tensorflow import run
from quantize.engine import make_plan
from quantize.plans.diff import differences
from quantize.plans.plan import PlannedNetwork, QuantizationPlan
from quantize.plans.simulate import simulated
from quantize.plans.widening import can_be_wide, wide_params, widened
from quantize.sensitivity.mixed_precision import Noise, growing
from quantize.settings import Optimization, PlanSettings
from tests.network.graphs import Builder, calibration, images, planned, sqnr_db

INNER = ("expand_1", "depthwise_1", "project_1")


def types(network: PlannedNetwork) -> set[str]:
    activations = network.plan.activations
    return {name for name, params in activations.items() if params.dtype is IntType.INT16}


def test_an_activation_is_int16_where_all_around_it_is_wide() -> None:
    assert widened(planned(), ()) is planned()
    assert types(widened(planned(), ("expand_1",))) == set()
    assert types(widened(planned(), INNER)) == {"expand_1", "depthwise_1"}
    stream = ("project_0", "expand_1", "add_1", "project_1")  # the stream has two readers
    assert types(widened(planned(), stream)) == {"project_0", "project_1"}
    everything = tuple(op.name for op in planned().graph.ops)
    wide = widened(planned(), everything)
    assert types(wide) == set(planned().plan.activations) - {"image", "scores"}
    assert wide.plan.settings.wide_ops == everything


@settings(max_examples=50, deadline=None)
@given(st.floats(2.0**-12, 8, width=32), st.integers(-128, 127))
def test_int16_reaches_as_far_as_int8(scale: float, zero: int) -> None:
    params = QuantParams((scale,), (zero,))
    wide = wide_params(params)
    assert (wide.dtype, wide.zero_point) == (IntType.INT16, (0,))
    values = params.dequantize(np.arange(-128, 128).astype(np.int8))
    rounding = 2 * 2.0**15 * 2.0**-24  # of both products in float32, in int16 steps
    assert np.abs(wide.round_trip(values) - values).max() <= (0.5 + rounding) * wide.scale[0]
    assert wide.scale[0] <= params.scale[0] * 255 / 32767 * 1.0001


def test_biases_follow_their_finer_scale() -> None:
    wide = widened(planned(), INNER)
    for name in INNER:
        before, after = (n.plan.constants[f"{name}.bias"] for n in (planned(), wide))
        assert after.integers.dtype == np.int64
        assert (np.asarray(after.params.scale) < np.asarray(before.params.scale)).all()
        np.testing.assert_allclose(after.to_float(), before.to_float(), rtol=1e-4, atol=1e-6)
        weights = [n.plan.constants[f"{name}.weight"] for n in (planned(), wide)]
        assert weights[0] is weights[1]


def test_wide_operators_take_noise_away() -> None:
    fresh = images(32, seed=9)
    exact = run(planned().graph, fresh)
    wide = widened(planned(), tuple(op.name for op in planned().graph.ops))
    noise = sqnr_db(exact, simulated(wide, fresh))
    assert noise > sqnr_db(exact, simulated(planned(), fresh)) + 3


def test_weights_are_rounded_for_the_int16_inputs_that_they_read() -> None:
    graph, fresh = planned().graph, images(32, seed=9)
    names = tuple(op.name for op in graph.ops)
    request = PlanSettings(optimization=Optimization.FAST, wide_ops=names)
    plan = make_plan(graph, calibration(), None, request)
    after = widened(planned(), names)
    assert plan.settings.wide_ops == names
    assert plan.activations == after.plan.activations
    for op in graph.weighted:
        assert plan.constants[op.inputs[2]].integers.dtype == np.int64
    exact = run(graph, fresh)
    before = sqnr_db(exact, simulated(after, fresh))
    assert sqnr_db(exact, simulated(PlannedNetwork(plan.network(graph), plan), fresh)) > before


def test_an_operator_that_cannot_be_wide_is_refused_before_a_plan_is_made() -> None:
    request = PlanSettings(optimization=Optimization.FAST, wide_ops=("nobody",))
    with pytest.raises(InvalidInputError, match="nobody"):
        make_plan(planned().graph, calibration(), None, request)


def test_a_plan_with_wide_operators_is_stored_and_compared(tmp_path: Path) -> None:
    plan = widened(planned(), INNER).plan
    plan.save(tmp_path / "a.plan")
    again = QuantizationPlan.load(tmp_path / "a.plan")
    assert again.settings.wide_ops == INNER
    assert again.activations == plan.activations
    assert not differences(plan, again)
    found = {(d.name, d.part) for d in differences(planned().plan, plan)}
    assert ("", "wide ops") in found
    assert ("expand_1", "scales") in found


@pytest.mark.parametrize(
    ("names", "floats", "error", "words"),
    [
        (("nobody",), (), InvalidInputError, "nobody"),
        (("expand_1",), ("expand_1",), InvalidInputError, "both for expand_1"),
    ],
)
def test_names_that_do_not_fit(
    names: tuple[str, ...], floats: tuple[str, ...], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        widened(planned(floats), names)


def test_an_operator_without_a_form_in_int16_is_named() -> None:
    b = Builder(np.random.default_rng(0))
    first = b.conv("first", "image", 4)
    b.op(OpKind.HARD_SWISH, "swish", (first,), b.tensors[first].shape)
    b.dense("scores", b.mean("pool", "swish"), 4)
    graph = b.graph()
    plan = make_plan(graph, calibration(), None, PlanSettings(optimization=Optimization.FAST))
    with pytest.raises(UnsupportedError, match="swish, a HARD_SWISH"):
        widened(PlannedNetwork(plan.network(graph), plan), ("first", "swish"))


def test_stored_summands_have_no_form_in_int16() -> None:
    b = Builder(np.random.default_rng(0))
    first = b.conv("first", "image", 4)
    shift = b.constant("shift", np.ones((1, 1, 1, 4), np.float32))
    b.add("moved", first, shift)
    graph = b.graph("moved")
    assert [can_be_wide(graph, op) for op in graph.ops] == [True, False]


def test_sets_grow_among_the_able_alone() -> None:
    graph = planned().graph
    noise = Noise({"stem": 5.0}, dict.fromkeys(graph.activations, 1.0))
    able = frozenset(op.name for op in graph.ops if op.name != "expand_1")
    sets = list(growing(graph, noise.of_activations(), frozenset(), able))
    assert sets
    assert all(names <= able for names in sets)
    assert {"stem", "project_0"} <= sets[-1]  # for the stem's result, not for its weights
    assert not list(growing(graph, replace(noise, activations={}).of_activations(), able))
