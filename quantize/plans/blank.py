"""A plan with random integers: it has the types and shapes of a network's plan, uncalibrated."""

from __future__ import annotations

import numpy as np

from network.affine import IntType, QuantParams
from network.graph import Graph, Op
from network.integer_forms import measured
from network.operators import OpKind
from quantize.plans.narrow import narrow_settings
from quantize.plans.plan import IntegerConstant, QuantizationPlan
from quantize.plans.widening import wide_activations
from quantize.ranges.activations import Range, activation_params
from quantize.rounding.rows import is_stored_small
from quantize.settings import Granularity, PlanSettings, Precision


def blank_plan(graph: Graph, settings: PlanSettings) -> QuantizationPlan:
    """Plan of random integers, for what depends on their number alone.

    They are not zeros, since files store equal values once.

    Args:
        graph: canonical.
        settings: settings of the plan, with every operator that stays in float32.
    """
    rng, settings = np.random.default_rng(0), narrow_settings(graph, settings)
    if settings.floating is not None:
        return _blank_floating(graph, settings, rng)
    ranges = {name: Range(-end, end) for name in measured(graph) for end in [_end(rng)]}
    constants: dict[str, IntegerConstant] = {}
    for op in graph.ops:
        if op.name in settings.float_ops:
            continue
        if op.is_weighted:
            constants |= _weights(graph, op, settings, rng)
        else:
            stored = (op.inputs[p] for p in op.data_positions if p < len(op.inputs))
            dtype = IntType.INT16 if op.name in settings.wide_ops else IntType.INT8
            constants |= {
                name: _constant(rng, graph.value(name).shape, dtype)
                for name in stored
                if graph.is_constant(name)
            }
    params = activation_params(graph, ranges, None)
    params = wide_activations(graph, params, settings.wide_ops, whole=settings.int16)
    return QuantizationPlan("", params, constants, settings)


def _blank_floating(
    graph: Graph, settings: PlanSettings, rng: np.random.Generator
) -> QuantizationPlan:
    """Plan of a file with float activations: of integers it has weights alone."""
    constants = {
        op.inputs[1]: _weights(graph, op, settings, rng)[op.inputs[1]]
        for op in graph.weighted
        if settings.floating is not Precision.FLOAT16 and is_stored_small(graph, op)
    }
    return QuantizationPlan("", {}, constants, settings)


def _end(rng: np.random.Generator) -> float:
    return float(np.float32(rng.uniform(1, 2)))


def _constant(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    dtype: IntType,
    scales: int = 1,
    axis: int | None = None,
) -> IntegerConstant:
    drawn = rng.uniform(1, 2, scales).astype(np.float32)
    params = QuantParams(tuple(drawn.tolist()), (0,) * scales, dtype, axis)
    most = 7 if dtype is IntType.INT4 else 127
    integers = rng.integers(-most, most + 1, shape).astype(dtype.array)
    return IntegerConstant(params, integers)


def _weights(
    graph: Graph, op: Op, settings: PlanSettings, rng: np.random.Generator
) -> dict[str, IntegerConstant]:
    shape = graph.weight(op).shape
    channels = shape[op.channel_axis]
    narrow = op.name in settings.narrow_ops
    several = settings.granularity is Granularity.PER_CHANNEL and op.kind != OpKind.DENSE
    of_weight = IntType.INT4 if narrow else IntType.INT8
    scales, axis = (channels, op.channel_axis) if several else (1, None)
    of_bias = IntType.INT64 if op.name in settings.wide_ops else IntType.INT32
    return {
        op.inputs[1]: _constant(rng, shape, of_weight, scales, axis),
        op.inputs[2]: _constant(rng, (channels,), of_bias, scales, 0 if several else None),
    }
