"""Whether a plan that was read from a file fits the graph that it is to be applied to.

A plan file may be damaged, edited or hostile; its digest says which graph it is of, and nothing of
what else it holds.
"""

from __future__ import annotations

from collections.abc import Iterator

from foundation.errors import InvalidInputError
from quantize.affine import IntType, QuantParams
from quantize.graph import Graph, Op
from quantize.plan import IntegerConstant, QuantizationPlan


def check_fits(plan: QuantizationPlan, graph: Graph) -> None:
    """Refuse a plan whose tensors are not those of the graph.

    Args:
        plan: as read.
        graph: canonical, with the digest that the plan names.

    Raises:
        InvalidInputError: names the first thing that does not fit.
    """
    fault = next(_faults(plan, graph), None)
    if fault is not None:
        raise InvalidInputError(
            "a plan holds parameters and integers for the tensors of its network",
            received=fault,
            remedy="make it again with edgequant quantize",
        )


def _faults(plan: QuantizationPlan, graph: Graph) -> Iterator[str]:
    names = {op.name for op in graph.ops}
    floats, wide = frozenset(plan.float_ops), frozenset(plan.wide_ops)
    for name in (*plan.float_ops, *plan.wide_ops):
        if name not in names:
            yield f"an operator {name}, which the network has not"
    for name in sorted(floats & wide):
        yield f"{name} in float32 and in int16x8"
    for name, params in plan.activations.items():
        if name not in graph.activations:
            yield f"an activation {name}, which the network has not"
        elif params.axis is not None or params.dtype not in (IntType.INT8, IntType.INT16):
            yield f"{name} with {params.dtype.value}, axis {params.axis}, for an activation"
    for op in graph.ops:
        if op.name not in floats:
            yield from _lacking(op, plan, graph)
    for name, constant in plan.constants.items():
        yield from _constant_faults(name, constant, graph)
    for name, value in plan.floats.items():
        stored = graph.tensors.get(name)
        if stored is None or stored.value is None or value.shape != stored.shape:
            yield f"float32 values for {name} of shape {list(value.shape)}"


def _lacking(op: Op, plan: QuantizationPlan, graph: Graph) -> Iterator[str]:
    """What an integer operator needs: parameters around it, and integers for its constants."""
    for name in (*op.inputs, *op.outputs):
        if name and not graph.is_constant(name) and name not in plan.activations:
            yield f"no parameters for {name}"
    for name in op.inputs[1:3] if op.is_weighted else ():
        if name not in plan.constants:
            yield f"no integers for {name}"


def _constant_faults(name: str, constant: IntegerConstant, graph: Graph) -> Iterator[str]:
    stored = graph.tensors.get(name)
    integers, params = constant.integers, constant.params
    if stored is None or stored.value is None:
        yield f"integers for {name}, which the network does not store"
    elif integers.shape != stored.shape:
        yield f"integers of shape {list(integers.shape)} for {name}, {list(stored.shape)}"
    elif integers.dtype.name != params.dtype.value:
        yield f"{integers.dtype.name} for {name}, said to be {params.dtype.value}"
    elif not _scales_fit(params, integers.shape):
        yield f"{len(params.scale)} scales along axis {params.axis} for {name}"


def _scales_fit(params: QuantParams, shape: tuple[int, ...]) -> bool:
    if params.axis is None:
        return True
    return 0 <= params.axis < len(shape) and len(params.scale) == shape[params.axis]
