"""Training with quantizers: from a plan to a plan, through tf_keras and TF-MOT in a child."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from foundation.errors import InvalidInputError
from network.graph import Graph, Op, Tensor
from network.operators import OpKind
from quantize.engine import make_plan
from quantize.plans.plan import IntegerConstant, QuantizationPlan
from quantize.qat import training as qat
from quantize.qat.exchange import (
    QatSettings,
    Trained,
    read_job,
    read_result,
    write_job,
    write_result,
)
from quantize.qat.training import trained_plan
from quantize.ranges.float_pass import CalibrationImages
from quantize.rounding.second_order import neighbours, pair_reach
from quantize.settings import PlanSettings, WeightRange

CONV = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1, "padding": 0}
DENSE = {"fusedActivationFunction": 0, "keepNumDims": False}
SUM = {"fusedActivationFunction": 0}
SHORT = QatSettings(epochs=8, learning_rate=0.5, batch=16)


def small_graph() -> Graph:
    """Every kind of weighted operator, an addition, a softmax at the end; 8x8 pixels, 4 classes."""
    rng = np.random.default_rng(1)

    def weight(*shape: int) -> np.ndarray:
        return rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)

    tensors = [
        Tensor("image", (1, 8, 8, 3)),
        Tensor("w1", (6, 3, 3, 3), weight(6, 3, 3, 3)),
        Tensor("b1", (6,), weight(6)),
        Tensor("conv", (1, 4, 4, 6)),
        Tensor("w2", (1, 3, 3, 6), 3 * weight(1, 3, 3, 6)),
        Tensor("b2", (6,), weight(6)),
        Tensor("depthwise", (1, 4, 4, 6)),
        Tensor("sum", (1, 4, 4, 6)),
        Tensor("axes", (2,), np.array([1, 2], np.int32)),
        Tensor("mean", (1, 6)),
        Tensor("w3", (4, 6), weight(4, 6)),
        Tensor("b3", (4,), weight(4)),
        Tensor("logits", (1, 4)),
        Tensor("scores", (1, 4)),
    ]
    strided = {**CONV, "strideH": 2, "strideW": 2}
    ops = (
        Op(
            OpKind.CONV.value,
            ("image", "w1", "b1"),
            ("conv",),
            strided | {"fusedActivationFunction": 3},
            "Conv2DOptions",
        ),
        Op(
            OpKind.DEPTHWISE_CONV.value,
            ("conv", "w2", "b2"),
            ("depthwise",),
            CONV | {"fusedActivationFunction": 1, "depthMultiplier": 1},
            "DepthwiseConv2DOptions",
        ),
        Op(OpKind.ADD.value, ("conv", "depthwise"), ("sum",), SUM, "AddOptions"),
        Op(OpKind.MEAN.value, ("sum", "axes"), ("mean",), {"keepDims": False}, "ReducerOptions"),
        Op(OpKind.DENSE.value, ("mean", "w3", "b3"), ("logits",), DENSE, "FullyConnectedOptions"),
        Op(OpKind.SOFTMAX.value, ("logits",), ("scores",), {"beta": 1.0}, "SoftmaxOptions"),
    )
    return Graph(ops, {t.name: t for t in tensors}, "image", ("scores",))


def images(count: int = 80) -> CalibrationImages:
    """Random images in batches of 16."""
    data = np.random.default_rng(2).uniform(-1, 1, (count, 8, 8, 3)).astype(np.float32)
    return CalibrationImages(count, lambda: (data[i : i + 16] for i in range(0, count, 16)))


@pytest.fixture(scope="module")
def graph() -> Graph:
    return small_graph()


@pytest.fixture(scope="module")
def plan(graph: Graph) -> QuantizationPlan:
    return make_plan(graph, images(), None, PlanSettings())


@pytest.fixture(scope="module")
def rough(plan: QuantizationPlan) -> QuantizationPlan:
    """Plan whose integers are up to four steps off, as after bad rounding."""
    rng = np.random.default_rng(3)
    constants = dict(plan.constants)
    for name in ("w1", "w2", "w3"):
        was = constants[name]
        moved = np.clip(was.integers * 0.9 + rng.integers(-4, 5, was.integers.shape), -60, 60)
        constants[name] = IntegerConstant(was.params, moved.astype(np.int8))
    return replace(plan, constants=constants)


@pytest.fixture(scope="module")
def better(graph: Graph, rough: QuantizationPlan) -> tuple[QuantizationPlan, list[int]]:
    """The rough plan after training, and the reported progress."""
    told: list[int] = []
    return trained_plan(graph, rough, images(), SHORT, told.append), told


def test_training_mends_a_rough_plan_on_images_it_has_not_seen(
    rough: QuantizationPlan, better: tuple[QuantizationPlan, list[int]]
) -> None:
    trained, told = better
    story = trained.story["qat"]
    before, *after = story["held_out_sqnr_db"]
    assert story["kept_epoch"] > 0
    assert max(after) > before + 8
    assert (story["fit_images"], story["held_out_images"]) == (64, 16)
    assert sum(told) == 8 * 64
    assert any(
        (trained.constants[n].integers != rough.constants[n].integers).any()
        for n in rough.constants
    )


def test_what_comes_out_is_a_plan_of_the_same_network_with_the_same_scales(
    graph: Graph,
    rough: QuantizationPlan,
    better: tuple[QuantizationPlan, list[int]],
    tmp_path: Path,
) -> None:
    trained, _ = better
    trained.check_graph(graph)
    assert trained.activations == rough.activations
    for name, constant in trained.constants.items():
        assert constant.params == rough.constants[name].params
        assert constant.integers.dtype == rough.constants[name].integers.dtype
        assert constant.integers.shape == rough.constants[name].integers.shape
    trained.save(tmp_path / "a.plan")
    assert QuantizationPlan.load(tmp_path / "a.plan").story["qat"]["epochs"] == 8


def test_pairs_of_trained_weights_still_cannot_saturate(
    better: tuple[QuantizationPlan, list[int]],
) -> None:
    trained, _ = better
    assert trained.settings.weight_range is WeightRange.SATURATION_SAFE
    for name in ("w1", "w3"):
        integers = trained.constants[name].integers
        rows = integers.reshape(integers.shape[0], -1).astype(np.float64)
        assert pair_reach(rows, neighbours(integers.shape)).max() <= 128


def test_weights_of_saturating_pairs_return_to_the_plan_and_others_do_not() -> None:
    planned = np.array([[60.0, 60.0, 10.0, -20.0]])
    trained = np.array([[70.0, 62.0, 11.0, -21.0]])
    integers = qat._without_saturation(trained, planned, (1, 1, 1, 4))
    assert integers.tolist() == [[60.0, 60.0, 11.0, -21.0]]


def test_a_plan_that_cannot_be_bettered_stays_with_a_note(
    graph: Graph, plan: QuantizationPlan
) -> None:
    same = Trained({}, {}, (0.1, 0.2), 0, 4, 1)
    merged = qat._merged(graph, plan, same, SHORT)
    assert merged.constants == plan.constants
    assert merged.notes[-1].startswith("training with quantizers gained nothing")


def test_job_and_result_cross_the_folder_unchanged(
    graph: Graph, plan: QuantizationPlan, tmp_path: Path
) -> None:
    write_job(tmp_path, graph, plan, (80, images().batches), SHORT)
    job = read_job(tmp_path)
    job.plan.check_graph(job.graph)
    plan.check_graph(job.graph)
    assert job.settings == SHORT
    np.testing.assert_array_equal(job.images, np.concatenate(list(images().batches())))
    weights = {op.name: plan.constants[op.inputs[1]].integers for op in graph.weighted}
    biases = {op.name: graph.bias(op) for op in graph.weighted}
    write_result(tmp_path, Trained(weights, biases, (0.2, 0.1), 1, 64, 16))
    found = read_result(tmp_path)
    assert (found.noise, found.kept) == ((0.2, 0.1), 1)
    for name in weights:
        np.testing.assert_array_equal(found.weights[name], weights[name])
        np.testing.assert_array_equal(found.biases[name], biases[name])


ROUND_TRIP = """
import json, sys
from pathlib import Path
import numpy as np
from network.run_tensorflow import forward
from quantize.qat.child import _scores
from quantize.qat.exchange import read_job
from quantize.qat.network import from_layer, network
import tensorflow as tf
job = read_job(Path(sys.argv[1]))
images = np.asarray(job.images[:16])
seen = {}
forward(job.graph, tf.constant(images), lambda name, value: seen.setdefault(name, value))
(found,) = _scores(network(job.graph, 8), images, np.arange(16), 8)
student = network(job.graph, 8, job.plan)
back = {layer.op.name: from_layer(layer.op, layer.kernel.numpy()) for layer in student.layers}
same = [
    bool((back[op.name] == job.plan.constants[op.inputs[1]].integers).all())
    for op in job.graph.weighted
]
wanted = seen["logits"].numpy()
print(json.dumps({
    "error": float(np.abs(found - wanted).max()), "size": float(np.abs(wanted).max()),
    "same": same, "wrapped": sum("Quantize" in type(l).__name__ for l in student.model.layers),
}))
"""


@pytest.mark.slow
def test_weights_pass_through_tf_keras_both_ways_unchanged(
    graph: Graph, plan: QuantizationPlan, tmp_path: Path
) -> None:
    import os
    import subprocess

    write_job(tmp_path, graph, plan, (80, images().batches), SHORT)
    done = subprocess.run(
        [sys.executable, "-c", ROUND_TRIP, str(tmp_path)],
        cwd=Path(qat.__file__).parents[2],
        env={**os.environ, "TF_USE_LEGACY_KERAS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["error"] <= 1e-6 * found["size"]
    assert found["same"] == [True, True, True]
    assert found["wrapped"] == 8  # the image, three layers, two fused activations, addition, mean


def _child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str) -> None:
    """Replace the training by another program."""
    room = tmp_path / "quantize" / "qat"
    room.mkdir(parents=True)
    (room.parent / "__init__.py").touch()
    (room / "__init__.py").touch()
    (room / "child.py").write_text(source)
    monkeypatch.setattr(qat, "_HOME", tmp_path)


@pytest.mark.parametrize(
    ("source", "received"),
    [
        ("raise SystemExit('no room on the left')", "exit code 1 (no room on the left)"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended by signal 9"),
        ("raise SystemExit(3)", "exit code 3 (no message)"),
    ],
)
def test_a_child_that_fails_is_one_sentence_and_leaves_nothing(
    graph: Graph,
    plan: QuantizationPlan,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    source: str,
    received: str,
) -> None:
    _child(monkeypatch, tmp_path, source)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    with pytest.raises(InvalidInputError) as caught:
        trained_plan(graph, plan, images(), SHORT)
    assert received in caught.value.received
    assert "\n" not in str(caught.value)
    assert list(scratch.iterdir()) == []


def test_one_image_is_too_few_and_known_before_a_process_starts(
    graph: Graph, plan: QuantizationPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qat, "_run_child", lambda *_: pytest.fail("a process was started"))
    with pytest.raises(InvalidInputError, match="at least two images"):
        trained_plan(graph, plan, images(1), SHORT)


def test_a_plan_of_another_network_is_refused(graph: Graph, plan: QuantizationPlan) -> None:
    other = graph.with_values({"b1": graph.value("b1") + 1})
    with pytest.raises(InvalidInputError, match="the network that it was made for"):
        trained_plan(other, plan, images(), SHORT)


@pytest.mark.parametrize("change", [{"epochs": 0}, {"learning_rate": 0.0}, {"batch": 0}])
def test_settings_that_train_nothing_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError, match="at least one epoch"):
        QatSettings(**change)  # type: ignore[arg-type]


@pytest.mark.slow
def test_equal_seeds_give_equal_plans(
    graph: Graph, rough: QuantizationPlan, better: tuple[QuantizationPlan, list[int]]
) -> None:
    again = trained_plan(graph, rough, images(), SHORT)
    for name, constant in better[0].constants.items():
        np.testing.assert_array_equal(constant.integers, again.constants[name].integers)
