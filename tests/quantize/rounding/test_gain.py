"""The outputs of a quantized network have the gain and the means of the float one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from network.affine import QuantParams, bias_params, quantize_bias
from network.graph import Op
from network.operators import Fused
from network.run_tensorflow import run
from quantize.effort import EFFORTS
from quantize.engine import make_plan
from quantize.plans.plan import IntegerConstant, PlannedNetwork
from quantize.plans.simulate import simulated
from quantize.rounding.gain import LEAST_GAIN, last_layers, output_sums, unshrunk
from quantize.settings import Optimization, PlanSettings
from tests.network.graphs import Builder, bottlenecks, calibration

SOURCE = QuantParams((0.01,), (3,))
WEIGHT = IntegerConstant(
    QuantParams((0.02, 0.005), (0, 0), axis=0), np.array([[40, -7, 9], [1, 2, -90]], np.int8)
)


def _layer(bias: list[float]) -> tuple[IntegerConstant, IntegerConstant]:
    params = bias_params(SOURCE, WEIGHT.params)
    return WEIGHT, IntegerConstant(params, quantize_bias(np.float32(bias), params, "scores"))


def _op() -> Op:
    b = Builder(np.random.default_rng(0))
    return b.graph(b.dense("scores", b.mean("pool", "image"), 2)).ops[-1]


@pytest.mark.parametrize("gain", [0.97, 1.02])
def test_gain_and_means_are_those_of_the_float_outputs(gain: float) -> None:
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(500, 3)).astype(np.float32)
    constants = _layer([0.5, -2.0])

    def outputs(layer: tuple[IntegerConstant, IntegerConstant]) -> np.ndarray:
        return np.asarray(inputs @ layer[0].to_float().T + layer[1].to_float())

    found = outputs(constants)
    exact = ((found - found.mean(axis=0)) / gain + [1.5, 2.5]).astype(np.float32)
    halves = [output_sums(exact[part], found[part]) for part in (slice(200), slice(200, 500))]
    after = unshrunk(_op(), SOURCE, constants, np.sum(halves, axis=0))
    assert np.array_equal(after[0].integers, WEIGHT.integers)
    assert np.allclose(outputs(after), exact, atol=2e-4)
    assert not np.allclose(outputs(constants), exact, atol=0.1)


def test_noise_of_the_outputs_is_no_gain() -> None:
    rng = np.random.default_rng(2)
    exact = rng.normal(size=(20000, 2)).astype(np.float32)
    found = (0.95 * exact + rng.normal(size=exact.shape, scale=0.3)).astype(np.float32)
    after, _ = unshrunk(_op(), SOURCE, _layer([0, 0]), output_sums(exact, found))
    ratio = np.array(WEIGHT.params.scale) / after.params.scale
    assert ratio == pytest.approx([0.95, 0.95], abs=0.01)


@pytest.mark.parametrize("gain", [LEAST_GAIN - 0.02, 1 / LEAST_GAIN + 0.02, 0.0, -1.0])
def test_what_is_no_shrinkage_is_left_alone(gain: float) -> None:
    exact = np.random.default_rng(3).normal(size=(100, 2)).astype(np.float32)
    constants = _layer([0, 0])
    sums = output_sums(exact, (gain * exact).astype(np.float32))
    assert unshrunk(_op(), SOURCE, constants, sums) is constants
    single = output_sums(exact[:1], exact[:1])
    assert unshrunk(_op(), SOURCE, constants, single) is constants


def test_last_layers_are_those_that_no_layer_follows() -> None:
    b = Builder(np.random.default_rng(4))
    pooled = b.mean("pool", b.conv("stem", "image", 4))
    b.dense("number", pooled, 1)
    b.dense("first", pooled, 5)
    graph = b.graph(b.dense("second", pooled, 6))
    graph = replace(graph, outputs=("number", "first", "second"))
    assert last_layers(graph) == {"first", "second"}
    followed = b.graph(b.dense("third", "second", 3))
    assert last_layers(followed) == {"first", "third"}
    fused = replace(followed.ops[-1], options={"fusedActivationFunction": 1})
    assert fused.fused == Fused.RELU
    assert last_layers(replace(followed, ops=(*followed.ops[:-1], fused))) == {"first"}


def test_the_best_plan_has_the_means_of_all_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where few of them fit the memory of the rounding."""
    from quantize import effort

    few = replace(EFFORTS[Optimization.BEST], images=2, rival=None)
    monkeypatch.setitem(effort.EFFORTS, Optimization.BEST, few)  # type: ignore[arg-type]
    graph, given = bottlenecks(0), calibration(24)
    pictures = np.concatenate(list(given.batches()))
    exact = run(graph, pictures)

    def error(optimization: Optimization) -> float:
        plan = make_plan(graph, given, None, PlanSettings(optimization=optimization))
        found = simulated(PlannedNetwork(plan.network(graph), plan), pictures)
        return float(np.abs((found - exact).mean(axis=0)).max())

    all_seen = error(Optimization.BEST)
    monkeypatch.setitem(
        effort.EFFORTS,  # type: ignore[arg-type]
        Optimization.BEST,
        replace(few, centred=False),
    )
    assert 3 * all_seen < error(Optimization.BEST)
