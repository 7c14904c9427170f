"""Weights in 4 bits in a .tflite: equal bits in oracle and LiteRT, and what a file may hold."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from evaluation.session import runtimes
from export.delegates.report import lint
from export.delegates.tables import EDGE_TPU
from export.tflite.render import render
from foundation.errors import InvalidInputError, UnsupportedError
from network.affine import IntType
from network.graph import Graph
from network.oracle.reader import read_integers
from network.run_tensorflow import run
from network.tflite.reader import read_flat_model
from quantize.engine import make_plan
from quantize.plans.check import check_fits
from quantize.plans.narrow import narrow_candidates, narrow_settings
from quantize.plans.plan import PlannedNetwork, QuantizationPlan
from quantize.recipes import recipe
from quantize.settings import IoType, Optimization, PlanSettings, Precision
from tests.network.graphs import bottlenecks, calibration, images, sqnr_db

FAST = replace(recipe("tflite-int4").settings, optimization=Optimization.FAST)
STAYS = ("depthwise_1",)


@cache
def four_bits() -> PlannedNetwork:
    graph = bottlenecks(0)
    plan = make_plan(graph, calibration(16), None, FAST)
    return PlannedNetwork(plan.network(graph), plan)


def written(path: Path) -> Path:
    network = four_bits()
    path.write_bytes(render(network.graph, network.plan, IoType.INT8))
    return path


def test_oracle_and_litert_give_the_same_bits(tmp_path: Path) -> None:
    path, fresh = written(tmp_path / "narrow.tflite"), images(16, seed=9)
    names = ("oracle", "litert-reference", "litert-plain", "litert-xnnpack")
    found = {name: runtimes()[name].open(path, 1).predict(fresh) for name in names}
    assert np.array_equal(found["oracle"], found["litert-reference"])
    exact = run(bottlenecks(0), fresh)
    assert all(sqnr_db(exact, scores) > 6 for scores in found.values())


def test_weights_are_packed_and_operators_have_the_version_of_4_bits(tmp_path: Path) -> None:
    path, plan = written(tmp_path / "narrow.tflite"), four_bits().plan
    graph = read_flat_model(path).subgraphs[0]
    assert {"CONV_2D", "FULLY_CONNECTED"} <= {op.name for op in graph.operators}
    for op in graph.operators:
        weights = graph.weights(op)
        if weights is None:
            continue
        narrow = op.name in ("CONV_2D", "FULLY_CONNECTED")
        assert weights.dtype == ("int4" if narrow else "int8"), weights.name
        size = int(np.prod([int(side or 1) for side in weights.shape]))
        assert weights.size_bytes == (-(-size // 2) if narrow else size)
        assert not narrow or op.version == (7 if op.name == "CONV_2D" else 10)
    stored = read_integers(path).tensors
    for name, constant in plan.constants.items():
        if constant.params.dtype is IntType.INT4:
            assert np.array_equal(stored[name].value, constant.integers)
            assert np.abs(constant.integers).max() <= 7


def test_a_plan_of_4_bits_survives_its_file_and_fits_its_network(tmp_path: Path) -> None:
    plan = four_bits().plan
    plan.save(tmp_path / "net.plan")
    again = QuantizationPlan.load(tmp_path / "net.plan")
    assert again.settings == plan.settings
    assert set(again.settings.narrow_ops).isdisjoint(STAYS)
    check_fits(again, bottlenecks(0))
    fewer = replace(again.settings, narrow_ops=again.settings.narrow_ops[1:])
    with pytest.raises(InvalidInputError, match="which its settings do not say"):
        check_fits(replace(again, settings=fewer), bottlenecks(0))


@pytest.mark.parametrize("asked", ["float_ops", "wide_ops"])
def test_an_operator_of_another_type_is_not_in_4_bits(asked: str) -> None:
    graph = bottlenecks(0)
    settings = replace(FAST, **{asked: ("expand_1",)})
    assert "expand_1" in narrow_candidates(graph, FAST)
    assert "expand_1" not in narrow_settings(graph, settings).narrow_ops
    assert narrow_settings(graph, PlanSettings()) == PlanSettings()


def test_a_network_without_such_operators_is_refused() -> None:
    graph: Graph = bottlenecks(0)
    floats = tuple(op.name for op in graph.weighted)
    with pytest.raises(UnsupportedError, match="weights in 4 bits"):
        narrow_settings(graph, replace(FAST, float_ops=floats))


def test_no_converter_writes_4_bits() -> None:
    with pytest.raises(UnsupportedError, match="chosen by the engine"):
        recipe("tflite-int4").with_effort(Optimization.CONVERTER)
    assert recipe("tflite-int4").precision is Precision.INT4


def test_an_edge_tpu_does_not_take_them(tmp_path: Path) -> None:
    assert "has weights in 4 bits" in str(lint(written(tmp_path / "narrow.tflite"), EDGE_TPU))
