"""Operators and networks in LiteRT compute the same as TensorFlow, from floats or integers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from queue import Empty
from typing import Any

import numpy as np
import pytest

from network.affine import IntType, QuantParams, params_from_range
from network.run_litert import Spans, network_of, rounded_network, rounding
from network.run_tensorflow import constants, run, run_op, run_outputs
from quantize.plans.simulate import rounding_of
from tests.network.graphs import activations, bottlenecks, images


def params_of(values: dict[str, np.ndarray]) -> dict[str, QuantParams]:
    return {n: params_from_range(float(v.min()), float(v.max())) for n, v in values.items()}


def test_every_operator_gives_what_tensorflow_does() -> None:
    graph = bottlenecks(0)
    values = activations(graph, images(3))
    for op in graph.ops:
        (found,) = network_of(graph, [op]).run(values)
        np.testing.assert_allclose(found, values[op.name], rtol=1e-5, atol=1e-5)


def test_integers_go_in_and_come_out() -> None:
    graph = bottlenecks(0)
    values = activations(graph, images(3))
    params = params_of(values)
    integers = {name: params[name].quantize(value) for name, value in values.items()}
    for op in graph.ops:
        (found,) = network_of(graph, [op], params=params).run(integers)
        held = {n: params[n].dequantize(integers[n]) for n in op.inputs if n in params}
        (wanted,) = run_op(op, graph, constants(graph, op, held))
        steps = found.astype(int) - params[op.name].quantize(np.asarray(wanted))
        assert found.dtype == np.int8
        assert np.abs(steps).max() <= 1  # where a sum lies half-way but for its rounding
        assert np.mean(steps != 0) < 0.01


def test_other_constants_take_the_place_of_the_graphs() -> None:
    graph = bottlenecks(0)
    op = graph.producers["scores"]
    zeros = network_of(graph, [op], value=lambda name: np.zeros_like(graph.value(name)))
    (found,) = zeros.run(activations(graph, images(2)))
    assert not found.any()


def test_the_rest_of_a_network_starts_at_any_activations() -> None:
    graph = bottlenecks(0)
    place = [op.name for op in graph.ops].index("expand_2")  # beside the stream that skips it
    rest = network_of(graph, graph.ops[place + 1 :])
    assert set(rest.sources) == {"expand_2", "add_1"}
    pictures = images(3)
    (scores,) = rest.run(activations(graph, pictures))
    np.testing.assert_allclose(scores, run(graph, pictures), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [IntType.INT8, IntType.INT16])
def test_rounding_gives_the_numbers_of_the_integers(dtype: IntType) -> None:
    graph, values = bottlenecks(0), np.linspace(-3, 3, 16, dtype=np.float32).reshape(1, 16)
    params = QuantParams((0.043,), (11 if dtype is IntType.INT8 else 0,), dtype=dtype)
    pooled = {"pool": values}
    (found,) = rounding(graph, "pool", params).run(pooled)
    np.testing.assert_array_equal(found, params.dequantize(params.quantize(values)))


def test_a_rounded_network_gives_what_tensorflow_does() -> None:
    graph, pictures = bottlenecks(0), images(8)
    params = params_of(activations(graph, pictures))
    (wanted,) = run_outputs(graph, pictures, rounding_of(params))
    (found,) = rounded_network(graph, params).run({graph.input: pictures})
    step = params["scores"].scale[0]
    assert np.abs(found - wanted).max() < 3 * step  # sums that lie half-way go either way
    assert np.mean(np.abs(found - wanted) > step / 2) < 0.1
    assert np.abs(found - run(graph, pictures)).max() > step / 2
    left = {name: value for name, value in params.items() if name not in ("image", "scores")}
    (scores,) = rounded_network(graph, left).run({graph.input: pictures})
    away = [np.abs(values / step - np.rint(values / step)).max() for values in (found, scores)]
    assert away[0] < 1e-3 < 0.1 < away[1]  # whole steps, and not


def test_threads_share_a_network() -> None:
    graph, pictures = bottlenecks(0), images(32)
    spans = Spans.of(graph)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(spans.over, [pictures] * 16))
    for low, high in found:
        assert all(np.array_equal(low[name], found[0][0][name]) for name in low)
        assert all(np.array_equal(high[name], found[0][1][name]) for name in high)
    assert spans.network.idle.qsize() <= 8


class _AtOnce:
    """Idle interpreters, of which a thread takes each one the moment that it is given back."""

    def __init__(self) -> None:
        self.taken = 0

    def get_nowait(self) -> Any:
        raise Empty

    def put(self, interpreter: Any) -> None:
        interpreter.invoke()
        self.taken += 1


def test_an_interpreter_is_given_back_without_a_view_of_its_memory() -> None:
    graph, taken = bottlenecks(0), _AtOnce()
    network = replace(network_of(graph, graph.ops), idle=taken)  # type: ignore[arg-type]
    network.run({graph.input: images(2)})
    assert taken.taken == 1
