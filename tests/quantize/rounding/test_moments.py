"""Moments of a layer's inputs: shards, integers, and what least squares needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from network.affine import QuantParams
from quantize.rounding.layer_settings import LayerSettings
from quantize.rounding.layers import solve
from quantize.rounding.moments import Moments, moments
from quantize.settings import Granularity, WeightRange
from tests.network.graphs import (
    bottlenecks,
)


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


def test_moments_are_those_of_their_definition() -> None:
    """With more inputs than channels and with fewer, the products are taken in another order."""
    graph, rng = bottlenecks(0), np.random.default_rng(3)
    for name in ("expand_1", "project_1"):
        op = graph.producers[name]
        weight = graph.weight(op)[:, 0, 0].astype(np.float64)  # [channels, inputs]
        shape = graph.tensors[op.inputs[0]].shape[1:]
        exact, found = (rng.normal(size=(2, *shape)).astype(np.float32) for _ in range(2))
        z, x = (value.reshape(-1, shape[-1]).astype(np.float64) for value in (exact, found))
        seen = moments(op, graph, [(exact, found)], 10**9)
        loss = (z - x) @ weight.T
        for value, wanted in (
            (seen.input_products, x.T @ x),
            (seen.loss_products, loss.T @ x),
            (seen.losses, loss.sum(0)),
            (seen.inputs, x.sum(0)),
            (seen.float_inputs, z.sum(0)),
        ):
            np.testing.assert_allclose(value, wanted, atol=1e-5 * np.abs(wanted).max())


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
