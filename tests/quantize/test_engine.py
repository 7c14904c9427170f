"""The engine as a whole: exact rewrites, few and bad images, operators in float, plans on disk."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from foundation.errors import InvalidInputError, UnsupportedError
from network.affine import QuantParams
from network.graph import Graph, Tensor
from network.operators import Fused, OpKind
from network.run_tensorflow import run
from quantize.engine import make_plan, settled
from quantize.equalization.equalize import equalized
from quantize.plans.plan import PlannedNetwork, QuantizationPlan
from quantize.plans.simulate import simulated
from quantize.ranges.extremes import BATCH, Extremes, extremes
from quantize.ranges.float_pass import CalibrationImages, float_pass, with_mirrored
from quantize.rounding.layers import LayerSettings, solve
from quantize.rounding.moments import Moments, moments
from quantize.settings import Granularity, Optimization, PlanSettings, RangeMethod, WeightRange
from tests.network.graphs import (
    Builder,
    activations,
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


@pytest.mark.parametrize("fused", [Fused.RELU6, Fused.RELU])
@pytest.mark.parametrize("seed", [0, 1])
def test_equalization_leaves_the_function_as_it_is(seed: int, fused: Fused) -> None:
    graph = unbalanced(bottlenecks(seed, fused=fused), seed)
    scaled = settled(graph, calibration(), None, FAST).graph
    fresh = images(64, seed=5)  # not those that the factors come from
    before, after = run(graph, fresh), run(scaled, fresh)
    assert any(not np.array_equal(graph.weight(op), scaled.weight(op)) for op in graph.weighted)
    assert np.abs(before - after).max() <= 2e-5 * np.abs(before).max()


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


def test_equalization_evens_out_a_residual_stream() -> None:
    graph = unbalanced(bottlenecks(3), 3)
    spread = {}
    for name, network in (
        ("before", graph),
        ("after", settled(graph, calibration(), None, FAST).graph),
    ):
        spans = next(extremes(network, [images(32)]))
        reach = np.max([spans[n].reach for n in spans if n.startswith(("add", "project"))], axis=0)
        spread[name] = reach.max() / reach.min()
    assert spread["before"] > 8
    assert spread["after"] < 2


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


def test_a_source_that_can_choose_reads_no_image_but_those_looked_at() -> None:
    pictures = images(64)
    asked: list[np.ndarray] = []

    def chosen(numbers: np.ndarray) -> Iterator[np.ndarray]:
        asked.append(numbers)
        yield from batched(pictures[numbers], 4)()

    def never() -> Iterator[np.ndarray]:
        raise AssertionError("all images were read")

    choosing = float_pass(bottlenecks(0), CalibrationImages(64, never, chosen), 4, 16)
    picking = float_pass(bottlenecks(0), CalibrationImages(64, batched(pictures)), 4, 16)
    assert [len(numbers) for numbers in asked] == [16]
    assert np.array_equal(choosing.images, picking.images)
    for name, span in choosing.spans.items():
        assert np.array_equal(span.low, picking.spans[name].low)
        assert np.array_equal(span.high, picking.spans[name].high)


def test_typical_spans_are_the_mean_over_batches() -> None:
    graph, pictures = bottlenecks(0), images(4 * BATCH)
    pictures[-1] *= 8  # one image in the last batch
    seen = float_pass(graph, CalibrationImages(len(pictures), batched(pictures)), 4, 10**9)
    parts = [extremes(graph, [pictures[i : i + BATCH]]) for i in range(0, 32, BATCH)]
    highs = np.stack([next(part)["project_0"].high for part in parts])
    np.testing.assert_allclose(seen.typical["project_0"].high, highs.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(seen.spans["project_0"].high, highs.max(axis=0), rtol=1e-5)


def test_equalization_evens_out_what_channels_usually_reach() -> None:
    graph, pictures = unbalanced(bottlenecks(3), 3), images(32)
    pictures[0] *= 1.5
    given = CalibrationImages(32, batched(pictures))
    seen = float_pass(graph, given, 4, 10**9)
    scaled, spans = equalized(graph, seen.spans, Granularity.PER_CHANNEL, seen.typical)
    fresh = images(64, seed=5)
    before, after = run(graph, fresh), run(scaled, fresh)
    assert np.abs(before - after).max() <= 2e-5 * np.abs(before).max()
    again = float_pass(scaled, given, 4, 10**9)
    for name in ("project_0", "project_1", "add_1"):
        np.testing.assert_allclose(spans[name].reach, again.spans[name].reach, rtol=1e-3, atol=1e-4)
    usual = [s.reach for n, s in again.typical.items() if n.startswith(("project", "add"))]
    rare = [s.reach for n, s in again.spans.items() if n.startswith(("project", "add"))]
    evenness = [np.max(reaches, axis=0) for reaches in (usual, rare)]
    assert evenness[0].max() / evenness[0].min() < 1.01
    assert evenness[1].max() / evenness[1].min() > 1.03


@pytest.mark.parametrize("fused", [Fused.RELU6, Fused.NONE])
def test_extremes_are_those_of_tensorflow(fused: Fused) -> None:
    graph, pictures = bottlenecks(1, fused=fused), images(24)
    found: dict[str, list[Extremes]] = {}
    for spans in extremes(graph, [pictures[:16], pictures[16:]]):
        for name, span in spans.items():
            found.setdefault(name, []).append(span)
    wanted = activations(graph, pictures)
    assert set(found) == set(wanted) == set(graph.activations)
    for name, value in wanted.items():
        rows = value.reshape(-1, value.shape[-1])
        both = found[name][0].joined(found[name][1])
        np.testing.assert_allclose(both.low, rows.min(axis=0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(both.high, rows.max(axis=0), rtol=1e-5, atol=1e-6)


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


def test_moments_of_shards_add_up() -> None:
    graph = bottlenecks(0)
    for op in graph.weighted:
        shape = graph.tensors[op.inputs[0]].shape[1:]
        rng = np.random.default_rng(1)
        pairs = [
            tuple(rng.normal(size=(4, *shape)).astype(np.float32) for _ in range(2))
            for _ in range(3)
        ]
        whole = moments(op, graph, pairs, 9)
        shards = moments(op, graph, pairs[:1], 9).joined(moments(op, graph, pairs[1:], 9))
        assert whole.count == shards.count
        for name in ("input_products", "loss_products", "losses", "inputs", "float_inputs"):
            found = getattr(whole, name)
            rounding = 1e-6 * np.abs(found).max()  # products are sums of float32
            np.testing.assert_allclose(found, getattr(shards, name), atol=rounding)


def test_moments_are_those_of_the_integers_numbers() -> None:
    """Integers with a zero point, padded and sampled, have the moments of their real numbers."""
    graph, params = bottlenecks(0), QuantParams((0.02,), (-7,))
    rng = np.random.default_rng(2)
    for op in graph.weighted:
        shape = graph.tensors[op.inputs[0]].shape[1:]
        exact = rng.normal(size=(4, *shape)).astype(np.float32)
        integers = rng.integers(-128, 128, (4, *shape)).astype(np.int8)
        numbers = params.dequantize(integers)
        found = moments(op, graph, [(exact, integers)], 9, params)
        wanted = moments(op, graph, [(exact, numbers)], 9)
        assert found.count == wanted.count
        for name in ("input_products", "loss_products", "losses", "inputs", "float_inputs"):
            value = getattr(wanted, name)
            rounding = 1e-6 * np.abs(value).max()
            np.testing.assert_allclose(getattr(found, name), value, atol=rounding)


def test_moments_that_are_indefinite_leave_the_weight_as_it_is() -> None:
    graph = bottlenecks(0)
    op = graph.producers["project_1"]
    size = graph.weight(op).shape[-1]
    own = np.eye(size)
    own[-1, -1] = -0.5
    zeros = np.zeros(size)
    broken = Moments(64, 64 * own, np.ones((6, size)), np.zeros(6), zeros, zeros)
    plain = LayerSettings(Granularity.PER_CHANNEL, WeightRange.SATURATION_SAFE)
    source = QuantParams((0.02,), (-7,))
    kept, fitted = (
        solve(op, graph, source, (broken, broken), replace(plain, refit=refit))
        for refit in (False, True)
    )
    assert np.array_equal(kept.weight.integers, fitted.weight.integers)


def test_the_pull_is_what_least_squares_needs() -> None:
    """With all positions, weight + pull / covariance is the least squares weight."""
    graph = bottlenecks(0)
    rng = np.random.default_rng(3)
    op = next(op for op in graph.weighted if op.name == "expand_1")
    shape = graph.tensors[op.inputs[0]].shape[1:]
    exact = rng.normal(size=(16, *shape)).astype(np.float32)
    noisy = (exact + 0.3 * np.roll(exact, 1, axis=-1)).astype(np.float32)
    found = moments(op, graph, [(exact, noisy)], 10**6)
    weight = graph.weight(op).reshape(graph.weight(op).shape[0], -1).astype(np.float64)
    fitted = weight + np.linalg.solve(found.covariance, found.pull.T).T
    reads, wanted = (x.reshape(-1, shape[-1]).astype(np.float64) for x in (noisy, exact))
    centred = [x - x.mean(axis=0) for x in (reads, wanted @ weight.T)]
    best = np.linalg.lstsq(*centred, rcond=None)[0].T
    np.testing.assert_allclose(fitted, best, atol=1e-4 * np.abs(best).max())


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


def test_a_dense_unit_that_hardly_answers_leaves_the_others_their_integers() -> None:
    b = Builder(np.random.default_rng(3))
    hidden = b.dense("hidden", b.mean("mean", b.conv("conv", "image", 8)), 16)
    relu = {**b.ops[-1].options, "fusedActivationFunction": list(Fused).index(Fused.RELU)}
    b.ops[-1] = replace(b.ops[-1], options=relu)
    b.dense("scores", hidden, 4)
    graph = b.graph()
    spans = next(extremes(graph, [images(32)]))
    high = spans["hidden"].high.copy()
    high[0] *= 1e-4
    spans = {**spans, "hidden": replace(spans["hidden"], high=high)}
    scaled, _ = equalized(graph, spans, Granularity.PER_CHANNEL)
    largest = np.abs(scaled.weight(scaled.producers["hidden"])).max(axis=1)  # [units]
    assert largest[0] < 2 * np.median(largest)
    fresh = images(8, seed=5)
    np.testing.assert_allclose(run(scaled, fresh), run(graph, fresh), rtol=1e-4, atol=1e-5)
