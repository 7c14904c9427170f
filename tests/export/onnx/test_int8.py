"""Operators of int8 files that no registered network has, and refusals before the plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from calibration_data.preprocessing import Crop, Preprocessing
from edgequant import pipeline, planning
from edgequant.pipeline import quantize
from edgequant.planning import Planner
from edgequant.preparing import Prepared
from evaluation.parity.onnx_steps import onnx_steps
from export.onnx.check import check_graph
from export.onnx.float_operators import FLOAT_WRITERS
from export.onnx.graph import to_model
from export.onnx.operators import WRITERS
from export.onnx.render import computed_in_float, render, require_writable
from export.onnx.runtime import run_model
from export.target import ArtifactCard
from export.tflite.metadata import finish
from export.tflite.render import render as render_tflite
from foundation.errors import UnsupportedError
from network.graph import Graph
from network.operators import Fused, OpKind
from quantize.engine import make_plan
from quantize.plans.plan import PlannedNetwork
from quantize.plans.simulate import simulated
from quantize.recipes import recipe
from quantize.settings import IoType, Layout, Optimization, PlanSettings
from tests.export.tflite.tflite_cases import predict
from tests.network.graphs import Builder, calibration, images, sliced, sqnr_db


def cropped() -> Graph:
    b = Builder(np.random.default_rng(2))
    image = sliced(b, "cut_image", "image", (0, 1, 0, 0), (1, 8, 7, 3))
    inside = sliced(b, "cut", b.conv("stem", image, 8, kernel=3), (0, 2, 1, 2), (1, 6, 7, 8))
    b.dense("scores", b.mean("pool", b.conv("next", inside, 6, kernel=3)), 4)
    return b.graph()


def of_other_examples() -> Graph:
    """A slice that leaves out examples of the batch, which an ONNX file with a free one has not."""
    b = Builder(np.random.default_rng(2))
    image = b.conv("stem", "image", 4)
    b.dense("scores", b.mean("pool", sliced(b, "cut", image, (1, 0, 0, 0), (1, 8, 8, 4))), 4)
    return b.graph()


def over_channels() -> Graph:
    """A mean over channels: maps of one channel."""
    b = Builder(np.random.default_rng(2))
    image = b.conv("stem", "image", 8, kernel=3)
    axes = b.constant("mean.axes", np.array([3], np.int32))
    mean = b.op(OpKind.MEAN, "mean", (image, axes), (1, 8, 8, 1), "ReducerOptions", keepDims=True)
    b.dense("scores", b.mean("pool", b.conv("next", mean, 6)), 4)
    return b.graph()


def without_a_form() -> Graph:
    """An operator that ONNX does not have."""
    b = Builder(np.random.default_rng(2))
    image = b.conv("stem", "image", 8, kernel=3)
    angle = b.op("ATAN2", "angle", (image, image), (1, 8, 8, 8))
    b.dense("scores", b.mean("pool", b.conv("next", angle, 6)), 4)
    return b.graph()


def joined_with_a_rectifier() -> Graph:
    """A rectified result with the scale of a concatenation with negative numbers (DenseNet)."""
    b = Builder(np.random.default_rng(2))
    first = b.conv("first", "image", 4, kernel=3, fused=Fused.RELU6)
    second = b.conv("second", "image", 4, kernel=3)
    joined = b.op(
        OpKind.CONCATENATION, "joined", (first, second), (1, 8, 8, 8), "ConcatenationOptions",
        axis=3, fusedActivationFunction=0,
    )  # fmt: skip
    b.dense("scores", b.mean("pool", b.conv("next", joined, 6, kernel=3)), 4)
    return b.graph()


def rows_of_pixels() -> Graph:
    """A matrix product on each pixel, as of Keras's Dense on an image."""
    b = Builder(np.random.default_rng(2))
    image = b.conv("stem", "image", 8, kernel=3)
    options = {"keepNumDims": True, "weightsFormat": 0, "fusedActivationFunction": 1}
    rows = b.op(
        OpKind.DENSE, "rows", (image, *b.weights("rows", (6, 8), 6)), (1, 8, 8, 6),
        "FullyConnectedOptions", **options, asymmetricQuantizeInputs=False,
    )  # fmt: skip
    b.dense("scores", b.mean("pool", rows), 4)
    return b.graph()


@pytest.mark.parametrize("build", [joined_with_a_rectifier, rows_of_pixels])
def test_an_operator_computes_what_the_plan_says(
    build: Callable[[], Graph], tmp_path: Path
) -> None:
    graph, pictures = build(), images(6, seed=8)
    plan = make_plan(graph, calibration(), None, PlanSettings(optimization=Optimization.FAST))
    network = PlannedNetwork(plan.network(graph), plan)
    written = render(network.graph, plan, Layout.NHWC)
    assert check_graph(written, recipe("onnx-int8")) is None
    expected = simulated(network, pictures)
    assert sqnr_db(expected, run_model(to_model(written), pictures, Layout.NHWC)) > 25


def test_the_steps_of_a_rectified_result_are_those_behind_the_rectifier(tmp_path: Path) -> None:
    graph = joined_with_a_rectifier()
    plan = make_plan(graph, calibration(), None, PlanSettings(optimization=Optimization.FAST))
    path = tmp_path / "a.onnx"
    written = to_model(render(plan.network(graph), plan, Layout.NHWC))
    path.write_bytes(written.SerializeToString())
    steps = {step.name: step for step in onnx_steps(path)}
    assert steps["first"].tensor == "first.dq.q"
    assert steps["second"].tensor == "second.dq.q"


@pytest.mark.parametrize("layout", list(Layout))
def test_a_slice_computes_what_the_plan_says(layout: Layout, tmp_path: Path) -> None:
    graph, pictures = cropped(), images(6, seed=8)
    plan = make_plan(graph, calibration(), None, PlanSettings(optimization=Optimization.FAST))
    network = PlannedNetwork(plan.network(graph), plan)
    expected = simulated(network, pictures)
    written = render(network.graph, plan, layout)
    assert check_graph(written, recipe("onnx-int8")) is None
    assert sqnr_db(expected, run_model(to_model(written), pictures, layout)) > 25
    nodes = written.nodes
    slices = [i for i, node in enumerate(nodes) if node.op_type == "Slice"]
    assert len(slices) == 2
    makers = written.producers()
    for place in slices:
        assert makers[nodes[place].inputs[0]].op_type == "DequantizeLinear"
        assert nodes[place + 1].op_type == "QuantizeLinear"
    card = ArtifactCard(Preprocessing(size=(8, 8), crop=Crop.PAD), recipe("tflite-int8"))
    path = tmp_path / "a.tflite"
    path.write_bytes(finish(render_tflite(network.graph, plan, IoType.INT8), card))
    assert sqnr_db(expected, predict(path, pictures)) > 25


def test_every_kind_that_the_engine_plans_is_written() -> None:
    assert set(OpKind) - set(WRITERS) == set()
    assert set(OpKind) - set(FLOAT_WRITERS) == set()


def test_what_is_not_written_is_said_without_a_plan() -> None:
    require_writable(cropped(), Layout.NCHW)
    with pytest.raises(UnsupportedError, match="received ATAN2, which gives angle"):
        require_writable(without_a_form(), Layout.NHWC)


def test_what_has_no_integer_writer_is_written_between_quantizers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert computed_in_float(over_channels(), Layout.NHWC) == ()
    monkeypatch.delitem(WRITERS, OpKind.MEAN)  # type: ignore[arg-type]
    assert computed_in_float(over_channels(), Layout.NHWC) == ("mean", "pool")


def test_a_slice_of_the_batch_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="cut with the batch cut"):
        require_writable(of_other_examples(), Layout.NHWC)


def planner(graph: Graph) -> Planner:
    made = Planner(None, Preprocessing((8, 8), Crop.PAD), None)  # type: ignore[arg-type]
    made.__dict__["graph"] = graph
    return made


def no_plan(*_: object, **__: object) -> None:
    raise AssertionError("a plan was made")


def test_the_planner_refuses_before_it_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "make_plan", no_plan)
    with pytest.raises(UnsupportedError, match="received ATAN2"):
        planner(without_a_form()).planned(recipe("onnx-int8"), lambda _: None)


def test_a_command_refuses_its_files_before_the_first_plan(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    planned = planner(without_a_form())

    class Request:
        recipes = (recipe("onnx-int8-per-tensor"), recipe("onnx-int8"))
        force = True
        max_size = None

    prepared = Prepared(None, planned.contract, None)  # type: ignore[arg-type]
    prepared.__dict__["planner"] = planned
    monkeypatch.setattr(planning, "make_plan", no_plan)
    monkeypatch.setattr(pipeline, "prepare_shown", lambda *_: prepared)
    monkeypatch.setattr(pipeline, "artifact_key", lambda *_: "")
    monkeypatch.setattr(pipeline, "artifact_path", lambda *_: tmp_path / "a")
    with pytest.raises(UnsupportedError, match="received ATAN2"):
        quantize(Request(), None, None)  # type: ignore[arg-type]
