"""The engine as a whole: few and bad images, operators in float, plans on disk."""

from __future__ import annotations

import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from foundation.errors import InvalidInputError, UnsupportedError
from network.graph import Graph, Tensor
from network.operators import Fused, OpKind
from network.run_tensorflow import run
from quantize.engine import make_plan, settled
from quantize.plans.plan import PlannedNetwork, QuantizationPlan
from quantize.plans.simulate import simulated
from quantize.ranges.extremes import BATCH
from quantize.ranges.float_pass import CalibrationImages, with_mirrored
from quantize.settings import Granularity, Optimization, PlanSettings, RangeMethod, WeightRange
from tests.network.graphs import (
    Builder,
    batched,
    bottlenecks,
    calibration,
    images,
    sqnr_db,
    unbalanced,
)

FAST = PlanSettings(optimization=Optimization.FAST)


def planned(graph: Graph, request: PlanSettings = FAST, count: int = 32) -> PlannedNetwork:
    plan = make_plan(graph, calibration(count), None, request)
    return PlannedNetwork(plan.network(graph), plan)


def quality(graph: Graph, request: PlanSettings = FAST, count: int = 32) -> float:
    fresh = images(32, seed=9)
    return sqnr_db(run(graph, fresh), simulated(planned(graph, request, count), fresh))


def test_the_least_effort_measures_a_small_network_on_every_image() -> None:
    b = Builder(np.random.default_rng(0))
    graph = b.graph(b.dense("scores", b.mean("mean", "image"), 1))
    bright = images(250)
    bright[1] += 8  # not among the 48 that a large network is measured on
    plan = make_plan(graph, CalibrationImages(250, lambda: [bright]), None, FAST)
    (scale,), (zero,) = plan.activations["mean"].scale, plan.activations["mean"].zero_point
    assert scale * (127 - zero) >= bright[1].mean((0, 1)).max() - scale / 2
    assert plan.story["range_images"] == 250


@pytest.mark.parametrize(("shape", "count"), [((6,), 200), ((20, 4), 32), ((8, 8, 3), 8)])
def test_vectors_and_series_are_rounded_on_more_examples(
    shape: tuple[int, ...], count: int
) -> None:
    b = Builder(np.random.default_rng(0))
    b.tensors["image"] = Tensor("image", (1, *shape))
    options = {"fusedActivationFunction": 0, "keepNumDims": True}
    constants = b.weights("scores", (5, shape[-1]), 5)
    result = (1, *shape[:-1], 5)
    b.op(OpKind.DENSE, "scores", ("image", *constants), result, "FullyConnectedOptions", **options)
    arrays = np.random.default_rng(1).normal(size=(300, *shape)).astype(np.float32)
    plan = make_plan(b.graph(), CalibrationImages(300, lambda: [arrays]), None, FAST)
    assert plan.story["rounding_images"] == count


def test_a_network_made_hard_is_quantized_as_well_as_the_easy_one() -> None:
    request = replace(FAST, granularity=Granularity.PER_TENSOR)
    easy = bottlenecks(3)
    assert quality(unbalanced(easy, 3), request) > quality(easy, request) - 3


def test_operators_in_float_fit_the_equalized_integers_around_them() -> None:
    """The plan contains their equalized weights: those of the graph would break the stream."""
    graph = unbalanced(bottlenecks(3), 3)
    request = replace(FAST, float_ops=("project_1", "expand_2"))
    network = planned(graph, request)
    assert {"project_1.weight", "expand_2.weight"} <= set(network.plan.floats)
    assert "project_1.weight" not in network.plan.constants
    fresh = images(32, seed=9)
    found = sqnr_db(run(graph, fresh), simulated(network, fresh))
    assert found > quality(graph) - 0.5
    broken = PlannedNetwork(graph, network.plan)
    assert sqnr_db(run(graph, fresh), simulated(broken, fresh)) < found - 3


def test_an_activation_between_float_operators_is_not_rounded() -> None:
    graph = bottlenecks(1)
    floats = ("expand_1", "depthwise_1", "project_1")
    plan = planned(graph, replace(FAST, float_ops=floats)).plan
    assert not {"expand_1", "depthwise_1"} & set(plan.activations)
    assert {"image", "project_0", "project_1", "scores"} <= set(plan.activations)
    everything = replace(FAST, float_ops=tuple(op.name for op in graph.ops))
    network = planned(graph, everything)
    assert set(network.plan.activations) == {"image", "scores"}
    assert network.plan.constants == {}
    fresh = images(16, seed=9)
    assert sqnr_db(run(graph, fresh), simulated(network, fresh)) > 35


def test_an_unknown_operator_to_keep_is_named() -> None:
    with pytest.raises(InvalidInputError, match="nobody"):
        planned(bottlenecks(0), replace(FAST, float_ops=("nobody",)))


@pytest.mark.parametrize("count", [1, 2, 17])
def test_few_images_are_enough_to_make_a_plan(count: int) -> None:
    graph = bottlenecks(2)
    scores = simulated(planned(graph, count=count), images(8, seed=9))
    assert np.isfinite(scores).all()
    assert count < 17 or quality(graph, count=count) > 12


def test_the_best_plan_is_rounded_on_mirrored_images_too() -> None:
    pictures = images(10)
    given = CalibrationImages(10, batched(pictures))
    best = replace(FAST, optimization=Optimization.BEST)
    rounded_on = settled(bottlenecks(0), given, None, best).images
    assert np.array_equal(rounded_on, np.concatenate([pictures, pictures[:, :, ::-1]]))
    assert np.array_equal(with_mirrored(pictures, 12), [*pictures, *pictures[[0, 9], :, ::-1]])
    assert np.array_equal(with_mirrored(pictures, 10), pictures)


def test_images_of_the_set_come_before_mirrored_ones() -> None:
    """The same number of images is rounded on, and of 50 none twice before all are taken."""
    pictures = images(80)
    for count, mirrored in ((80, 0), (64, 0), (50, 14), (20, 20)):
        given = CalibrationImages(count, batched(pictures[:count]))
        made = settled(bottlenecks(0), given, None, PlanSettings())
        assert len(made.images) == min(64, 2 * count)
        assert len(np.unique(made.images, axis=0)) == len(made.images)
        assert (made.distinct, made.mirrored) == (len(made.images) - mirrored, mirrored > 0)


def test_two_halves_that_disagree_are_noted() -> None:
    pictures = images(64)
    dark = np.arange(64) // BATCH % 2 == 1  # the float pass puts every other batch into a half
    pictures[dark] *= 0.05
    plan = make_plan(bottlenecks(0), CalibrationImages(64, batched(pictures)), None, FAST)
    assert any("two halves of the calibration images differ" in note for note in plan.notes)
    assert not any("two halves" in note for note in planned(bottlenecks(0)).plan.notes)


def test_dead_channels_are_noted_and_cost_nothing() -> None:
    graph = bottlenecks(4)
    bias = graph.value("expand_1.bias").copy()
    bias[:3] = -100  # ReLU6 never lets them through
    dead = graph.with_values({"expand_1.bias": bias})
    network = planned(dead)
    assert any("never change" in note and "expand_1" in note for note in network.plan.notes)
    assert quality(dead) > 15


def test_all_zero_weights_are_quantized() -> None:
    graph = bottlenecks(4)
    zero = graph.with_values({"project_1.weight": np.zeros_like(graph.value("project_1.weight"))})
    assert quality(zero) > 15


def test_operator_without_integer_form_is_named() -> None:
    b = Builder(np.random.default_rng(0))
    b.op("COS", "scores", (b.mean("pool", b.conv("first", "image", 4)),), (1, 4))
    with pytest.raises(UnsupportedError, match="COS, which gives scores"):
        make_plan(b.graph(), calibration(), None, FAST)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(value: float) -> None:
    graph = bottlenecks(0)
    weight = graph.value("expand_1.weight").copy()
    weight.flat[0] = value
    with pytest.raises(InvalidInputError, match=r"expand_1\.weight"):
        make_plan(graph.with_values({"expand_1.weight": weight}), calibration(), None, FAST)


def test_images_that_are_not_finite_are_refused() -> None:
    pictures = images(20)
    pictures[19, 0, 0, 0] = np.nan
    with pytest.raises(InvalidInputError, match="NaN or infinity in a batch"):
        make_plan(bottlenecks(0), CalibrationImages(20, batched(pictures)), None, FAST)


def test_images_of_another_size_are_refused() -> None:
    small = CalibrationImages(4, batched(images(4)[:, :4]))
    with pytest.raises(InvalidInputError, match=r"\[8, 8, 3\]; received \[4, 8, 3\]"):
        make_plan(bottlenecks(0), small, None, FAST)


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="an empty set"):
        make_plan(bottlenecks(0), CalibrationImages(0, batched(images(0))), None, FAST)


def test_overflow_in_an_activation_is_named() -> None:
    graph = bottlenecks(0, fused=Fused.NONE)
    huge = {n: np.full_like(graph.value(n), 1e30) for n in ("stem.weight", "project_0.weight")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with pytest.raises(InvalidInputError, match="NaN or infinity in project_0"):
            make_plan(graph.with_values(huge), calibration(), None, FAST)


@pytest.mark.parametrize("weight_range", list(WeightRange))
def test_equal_requests_give_equal_plan_files(tmp_path: Path, weight_range: WeightRange) -> None:
    request = replace(FAST, weight_range=weight_range, float_ops=("project_1",))
    graph = unbalanced(bottlenecks(0), 0)
    contents = []
    for number in range(2):
        path = tmp_path / f"{number}.plan"
        planned(graph, request).plan.save(path)
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    read = QuantizationPlan.load(tmp_path / "0.plan")
    read.save(tmp_path / "2.plan")
    assert (tmp_path / "2.plan").read_bytes() == contents[0]
    assert read.settings.float_ops == ("project_1",)
    fresh = images(4)
    assert np.array_equal(
        simulated(PlannedNetwork(read.network(graph), read), fresh),
        simulated(planned(graph, request), fresh),
    )


def test_damaged_plan_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.plan"
    planned(bottlenecks(0)).plan.save(path)
    whole = path.read_bytes()
    other = tmp_path / "other.npz"
    np.savez(other, header=np.frombuffer(b'{"format": "something else"}', np.uint8))
    cut = [whole[: len(whole) * part // 10] for part in (0, 1, 5, 9)]
    with zipfile.ZipFile(path) as archive:
        first = archive.infolist()[0]
    flipped = bytearray(whole)
    flipped[first.header_offset + 30 + len(first.filename) + first.compress_size // 2] ^= 0xFF
    for content in (*cut, bytes(flipped), b"text", other.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(InvalidInputError, match=r"archive of the format.*a\.plan"):
            QuantizationPlan.load(path)
    with pytest.raises(InvalidInputError, match="nowhere"):
        QuantizationPlan.load(tmp_path / "nowhere.plan")


def test_a_plan_for_another_graph_is_refused() -> None:
    plan = planned(bottlenecks(0)).plan
    for other in (bottlenecks(1), bottlenecks(0, blocks=1)):
        with pytest.raises(InvalidInputError, match="the network that it was made for"):
            plan.network(other)


@pytest.mark.parametrize("method", list(RangeMethod))
def test_every_range_method_makes_a_sound_plan(method: RangeMethod) -> None:
    graph = bottlenecks(2)
    plan = planned(graph, replace(FAST, ranges=method)).plan
    base = planned(graph).plan
    assert plan.settings.ranges is method
    assert plan.activations["expand_1"] == base.activations["expand_1"]  # ReLU6: known
    assert plan.activations["image"] == base.activations["image"]
    for name, params in plan.activations.items():
        assert params.scale[0] <= base.activations[name].scale[0] * (1 + 1e-6)
    changed = any(p != base.activations[name] for name, p in plan.activations.items())
    assert changed == (method is not RangeMethod.MIN_MAX)
    assert quality(graph, replace(FAST, ranges=method)) > 12
