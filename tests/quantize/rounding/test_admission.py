"""Layers with large activations are rounded on a part of the images, later ones on all of them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from network.affine import QuantParams, params_from_range
from network.graph import Graph, Op, Tensor
from network.run_litert import network_of
from network.run_tensorflow import run
from quantize.rounding import admission, reconstruct
from quantize.rounding.admission import admitted, spread_pairs
from quantize.rounding.floating import FloatLockstep
from quantize.rounding.layer_settings import LayerSettings
from quantize.rounding.reconstruct import Lockstep
from quantize.settings import Granularity, Precision, WeightRange
from tests.network.graphs import Builder, activations, bottlenecks, images

SETTINGS = LayerSettings(Granularity.PER_CHANNEL, WeightRange.FULL, sweeps=1, refit=True)
COUNT = 24


def params_of(graph: Graph) -> dict[str, QuantParams]:
    values = activations(graph, images(COUNT))
    return {n: params_from_range(float(v.min()), float(v.max())) for n, v in values.items()}


def in_stages(monkeypatch: pytest.MonkeyPatch, graph: Graph) -> None:
    """Chunks of two images; 4 stand at the first operators, then 7, 12 and in the end all."""
    stages = (4, 4, 4, 7, 12, 12)
    most = (*stages, *[COUNT] * (len(graph.ops) - len(stages)))
    monkeypatch.setattr(reconstruct, "admitted", lambda _: most)
    monkeypatch.setattr(reconstruct, "LARGEST_CHUNK", 2)


def inputs_seen(monkeypatch: pytest.MonkeyPatch, lockstep: Lockstep) -> dict[str, int]:
    """Filled with the number of images that each operator is computed on."""
    seen: dict[str, int] = {}
    step = lockstep._integer_step

    def counted(op: Op) -> None:
        seen[op.name] = sum(len(chunk) for chunk in lockstep.integers[op.inputs[0]])
        step(op)

    monkeypatch.setattr(lockstep, "_integer_step", counted)
    return seen


def test_images_that_come_later_pass_the_decided_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = bottlenecks(0)
    params, pictures = params_of(graph), images(COUNT)
    in_stages(monkeypatch, graph)
    lockstep = Lockstep(graph, params, SETTINGS, 50)
    seen = inputs_seen(monkeypatch, lockstep)
    constants = lockstep.run(pictures)
    assert [seen[op.name] for op in graph.ops][:6] == [4, 4, 4, 4, 12, 12]
    assert seen["scores"] == COUNT
    order = np.concatenate(spread_pairs(np.array_split(np.arange(COUNT), COUNT // 2)))
    exact = np.concatenate(lockstep.exact["scores"])
    np.testing.assert_allclose(exact, run(graph, pictures[order]), rtol=1e-4, atol=1e-5)
    decided = {name: constant.to_float() for name, constant in constants.items()}
    values = {graph.input: params[graph.input].quantize(pictures[order])}
    for op in graph.ops:  # one after the other, as if all had stood there from the start
        step = network_of(graph.with_values(decided), [op], params=params)
        values |= zip(op.outputs, step.run(values), strict=True)
    assert np.array_equal(np.concatenate(lockstep.integers["scores"]), values["scores"])


@pytest.mark.parametrize("precision", [Precision.FLOAT16, Precision.DYNAMIC])
def test_float_activations_come_later_too(
    monkeypatch: pytest.MonkeyPatch, precision: Precision
) -> None:
    b = Builder(np.random.default_rng(0))
    name = "image"
    for number in range(8):  # weights of 1,024 numbers, which dynamic files store in 8 bits
        name = b.conv(f"conv_{number}", name, 32)
    graph, pictures = b.graph(b.dense("scores", b.mean("pool", name), 4)), images(COUNT)
    in_stages(monkeypatch, graph)
    lockstep = FloatLockstep(graph, {}, SETTINGS, 50, precision=precision)
    seen = inputs_seen(monkeypatch, lockstep)
    lockstep.run(pictures)
    assert min(seen.values()) == 4
    assert seen["scores"] == COUNT
    found, exact = (np.concatenate(v["scores"]) for v in (lockstep.integers, lockstep.exact))
    error, spread = np.abs(found - exact).max(), np.ptp(exact)
    assert 0 < error < (1e-3 if precision is Precision.FLOAT16 else 0.1) * spread


def test_nothing_is_computed_behind_the_last_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    b = Builder(np.random.default_rng(0))
    layer = b.conv("layer", "image", 4)
    graph = b.graph(b.mean("pool", layer))
    lockstep = Lockstep(graph, params_of(graph), SETTINGS, 50)
    seen = inputs_seen(monkeypatch, lockstep)
    done: list[int] = []
    lockstep.run(images(4), done.append)
    assert (list(seen), done) == (["layer"], [1, 1])


def test_few_images_stand_where_activations_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MODEST_BYTES", 5 * 100_000)
    monkeypatch.setattr(admission, "MEMORY_BYTES", 5 * 900_000)
    monkeypatch.setattr(admission, "ENOUGH_IMAGES", 8)
    b = Builder(np.random.default_rng(0), tensors={"image": Tensor("image", (1, 64, 64, 3))})
    name = "image"
    for number, channels in enumerate((64, 32, 16, 32)):
        name = b.conv(f"conv_{number}", name, channels, stride=2 if number else 1)
    graph = b.graph(b.mean("pool", name))
    held = [64 * 64 * (3 + 64), 64 * 64 * 64 + 32**3, 32**3 + 16**3, 16**3 + 8 * 8 * 32]
    wanted = [min(8, 900_000 // held[0]), min(8, 900_000 // held[1]), 8, 100_000 // held[3]]
    assert admitted(graph) == tuple(wanted)
    assert all(first <= second for first, second in pairwise(admitted(graph)))


def test_two_images_stand_at_least_and_none_without_weights() -> None:
    b = Builder(
        np.random.default_rng(0), tensors={"image": Tensor("image", (1, 20_000, 20_000, 3))}
    )
    assert admitted(b.graph(b.conv("layer", "image", 4))) == (2,)
    b = Builder(np.random.default_rng(0))
    assert admitted(b.graph(b.mean("pool", "image"))) == ()


@pytest.mark.parametrize("count", range(14))
def test_any_first_part_of_the_pairs_is_spread(count: int) -> None:
    order = spread_pairs(range(count))
    assert sorted(order) == list(range(count))
    for place, number in enumerate(order):
        assert number % 2 == place % 2  # halves stay what they are
    firsts = order[: count - count % 2 : 2]
    for end in range(1, len(firsts) + 1):
        gaps = np.diff(sorted([*firsts[:end], count]))
        assert gaps.max() <= 4 * max(1, -(-count // (2 * end)))
