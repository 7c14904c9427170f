"""Small canonical graphs, built by hand: no converter is needed for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from network.graph import Graph, Op, Tensor
from network.operators import Fused, OpKind
from network.run_tensorflow import run
from quantize.engine import make_plan
from quantize.plans.plan import PlannedNetwork
from quantize.ranges.float_pass import CalibrationImages
from quantize.settings import Optimization, PlanSettings

SIDE = 8


@dataclass
class Builder:
    """Adds operators one by one; each call returns the name of its result."""

    rng: np.random.Generator
    ops: list[Op] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(
        default_factory=lambda: {"image": Tensor("image", (1, SIDE, SIDE, 3))}
    )

    def op(
        self,
        kind: OpKind | str,
        name: str,
        inputs: tuple[str, ...],
        shape: tuple[int, ...],
        options_type: str = "",
        **options: Any,
    ) -> str:
        self.tensors[name] = Tensor(name, shape)
        self.ops.append(Op(kind, inputs, (name,), options, options_type))
        return name

    def constant(self, name: str, value: np.ndarray) -> str:
        value.setflags(write=False)  # tests share graphs
        self.tensors[name] = Tensor(name, value.shape, value)
        return name

    def weights(self, name: str, shape: tuple[int, ...], channels: int) -> tuple[str, str]:
        fan_in = int(np.prod(shape)) / channels
        weight = self.rng.normal(0, fan_in**-0.5, shape).astype(np.float32)
        bias = self.rng.normal(0, 0.1, channels).astype(np.float32)
        return self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)

    def conv(
        self,
        name: str,
        source: str,
        channels: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        fused: Fused = Fused.NONE,
    ) -> str:
        _, rows, columns, depth = self.tensors[source].shape
        constants = self.weights(name, (channels, kernel, kernel, depth), channels)
        shape = (1, -(-rows // stride), -(-columns // stride), channels)
        window = _window(stride, fused)
        return self.op(OpKind.CONV, name, (source, *constants), shape, "Conv2DOptions", **window)

    def depthwise(
        self, name: str, source: str, *, stride: int = 1, fused: Fused = Fused.NONE
    ) -> str:
        _, rows, columns, depth = self.tensors[source].shape
        constants = self.weights(name, (1, 3, 3, depth), depth)
        shape = (1, -(-rows // stride), -(-columns // stride), depth)
        options = {**_window(stride, fused), "depthMultiplier": 1}
        kind = OpKind.DEPTHWISE_CONV
        return self.op(kind, name, (source, *constants), shape, "DepthwiseConv2DOptions", **options)

    def add(self, name: str, first: str, second: str, fused: Fused = Fused.NONE) -> str:
        shape = self.tensors[first].shape
        options = {"fusedActivationFunction": list(Fused).index(fused), "potScaleInt16": True}
        return self.op(OpKind.ADD, name, (first, second), shape, "AddOptions", **options)

    def mean(self, name: str, source: str) -> str:
        axes = self.constant(f"{name}.axes", np.array([1, 2], np.int32))
        shape = (1, self.tensors[source].shape[-1])
        return self.op(OpKind.MEAN, name, (source, axes), shape, "ReducerOptions", keepDims=False)

    def dense(self, name: str, source: str, classes: int) -> str:
        depth = self.tensors[source].shape[-1]
        constants = self.weights(name, (classes, depth), classes)
        options = {
            "fusedActivationFunction": 0,
            "weightsFormat": 0,
            "keepNumDims": False,
            "asymmetricQuantizeInputs": False,
        }
        return self.op(
            OpKind.DENSE, name, (source, *constants), (1, classes), "FullyConnectedOptions",
            **options,
        )  # fmt: skip

    def graph(self, *outputs: str) -> Graph:
        return Graph(tuple(self.ops), self.tensors, "image", outputs or ("scores",))


def _window(stride: int, fused: Fused) -> dict[str, int]:
    return {
        "padding": 0,
        "strideH": stride,
        "strideW": stride,
        "dilationHFactor": 1,
        "dilationWFactor": 1,
        "fusedActivationFunction": list(Fused).index(fused),
    }


def sliced(b: Builder, name: str, source: str, begin: tuple[int, ...], end: tuple[int, ...]) -> str:
    """Part between two positions on each axis, as in a Cropping2D."""
    ends = {"begin": begin, "end": end, "strides": (1,) * len(begin)}
    stored = [b.constant(f"{name}.{k}", np.array(v, np.int32)) for k, v in ends.items()]
    shape = tuple(high - low for low, high in zip(begin, end, strict=True))
    masks = {f"{m}Mask": 0 for m in ("begin", "end", "ellipsis", "newAxis", "shrinkAxis")}
    options = {**masks, "offset": False}
    inputs = (source, *stored)
    return b.op(OpKind.STRIDED_SLICE, name, inputs, shape, "StridedSliceOptions", **options)


def bottlenecks(seed: int, blocks: int = 2, classes: int = 4, fused: Fused = Fused.RELU6) -> Graph:
    """Inverted residuals on one stream: every add joins the linear bottleneck before it."""
    b = Builder(np.random.default_rng(seed))
    stem = b.conv("stem", "image", 8, kernel=3, stride=2, fused=fused)
    stream = b.conv("project_0", stem, 6)
    for number in range(1, blocks + 1):
        inner = b.conv(f"expand_{number}", stream, 12, fused=fused)
        inner = b.depthwise(f"depthwise_{number}", inner, fused=fused)
        inner = b.conv(f"project_{number}", inner, 6)
        stream = b.add(f"add_{number}", stream, inner)
    last = b.conv("last", stream, 16, fused=Fused.RELU)
    return _scored(b, last, classes)


def _scored(b: Builder, last: str, classes: int) -> Graph:
    b.dense("scores", b.mean("pool", last), classes)
    return b.graph()


def unbalanced(graph: Graph, seed: int, most: float = 64.0) -> Graph:
    """Graph of the same function with the stream of ``bottlenecks`` scaled per channel."""
    rng = np.random.default_rng(seed)
    factors = np.exp(rng.uniform(-np.log(most), 0, 6)).astype(np.float32)
    producers = [op for op in graph.weighted if op.name.startswith("project")]
    readers = [op for op in graph.weighted if op.name.startswith(("expand", "last"))]
    return rescaled(graph, producers, readers, factors)


def rescaled(
    graph: Graph, producers: Iterable[Op], readers: Iterable[Op], factors: np.ndarray
) -> Graph:
    """Graph of the same function with the channels of a linear stream multiplied by ``factors``.

    Args:
        graph: graph of the operators.
        producers: convolutions that compute the stream.
        readers: convolutions that read it.
        factors: ``[channels]``.
    """
    factors = factors.astype(np.float32)
    values: dict[str, np.ndarray] = {}
    for op in producers:
        values[op.inputs[1]] = graph.weight(op) * factors[:, None, None, None]
        values[op.inputs[2]] = graph.bias(op) * factors
    for op in readers:
        values[op.inputs[1]] = graph.weight(op) / factors
    return graph.with_values(values)


def images(count: int, seed: int = 0) -> np.ndarray:
    """Smooth noise in [-1, 1], whose neighbouring pixels are similar, as in photos."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(-1, 1, (count, SIDE // 2, SIDE // 2, 3))
    fine = coarse.repeat(2, axis=1).repeat(2, axis=2) + rng.normal(0, 0.1, (count, SIDE, SIDE, 3))
    return np.clip(fine, -1, 1).astype(np.float32)


def calibration(count: int = 32, seed: int = 0, batch: int = 16) -> CalibrationImages:
    return CalibrationImages(count, batched(images(count, seed), batch))


def batched(pictures: np.ndarray, batch: int = 16) -> Callable[[], Iterator[np.ndarray]]:
    def batches() -> Iterator[np.ndarray]:
        for start in range(0, len(pictures), batch):
            yield pictures[start : start + batch]

    return batches


def activations(graph: Graph, pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Every activation of the float network, computed by TensorFlow; the input first."""
    values: dict[str, np.ndarray] = {}

    def seen(name: str, value: Any) -> Any:
        values[name] = np.asarray(value)
        return value

    run(graph, pictures, seen)
    return values


@cache
def planned(floats: tuple[str, ...] = ()) -> PlannedNetwork:
    """``bottlenecks(0)`` with a fast plan; some operators may stay in float."""
    graph = bottlenecks(0)
    request = PlanSettings(optimization=Optimization.FAST, float_ops=floats)
    plan = make_plan(graph, calibration(), None, request)
    return PlannedNetwork(plan.network(graph), plan)


def sqnr_db(exact: np.ndarray, found: np.ndarray) -> float:
    noise = np.square(exact.astype(np.float64) - found).sum()
    return float(10 * np.log10(np.square(exact.astype(np.float64)).sum() / max(noise, 1e-30)))
