"""Check that a plan from a file fits the graph that it is to be applied to.

A plan file may be damaged, edited or hostile; its digest names the graph that it was made for, and
says nothing about the rest of the file.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from foundation.errors import InvalidInputError
from network.affine import BIAS_LIMIT, IntType, QuantParams
from network.graph import Graph, Op
from quantize.plans.narrow import can_be_narrow
from quantize.plans.plan import IntegerConstant, QuantizationPlan
from quantize.plans.widening import wide_params
from quantize.ranges.activations import fixed_params, tied
from quantize.settings import Precision

_ROUNDING = 1e-5
"""Relative difference of two products of scales in float32."""
_REACH_MARGIN = 4.0
"""A result's range may be so many times what the integers of its operator can reach."""
_RELU6_BOUND = 6.0
"""ReLU6 has its whole range, whatever its operator can reach."""


def check_fits(plan: QuantizationPlan, graph: Graph) -> None:
    """Refuse a plan whose tensors are not those of the graph.

    Args:
        plan: plan from a file.
        graph: canonical, with the digest that the plan names.

    Raises:
        InvalidInputError: a tensor, scale or operator that does not fit; names the first one.
    """
    fault = next(_faults(plan, graph), None)
    if fault is not None:
        raise InvalidInputError(
            "a plan holds parameters and integers for the tensors of its network",
            received=fault,
            remedy="make it again with edgequant quantize",
        )


def _faults(plan: QuantizationPlan, graph: Graph) -> Iterator[str]:
    """Everything in a plan that does not fit the graph, a phrase for each."""
    names = {op.name for op in graph.ops}
    settings = plan.settings
    floats, wide = frozenset(settings.float_ops), frozenset(settings.wide_ops)
    for name in (*settings.float_ops, *settings.wide_ops, *settings.narrow_ops):
        if name not in names:
            yield f"an operator {name}, which the network does not have"
    for name in sorted(floats & wide):
        yield f"{name} in float32 and in int16x8"
    for name in sorted((floats | wide).intersection(settings.narrow_ops)):
        yield f"{name} in 4 bits and in another type"
    for name, params in plan.activations.items():
        if name not in graph.activations:
            yield f"an activation {name}, which the network does not have"
        elif params.axis is not None or params.dtype not in (IntType.INT8, IntType.INT16):
            yield f"{name} with {params.dtype.value}, axis {params.axis}, for an activation"
    for op in graph.ops if plan.settings.floating is None else ():
        if op.name not in floats:
            yield from _lacking(op, plan, graph)
    for name, constant in plan.constants.items():
        yield from _constant_faults(name, constant, graph)
    yield from _relation_faults(plan, graph)
    for name, value in plan.floats.items():
        stored = graph.tensors.get(name)
        if stored is None or stored.value is None or value.shape != stored.shape:
            yield f"float32 values for {name} of shape {list(value.shape)}"


def _lacking(op: Op, plan: QuantizationPlan, graph: Graph) -> Iterator[str]:
    """What an integer operator lacks: parameters around it, or integers for its constants."""
    for name in (*op.inputs, *op.outputs):
        if name and not graph.is_constant(name) and name not in plan.activations:
            yield f"no parameters for {name}"
    for name in op.inputs[1:3] if op.is_weighted else ():
        if name not in plan.constants:
            yield f"no integers for {name}"


def _constant_faults(name: str, constant: IntegerConstant, graph: Graph) -> Iterator[str]:
    """Shape, type and scales of a constant that do not fit the graph's."""
    stored = graph.tensors.get(name)
    integers, params = constant.integers, constant.params
    if stored is None or stored.value is None:
        yield f"integers for {name}, which the network does not store"
    elif integers.shape != stored.shape:
        yield f"integers of shape {list(integers.shape)} for {name}, {list(stored.shape)}"
    elif integers.dtype.name != params.dtype.array:
        yield f"{integers.dtype.name} for {name}, said to be {params.dtype.value}"
    elif not _scales_fit(params, integers.shape):
        yield f"{len(params.scale)} scales along axis {params.axis} for {name}"


def _relation_faults(plan: QuantizationPlan, graph: Graph) -> Iterator[str]:
    """Scales that contradict each other, as in a file that was edited in one place only."""
    if plan.settings.floating is not None:
        yield from _floating_faults(plan, graph)
        return
    for op in graph.ops:
        if op.name in plan.settings.float_ops:
            continue
        if op.is_weighted:
            yield from _weighted_faults(op, plan)
        fixed = fixed_params(op)
        if fixed is not None and plan.activations[op.name] != fixed:
            yield f"parameters for {op.name} that a {op.kind} does not have"
    for name, root in tied(graph).items():
        first, second = plan.activations.get(name), plan.activations.get(root)
        same = first is None or second is None or first == second
        if not (same or _leaves_int8(name, plan, graph) or _leaves_int8(root, plan, graph)):
            yield f"{name} and {root} of different scales, which one operator only moves"


def _floating_faults(plan: QuantizationPlan, graph: Graph) -> Iterator[str]:
    """Parameters of activations, and integers of other constants than weights in int8."""
    for name in plan.activations:
        yield f"parameters for {name}, which stays a float number"
    weights = {op.inputs[1] for op in graph.weighted}
    for name, constant in plan.constants.items():
        integers, points = constant.integers, constant.params.zero_point
        if name not in weights or integers.dtype != np.int8 or any(points):
            yield f"{name} with {integers.dtype.name}, which is no weight in int8"
        elif plan.settings.floating is Precision.FLOAT16:
            yield f"integers for {name} in float16"


def _leaves_int8(name: str, plan: QuantizationPlan, graph: Graph) -> bool:
    """Whether an operator around an activation is in float32 or int16x8."""
    others = {*plan.settings.float_ops, *plan.settings.wide_ops}
    around = [*graph.readers.get(name, ()), graph.producers.get(name)]
    return any(op is not None and op.name in others for op in around)


def _weighted_faults(op: Op, plan: QuantizationPlan) -> Iterator[str]:
    """Integers and scales that a weighted operator in int8 or int16x8 does not have.

    These are a weight beyond [-127, 127], or [-7, 7] in 4 bits, a bias of other scales than input
    times weight, and a result with a range far beyond what its integers can reach.
    """
    weight = plan.constants[op.inputs[1]]
    if weight.integers.dtype != np.int8 or any(weight.params.zero_point):
        yield f"{op.inputs[1]} with {weight.integers.dtype.name}, zero points not 0"
    elif weight.integers.min(initial=0) < -127:
        yield f"{op.inputs[1]} with -128, where weights are -127 to 127"
    narrow = op.name in plan.settings.narrow_ops
    if narrow is not (weight.params.dtype is IntType.INT4):
        yield f"{op.inputs[1]} in {weight.params.dtype.value}, which its settings do not say"
    elif narrow and not can_be_narrow(op):
        yield f"{op.inputs[1]} in 4 bits, of a {op.kind}"
    elif narrow and np.abs(weight.integers.astype(np.int16)).max(initial=0) > 7:
        yield f"{op.inputs[1]} beyond -7 to 7, where weights in 4 bits are"
    source = plan.activations[op.inputs[0]]
    if op.name in plan.settings.wide_ops and source.dtype is not IntType.INT16:
        source = wide_params(source)
    expected = np.float64(source.scale[0]) * np.asarray(weight.params.scale, np.float64)
    if len(op.inputs) > 2 and op.inputs[2]:
        bias = plan.constants[op.inputs[2]]
        scales = np.asarray(bias.params.scale, np.float64)
        fits = scales.shape == expected.shape and np.allclose(scales, expected, _ROUNDING, 0.0)
        if not fits or any(bias.params.zero_point):
            yield f"{op.inputs[2]} of other scales than {op.inputs[0]} times {op.inputs[1]}"
        if np.abs(bias.integers.astype(np.float64)).max(initial=0) > _bias_limit(bias.params):
            yield f"{op.inputs[2]} with values beyond the sums of {bias.params.dtype.value}"
    if op.name not in plan.settings.wide_ops:
        yield from _reach_faults(op, plan, expected)


def _bias_limit(params: QuantParams) -> float:
    return float(BIAS_LIMIT if params.dtype is IntType.INT32 else params.dtype.limits[1])


def _reach_faults(op: Op, plan: QuantizationPlan, steps: np.ndarray) -> Iterator[str]:
    """A result whose range is more than _REACH_MARGIN times what its operator can compute.

    In calibration the result took the ends of its range.

    Args:
        op: weighted operator in int8.
        plan: plan of its graph.
        steps: scale of the operator's sums, float64 ``[1]`` or ``[channels]``.
    """
    weight = plan.constants[op.inputs[1]].integers
    source, result = plan.activations[op.inputs[0]], plan.activations[op.outputs[0]]
    largest = max(abs(end - source.zero_point[0]) for end in source.dtype.limits)
    axes = tuple(axis for axis in range(weight.ndim) if axis != op.channel_axis)
    reach = np.abs(weight.astype(np.float64)).sum(axis=axes) * largest
    if len(op.inputs) > 2 and op.inputs[2]:
        reach += np.abs(plan.constants[op.inputs[2]].integers.astype(np.float64))
    reached = float((reach * steps).max(initial=0.0))
    low, high = result.real_range
    if max(-low, high) > _REACH_MARGIN * max(reached, _RELU6_BOUND):
        yield f"a range of {low:g} to {high:g} for {op.name}, which reaches {reached:g} at most"


def _scales_fit(params: QuantParams, shape: tuple[int, ...]) -> bool:
    if params.axis is None:
        return True
    return 0 <= params.axis < len(shape) and len(params.scale) == shape[params.axis]
