"""Operators that a plan leaves in float32, rendered in both formats and checked there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from calibration_data.preprocessing import Crop, Preprocessing
from export.onnx.check import FloatNames, check_graph
from export.onnx.graph import from_model, to_model
from export.onnx.render import render as render_onnx
from export.onnx.runtime import run_model
from export.target import ArtifactCard
from export.tflite.check import check_file
from export.tflite.metadata import finish
from export.tflite.render import render as render_tflite
from foundation.errors import UnsupportedError
from network.run_tensorflow import run
from quantize.engine import make_plan
from quantize.plans.plan import PlannedNetwork
from quantize.plans.simulate import simulated
from quantize.recipes import recipe
from quantize.settings import IoType, Layout, Optimization, PlanSettings
from tests.export.tflite.tflite_cases import predict
from tests.network.graphs import bottlenecks, calibration, images, sqnr_db, unbalanced

GRAPH = unbalanced(bottlenecks(3), 3)
CASES = {
    "first": ("stem",),
    "inside a stream": ("project_1",),
    "an addition": ("add_1",),
    "in a row": ("expand_1", "depthwise_1", "project_1"),
    "pooling": ("pool",),
    "last": ("scores",),
    "all": tuple(op.name for op in GRAPH.ops),
}
cases = pytest.mark.parametrize("names", CASES.values(), ids=CASES)


def planned(names: tuple[str, ...]) -> PlannedNetwork:
    request = PlanSettings(optimization=Optimization.FAST, float_ops=names)
    plan = make_plan(GRAPH, calibration(), None, request)
    return PlannedNetwork(plan.network(GRAPH), plan)


def kinds(names: tuple[str, ...]) -> Counter[tuple[str, str]]:
    return Counter(("float32", str(op.kind)) for op in GRAPH.ops if op.name in names)


def write_tflite(path: Path, network: PlannedNetwork, io: IoType) -> None:
    card = ArtifactCard(Preprocessing(size=(8, 8), crop=Crop.PAD), recipe("tflite-int8"))
    path.write_bytes(finish(render_tflite(network.graph, network.plan, io), card))


@cases
def test_both_formats_compute_what_the_plan_says(names: tuple[str, ...], tmp_path: Path) -> None:
    network, pictures = planned(names), images(6, seed=8)
    expected = simulated(network, pictures)
    assert sqnr_db(run(GRAPH, pictures), expected) > 14
    path = tmp_path / "a.tflite"
    for io in IoType:
        write_tflite(path, network, io)
        check_file(path, recipe("tflite-int8").with_io(io), kinds(names))
        assert sqnr_db(expected, predict(path, pictures)) > 25
    for layout in Layout:
        graph = render_onnx(network.graph, network.plan, layout)
        assert check_graph(graph, recipe("onnx-int8"), FloatNames(frozenset(names))) is None
        model = to_model(graph)
        assert (
            check_graph(from_model(model), recipe("onnx-int8"), FloatNames(frozenset(names)))
            is None
        )
        assert sqnr_db(expected, run_model(model, pictures, layout)) > 25


@pytest.mark.parametrize("names", [("project_1",), ("add_1",)])
def test_a_file_with_other_float_operators_than_the_plan_is_refused(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    network, path = planned(names), tmp_path / "a.tflite"
    write_tflite(path, network, IoType.INT8)
    int8 = recipe("tflite-int8")
    for allowed in (Counter(), kinds(("stem",)) + kinds(names), kinds(("depthwise_1",))):
        with pytest.raises(UnsupportedError):
            check_file(path, int8, allowed)
    if names == ("add_1",):  # between quantizers: nothing tells it from an integer one in ONNX
        return
    graph = render_onnx(network.graph, network.plan, Layout.NHWC)
    for others in (FloatNames(), FloatNames(frozenset({"stem"}))):
        with pytest.raises(UnsupportedError, match=names[0]):
            check_graph(graph, recipe("onnx-int8"), others)


def test_an_integer_operator_that_was_to_stay_in_float_is_refused() -> None:
    network = planned(("project_1",))
    graph = render_onnx(network.graph, network.plan, Layout.NHWC)
    with pytest.raises(UnsupportedError, match="stem, to stay in float, has integer weights"):
        check_graph(graph, recipe("onnx-int8"), FloatNames(frozenset({"project_1", "stem"})))


@pytest.mark.parametrize("names", [("stem",), tuple(op.name for op in GRAPH.ops)])
def test_the_runtime_does_not_quantize_the_weights_of_a_float_operator(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    """A common scale would be that of one large filter, too wide for the others."""
    weight = GRAPH.value("stem.weight").copy()
    weight[0] *= 1000
    graph, pictures = GRAPH.with_values({"stem.weight": weight}), images(6, seed=8)
    request = PlanSettings(optimization=Optimization.FAST, float_ops=names)
    plan = make_plan(graph, calibration(), None, request)
    network = PlannedNetwork(plan.network(graph), plan)
    model = to_model(render_onnx(network.graph, plan, Layout.NHWC))
    expected = simulated(network, pictures)
    assert sqnr_db(expected, run_model(model, pictures, Layout.NHWC)) > 25
    write_tflite(tmp_path / "a.tflite", network, IoType.INT8)
    assert sqnr_db(expected, predict(tmp_path / "a.tflite", pictures)) > 25


def test_float_operators_keep_their_float_weights(tmp_path: Path) -> None:
    network = planned(("project_1",))
    graph = render_onnx(network.graph, network.plan, Layout.NHWC)
    stored = graph.constants["project_1.weight"]
    assert stored.dtype == np.float32
    assert np.array_equal(stored.transpose(0, 2, 3, 1), network.plan.floats["project_1.weight"])
