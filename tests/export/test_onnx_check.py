"""The check of a written file finds what is not as the recipe says; the rewrites are exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.onnx_check import check_graph
from export.onnx_cleanup import clean
from export.onnx_graph import Graph, Node, to_model
from export.onnx_runtime import run_model
from export.onnx_weights import pair_sums, weight_scales
from foundation.errors import InvalidInputError, UnsupportedError
from quantize.recipes import Granularity, Layout, WeightRange, recipe

ASKED = recipe("onnx-int8")


def quantized(weight, scales, *, last="QuantizeLinear", group=1):
    """One convolution between quantizers, as the target writes them."""
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
    return Graph(nodes, constants, ("image", (1, 2, 4, 4)), ("y.q", (1, 2, 4, 4)))


def filters(*largest):
    """1x1 filters ``[out, 2, 1, 1]``; the first weight of each is given."""
    return [[[[value]], [[1]]] for value in largest]


def test_a_good_graph_passes() -> None:
    assert check_graph(quantized(filters(127, -127), [0.1, 0.2]), ASKED) is None


@pytest.mark.parametrize("pair", [(127, 2), (65, 64), (-100, -29)])
def test_neighbouring_weights_that_could_saturate(pair: tuple[int, ...]) -> None:
    graph = quantized([[[[1]], [[1]]], [[[pair[0]]], [[pair[1]]]]], [0.1, 0.2])
    with pytest.raises(UnsupportedError, match="neighbouring weights of conv add up to 129"):
        check_graph(graph, ASKED)
    check_graph(graph, replace(ASKED, weight_range=WeightRange.FULL))


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


def float_graph(seed=0):
    """Pad, grouped convolution, scale, shift, batch norm and hard-sigmoid, channels first."""
    rng = np.random.default_rng(seed)
    constants = {
        "pads": np.array([0, 0, 0, 1, 0, 0, 2, 0]),
        "w": rng.normal(size=(4, 1, 3, 3)),
        "b": rng.normal(size=4),
        "scale": rng.normal(size=(1, 4, 1, 1)),
        "shift": rng.normal(size=(4, 1, 1)),
        "two": np.array(2.0),
        **{name: rng.uniform(0.5, 2, 4) for name in ("gamma", "beta", "mean", "variance")},
        "three": np.array(3.0),
        "zero": np.array(0.0),
        "six": np.array(6.0),
    }
    values = {
        k: np.asarray(v, np.int64 if k == "pads" else np.float32) for k, v in constants.items()
    }
    nodes = [
        Node("Pad", ["image", "pads"], ["p"]),
        Node("Conv", ["p", "w", "b"], ["c"], {"group": 2, "pads": [1, 0, 0, 0]}, "conv"),
        Node("Mul", ["scale", "c"], ["m"]),
        Node("Sub", ["m", "shift"], ["s"]),
        Node("Div", ["s", "two"], ["d"]),
        Node("BatchNormalization", ["d", "gamma", "beta", "mean", "variance"], ["n"]),
        Node("Add", ["n", "three"], ["a"]),
        Node("Clip", ["a", "zero", "six"], ["r"]),
        Node("Div", ["r", "six"], ["h"]),
        Node("Mul", ["n", "h"], ["swish"]),
        Node("GlobalAveragePool", ["swish"], ["g"]),
        Node("Flatten", ["g"], ["scores"]),
    ]
    return Graph(nodes, values, ("image", (3, 2, 6, 6)), ("scores", (3, 4)))


def test_rewrites_keep_the_function() -> None:
    pixels = np.random.default_rng(1).normal(size=(3, 6, 6, 2)).astype(np.float32)
    reference = float_graph()
    reference.input = ("image", ("batch", *reference.input[1][1:]))
    before = run_model(to_model(reference), pixels, Layout.NCHW)
    graph = float_graph()
    clean(graph, 3)
    assert [n.op_type for n in graph.nodes] == [
        "Conv", "HardSigmoid", "Mul", "GlobalAveragePool", "Flatten",
    ]  # fmt: skip
    assert graph.nodes[0].attributes["pads"] == [1, 1, 2, 0]
    assert graph.input[1][0] == graph.output[1][0] == "batch"
    np.testing.assert_allclose(
        run_model(to_model(graph), pixels, Layout.NCHW), before, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("change", ["value", "channels", "reflect", "read twice"])
def test_padding_that_a_convolution_cannot_do_stays(change: str) -> None:
    graph = float_graph()
    pad = graph.nodes[0]
    if change == "value":
        graph.constants["one"] = np.float32(1).reshape(())
        pad.inputs.append("one")
    elif change == "channels":
        graph.constants["pads"][1] = 1
        graph.input = ("image", (3, 1, 6, 6))
    elif change == "reflect":
        pad.attributes["mode"] = b"reflect"
    else:
        graph.nodes.append(Node("GlobalAveragePool", ["p"], ["other"]))
        graph.nodes.append(Node("Concat", ["g", "other"], ["both"], {"axis": 1}))
        graph.nodes[-3].inputs = ["both"]
        graph.nodes.append(graph.nodes.pop(-3))
        graph.output = ("scores", (3, 6))
    clean(graph, 3)
    assert graph.nodes[0].op_type == "Pad"


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
    """Whatever the weights: 255 times two that a kernel pairs fits in 16 bits.

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
