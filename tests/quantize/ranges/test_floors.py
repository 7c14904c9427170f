"""A layer that a ReLU closes: its file is one that every kernel takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evaluation.session import runtimes
from export.tflite.render import render
from network.affine import QuantParams
from network.graph import Graph
from network.operators import Fused
from quantize.engine import make_plan
from quantize.plans.plan import PlannedNetwork
from quantize.ranges.activations import Range, activation_params
from quantize.ranges.floors import FINEST, with_floors
from quantize.settings import Granularity, IoType, Optimization, PlanSettings
from tests.network.graphs import Builder, calibration, images


def closed(fused: Fused = Fused.RELU) -> Graph:
    """Two branches, of which one is zero for every image."""
    b = Builder(np.random.default_rng(0))
    shut = b.conv("shut", "image", 8, fused=fused)
    open_ = b.conv("open", "image", 8, fused=fused)
    total = b.add("total", b.conv("behind", shut, 8, fused=fused), open_)
    b.dense("scores", b.mean("pool", total), 4)
    graph = b.graph()
    bias = graph.value("shut.bias") - np.float32(100)
    return graph.with_values({"shut.bias": bias})


@pytest.mark.parametrize("granularity", list(Granularity))
def test_accumulators_count_few_steps_of_a_result(granularity: Granularity) -> None:
    graph = closed()
    asked = PlanSettings(optimization=Optimization.FAST, granularity=granularity)
    plan = make_plan(graph, calibration(), None, asked)
    for op in graph.weighted:
        weights = plan.constants[f"{op.name}.weight"].params
        (source,) = plan.activations[op.inputs[0]].scale
        (result,) = plan.activations[op.name].scale
        assert max(weights.scale) * source / result < 4 * FINEST, op.name


def test_scales_of_open_layers_stay() -> None:
    graph = closed()
    ranges = {name: Range(0, 2) for name in graph.activations}
    params = activation_params(graph, ranges, None)
    assert set(params.values()) == {QuantParams(params["open"].scale, (-128,))}
    roots = {name: name for name in params}
    assert with_floors(graph, params, roots) == params


def test_xnnpack_takes_the_file(tmp_path: Path) -> None:
    graph = closed()
    plan = make_plan(graph, calibration(), None, PlanSettings(optimization=Optimization.FAST))
    path = tmp_path / "closed.tflite"
    network = PlannedNetwork(plan.network(graph), plan)
    path.write_bytes(render(network.graph, network.plan, IoType.FLOAT32))
    session = runtimes()["litert-xnnpack"].open(path, 1)
    assert np.isfinite(session.predict(images(1, seed=3))).all()
