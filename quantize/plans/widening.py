"""Operators in int16x8: int8 weights as they are, activations in int16.

An activation is int16 where the operator that computes it and all that read it are wide, and biases
get the finer scale of their input. Weights are rounded for these inputs; only a trained plan is
widened after it was made, with unchanged weights. At the edge of such a region an int8
activation is read as int16, or rounded from it. Scales are symmetric, as the int16 kernels of
TensorFlow Lite require them (https://ai.google.dev/edge/litert/models/quantization_spec, 16x8
quantization).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from foundation.errors import InvalidInputError, UnsupportedError
from network.affine import IntType, QuantParams, symmetric_params
from network.graph import Graph, Op
from network.integer_forms import obstacle
from network.operators import TRAITS, OpKind
from quantize.plans.plan import IntegerConstant, PlannedNetwork
from quantize.settings import Optimization, PlanSettings, WeightRange

WIDE_KINDS = frozenset(kind for kind, row in TRAITS.items() if row.int16_version is not None)
"""Operators with int16 kernels whose bits the oracle knows. HARD_SWISH has none in LiteRT."""

WHOLE_VERSIONS: Mapping[str, int] = {
    OpKind.LOGISTIC: 3,
    OpKind.SOFTMAX: 3,
    OpKind.TANH: 3,
    OpKind.RELU: 3,
    OpKind.RELU6: 3,
    OpKind.GELU: 2,
}
"""Further operators of a whole file in int16x8, with the versions of their int16 kernels in LiteRT.
The oracle does not know their bits, so they cannot be named one by one. Each alone keeps 72 to
91 dB."""

UNIT_STEP = 2.0**-15
"""Scale that the int16 kernels of LOGISTIC, SOFTMAX and TANH require of their results."""

_FIXED = frozenset(row.fixed for row in TRAITS.values() if row.fixed is not None)


def can_be_wide(graph: Graph, op: Op, *, stored: bool = False) -> bool:
    """Whether an operator has a form in int16x8: kernels, and operands that are activations.

    Args:
        graph: canonical.
        op: operator of the graph.
        stored: whether operands may be stored numbers as well, as in a whole file in int16x8.
    """
    if stored:
        return op.kind in WIDE_KINDS or op.kind in WHOLE_VERSIONS
    if op.kind not in WIDE_KINDS:
        return False
    positions = range(len(op.inputs)) if op.traits.data is None else op.traits.data
    return not any(graph.is_constant(op.inputs[position]) for position in positions)


def whole_settings(graph: Graph, settings: PlanSettings) -> PlanSettings:
    """Settings of a file in int16x8: operators without a form there stay in float32.

    Training ends in int8, so that its effort is that of the plan which it starts from.
    """
    wide = tuple(
        op.name
        for op in graph.ops
        if not obstacle(graph, op) and can_be_wide(graph, op, stored=True)
    )
    trained = settings.optimization is Optimization.QAT
    return replace(
        settings,
        weight_range=WeightRange.FULL,  # sums of int16 kernels have 32 bits and more
        optimization=Optimization.BEST if trained else settings.optimization,
        float_ops=tuple(sorted({op.name for op in graph.ops} - set(wide))),
        wide_ops=wide,
        int16=True,
    )


def wide_params(params: QuantParams) -> QuantParams:
    """int16 parameters, zero point 0, that reach as far as int8 parameters do."""
    low, high = params.real_range
    return symmetric_params(max(-low, high), bits=16, dtype=IntType.INT16)


def widened(planned: PlannedNetwork, names: tuple[str, ...]) -> PlannedNetwork:
    """The network with these operators in int16x8.

    Args:
        planned: network in int8.
        names: names of the operators.

    Raises:
        InvalidInputError: an operator that the graph does not have, or one in float32.
        UnsupportedError: an operator that has no form in int16x8; names it.
    """
    if not names:
        return planned
    graph, plan = planned.graph, planned.plan
    check_wide(graph, plan.settings.float_ops, names)
    constants = {**plan.constants, **wide_biases(graph, plan.activations, plan.constants, names)}
    activations = wide_activations(graph, plan.activations, names)
    ordered = tuple(op.name for op in graph.ops if op.name in names)
    settings = replace(plan.settings, wide_ops=ordered)
    changed = replace(plan, activations=activations, constants=constants, settings=settings)
    return PlannedNetwork(graph, changed)


def whole_params(params: QuantParams) -> QuantParams:
    """int16 parameters, zero point 0, for the range that int8 parameters were made for.

    A step more than int8 reaches; what the specification fixes in int8, it fixes in int16.
    """
    if (params.scale[0], params.zero_point[0]) in _FIXED:
        return QuantParams((UNIT_STEP,), (0,), IntType.INT16)
    low, high = params.real_range
    step = params.scale[0]
    return symmetric_params(max(-low, high + step), bits=16, dtype=IntType.INT16)


def wide_activations(
    graph: Graph,
    activations: Mapping[str, QuantParams],
    names: tuple[str, ...],
    *,
    whole: bool = False,
) -> dict[str, QuantParams]:
    """Parameters of all activations; between wide operators they are int16.

    Args:
        graph: canonical.
        activations: int8 parameters by name.
        names: names of the wide operators.
        whole: whether no operator is in int8: every activation is int16, the ends included.
    """
    if whole:
        return {name: whole_params(params) for name, params in activations.items()}
    wide = frozenset(names)
    return {
        name: wide_params(params) if _is_inside(graph, name, wide) else params
        for name, params in activations.items()
    }


def wide_biases(
    graph: Graph,
    activations: Mapping[str, QuantParams],
    constants: Mapping[str, IntegerConstant],
    names: tuple[str, ...],
) -> dict[str, IntegerConstant]:
    """Biases of the wide operators in int64, by tensor name."""
    return {
        op.inputs[2]: _wide_bias(op, activations[op.inputs[0]], constants)
        for op in graph.weighted
        if op.name in names
    }


def check_wide(
    graph: Graph, float_ops: tuple[str, ...], names: tuple[str, ...], *, whole: bool = False
) -> None:
    """Refuse operators that cannot be in int16x8; raises as ``widened``."""
    wide = frozenset(names)
    ops = {op.name: op for op in graph.ops}
    if unknown := wide - ops.keys():
        raise InvalidInputError(
            "operators in int16x8 are named by their results",
            received=", ".join(sorted(unknown)),
            remedy="take the names from 'edgequant sensitivity' or 'edgequant plan show'",
        )
    if both := wide.intersection(float_ops):
        raise InvalidInputError(
            "an operator is in float32 or in int16x8",
            received=f"both for {', '.join(sorted(both))}",
            remedy="name it in --keep-float or in --keep-int16",
        )
    lacking = [
        ops[name] for name in sorted(wide) if not can_be_wide(graph, ops[name], stored=whole)
    ]
    if lacking:
        raise UnsupportedError(
            f"operators in int16x8 are {', '.join(sorted(WIDE_KINDS))} of activations",
            received=", ".join(f"{op.name}, a {op.kind}" for op in lacking),
            remedy="leave it in int8, or name it in --keep-float",
        )


def _is_inside(graph: Graph, name: str, wide: frozenset[str]) -> bool:
    """Whether only wide operators compute and read an activation; the ends stay in int8."""
    producer = graph.producers.get(name)
    if producer is None or name in graph.outputs or producer.name not in wide:
        return False
    return all(reader.name in wide for reader in graph.readers[name])


def _wide_bias(
    op: Op, source: QuantParams, constants: Mapping[str, IntegerConstant]
) -> IntegerConstant:
    """A bias in int64; its scale is that of the int16 input times that of the weight."""
    read = source if source.dtype is IntType.INT16 else wide_params(source)
    bias, weight = constants[op.inputs[2]], constants[op.inputs[1]].params
    scale = np.float32(read.scale[0]) * np.asarray(weight.scale, np.float32)
    axis = None if weight.axis is None else 0
    params = QuantParams(tuple(scale.tolist()), (0,) * len(scale), IntType.INT64, axis)
    value = bias.params.dequantize(bias.integers, np.float64)
    return IntegerConstant(params, params.quantize(value, np.float64))
