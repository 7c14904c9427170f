"""The check of a written file refuses operators and weights that are not as the recipe says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.onnx.check import FloatNames, check_graph
from export.onnx.graph import Node, OnnxGraph
from export.onnx.weights import pair_sums, weight_scales
from foundation.errors import InvalidInputError, UnsupportedError
from quantize.recipes import recipe
from quantize.settings import Granularity, PlanSettings, WeightRange

ASKED = recipe("onnx-int8")


def quantized(weight, scales, *, last="QuantizeLinear", group=1):
    """A graph of one convolution between quantizers, as the target writes it."""
    constants = {
        "x.s": np.float32(0.1).reshape(()),
        "x.z": np.array(128, np.uint8),
        "w.q": np.array(weight, np.int8),
        "w.s": np.array(scales, np.float32),
        "w.z": np.zeros(len(scales), np.int8),
    }
    nodes = [
        Node("QuantizeLinear", ["image", "x.s", "x.z"], ["x.q"]),
        Node("DequantizeLinear", ["x.q", "x.s", "x.z"], ["x.dq"]),
        Node("DequantizeLinear", ["w.q", "w.s", "w.z"], ["w.dq"], {"axis": 0}),
        Node("Conv", ["x.dq", "w.dq"], ["y"], {"group": group}, "conv"),
        Node(last, ["y", "x.s", "x.z"] if last == "QuantizeLinear" else ["y"], ["y.q"]),
    ]
    return OnnxGraph(nodes, constants, ("image", (1, 2, 4, 4)), (("y.q", (1, 2, 4, 4)),))


def filters(*largest):
    """Weights of 1x1 filters ``[out, 2, 1, 1]``, from the first weight of each."""
    return [[[[value]], [[1]]] for value in largest]


def test_a_good_graph_passes() -> None:
    assert check_graph(quantized(filters(127, -127), [0.1, 0.2]), ASKED) is None


@pytest.mark.parametrize("pair", [(127, 2), (65, 64), (-100, -29)])
def test_neighbouring_weights_that_could_saturate(pair: tuple[int, ...]) -> None:
    graph = quantized([[[[1]], [[1]]], [[[pair[0]]], [[pair[1]]]]], [0.1, 0.2])
    with pytest.raises(UnsupportedError, match="neighbouring weights of conv add up to 129"):
        check_graph(graph, ASKED)
    check_graph(graph, replace(ASKED, settings=PlanSettings(weight_range=WeightRange.FULL)))


def test_a_depthwise_weight_may_use_all_bits() -> None:
    graph = quantized([[[[127]]], [[[-127]]]], [0.1, 0.2], group=2)
    assert check_graph(graph, ASKED) is None


@pytest.mark.parametrize(
    ("name", "scales"), [("onnx-int8", [0.1]), ("onnx-int8-per-tensor", [0.1, 0.2])]
)
def test_another_granularity(name: str, scales: list[float]) -> None:
    with pytest.raises(UnsupportedError, match="scales"):
        check_graph(quantized(filters(3, 4), scales), recipe(name))


def test_a_float_on_the_way_out() -> None:
    with pytest.raises(UnsupportedError, match="Conv conv gives floats"):
        check_graph(quantized(filters(3, 4), [0.1, 0.2], last="Relu"), ASKED)


def test_a_float_on_the_way_in() -> None:
    graph = quantized(filters(3, 4), [0.1, 0.2])
    graph.nodes[3].inputs[0] = "image"
    with pytest.raises(UnsupportedError, match="Conv conv reads floats"):
        check_graph(graph, ASKED)


@pytest.mark.parametrize("scale", [np.nan, np.inf, 0.0, -1.0])
def test_a_scale_that_is_none(scale: float) -> None:
    with pytest.raises(InvalidInputError, match="scales"):
        check_graph(quantized(filters(3, 4), [0.1, scale]), ASKED)


def test_quantizers_in_a_float_file_and_floats_in_others() -> None:
    graph = quantized(filters(3, 4), [0.1, 0.2])
    for name in ("onnx-float32", "onnx-float16", "onnx-dynamic"):
        with pytest.raises(UnsupportedError, match=name):
            check_graph(graph, recipe(name))


def between(op_type, *, given=True, taken=True, pads=False):
    """A graph of one operator between dequantizer and quantizer, or without one of these."""
    constants = {
        "s": np.float32(0.1).reshape(()),
        "z": np.array(128, np.uint8),
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
    }
    source = "x.dq" if given else "image"
    inputs = [source, "pads"] if pads else [source] * (2 if op_type in ("Sub", "Concat") else 1)
    nodes = [
        Node("QuantizeLinear", ["image", "s", "z"], ["x.q"]),
        Node("DequantizeLinear", ["x.q", "s", "z"], ["x.dq"]),
        Node(op_type, inputs, ["y"], {}, "operator"),
        Node("QuantizeLinear", ["y", "s", "z"], ["y.q"]) if taken else Node("Relu", ["y"], ["y.q"]),
    ]
    return OnnxGraph(nodes, constants, ("image", (1, 2, 4, 4)), (("y.q", (1, 2, 4, 4)),))


@pytest.mark.parametrize("op_type", ["Sub", "AveragePool", "MaxPool", "Concat", "Pad"])
def test_no_operator_of_numbers_is_computed_in_float(op_type):
    pads = op_type == "Pad"
    assert check_graph(between(op_type, pads=pads), ASKED) is None
    with pytest.raises(UnsupportedError, match=f"{op_type} operator reads floats"):
        check_graph(between(op_type, pads=pads, given=False), ASKED)
    with pytest.raises(UnsupportedError, match=f"{op_type} operator gives floats"):
        check_graph(between(op_type, pads=pads, taken=False), ASKED)
    graph = between(op_type, pads=pads, taken=False)
    assert check_graph(graph, ASKED, FloatNames(frozenset({"operator"}))) is None


def test_sizes_may_be_computed_in_a_file_of_integers():
    """Operators on shapes give a Resize its sizes, which are not activations."""
    graph = between("MaxPool")
    sizes = [
        Node("Shape", ["x.dq"], ["shape"]),
        Node("Concat", ["shape", "pads"], ["sizes"], {"axis": 0}, "sizes"),
    ]
    graph.nodes[2:2] = sizes
    assert check_graph(graph, ASKED) is None


def test_scales_reach_the_bound_and_never_vanish() -> None:
    gemm = Node("Gemm", ["x", "w"], ["y"], {"transB": 1}, "gemm")
    weight = np.float32([[-4.0, -8.0, 2.0], [0.0, 0.0, 0.0], [1e-30, 0.0, 0.0]])
    full, safe = WeightRange.FULL, WeightRange.SATURATION_SAFE
    scales = weight_scales(gemm, weight, full, Granularity.PER_CHANNEL)
    np.testing.assert_allclose(scales[:2], [8 / 127, 8 / 127])
    assert scales[2] > 1e-10
    assert scales.dtype == np.float32
    paired = weight_scales(gemm, weight, safe, Granularity.PER_CHANNEL)
    np.testing.assert_allclose(paired[:2], [12 / 127, 12 / 127])
    assert weight_scales(gemm, weight, full, Granularity.PER_TENSOR) == np.float32(8 / 127)
    assert weight_scales(gemm, 0 * weight, full, Granularity.PER_TENSOR) > 0
    with pytest.raises(InvalidInputError, match="finite"):
        weight_scales(gemm, np.full((2, 2), np.inf), full, Granularity.PER_CHANNEL)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.sampled_from([1, 3]))
def test_rounded_neighbours_never_pass_the_bound(seed: int, channels: int, kernel: int) -> None:
    """For all weights, 255 times the sum of two that a kernel pairs fits in 16 bits.

    With an even number of channels it pairs 0 and 1, 2 and 3, ...; with an odd one any neighbours.
    """
    conv = Node("Conv", ["x", "w"], ["y"], {}, "conv")
    rng = np.random.default_rng(seed)
    weight = np.float32(rng.standard_t(2, (4, channels, kernel, kernel)))
    scales = weight_scales(conv, weight, WeightRange.SATURATION_SAFE, Granularity.PER_CHANNEL)
    rounded = np.rint(weight / scales.reshape(-1, 1, 1, 1))
    assert 255 * pair_sums(conv, rounded).max() <= np.iinfo(np.int16).max
    row = rounded.transpose(0, 2, 3, 1).reshape(4, -1)
    step = 2 if channels % 2 == 0 else 1
    later = row[:, 1:]
    sums = np.abs(row[:, :-1][:, ::step] + later[:, ::step]).max(initial=0)
    assert 255 * sums <= np.iinfo(np.int16).max


def composed(other: str) -> OnnxGraph:
    """``x * other * x`` between quantizers: the first product is a part, without a name."""
    constants = {"x.s": np.float32(0.1).reshape(()), "x.z": np.array(128, np.uint8)}
    nodes = [
        Node("QuantizeLinear", ["image", "x.s", "x.z"], ["x.q"]),
        Node("DequantizeLinear", ["x.q", "x.s", "x.z"], ["x.dq"]),
        Node("Mul", ["x.dq", other], ["part"]),
        Node("Mul", ["part", "x.dq"], ["y"], {}, "whole"),
        Node("QuantizeLinear", ["y", "x.s", "x.z"], ["y.q"]),
    ]
    return OnnxGraph(nodes, constants, ("image", (1, 2, 4, 4)), ("y.q", (1, 2, 4, 4)))


def test_a_composed_operator_is_one_between_quantizers() -> None:
    check_graph(composed("x.dq"), ASKED)
    with pytest.raises(UnsupportedError, match="Mul  reads floats"):
        check_graph(composed("image"), ASKED)
