"""Elementwise operators of two operands, and functions of one integer as tables."""

from __future__ import annotations

import numpy as np

from export.c.calls import Constant, Field, KernelCall, Lowering, Site, negated, scaled, six
from export.c.windows import Window
from network.operators import OpKind
from network.oracle.call import Call as OracleCall
from network.oracle.fixed_point import Multiplier
from network.oracle.kernels.scales import QUANTIZE
from network.oracle.model import KERNELS

_LEFT_SHIFT = 20
_LEFT_SHIFT_SQUARED = 7
_POSITIVE_ONLY = (OpKind.SQRT, OpKind.RSQRT)


def added(site: Site) -> tuple[KernelCall, ...]:
    """ADD and SUB: rows where both operands are activations of the result's shape."""
    sign = 1 if site.op.kind == OpKind.ADD else -1
    fields = {**_zeros(site), **site.limits(), **_summands(site, sign, _LEFT_SHIFT)}
    shape = site.result.shape
    names = tuple(site.input(i).name for i in (0, 1))
    whole = all(site.input(i).value is None and site.input(i).shape == shape for i in (0, 1))
    if whole and len(shape) == 4 and shape[0] == 1:
        fields = {"bytes": shape[2] * shape[3], **fields}
        return (KernelCall("add", "add", fields, names, site.result.name, Window(), shape[1]),)
    fields["left_shift"] = _LEFT_SHIFT
    return (_binary(site, "sum", fields),)


def multiplied(site: Site) -> tuple[KernelCall, ...]:
    """MUL; scales are multiplied in single precision, as in the kernel."""
    first, second, result = _scales(site)
    real = np.float64(np.float32(first) * np.float32(second) / np.float32(result))
    fields = {**_zeros(site), **site.limits(), **scaled("", Multiplier.of(real))}
    return (_binary(site, "product", fields),)


def extreme(site: Site) -> tuple[KernelCall, ...]:
    """MAXIMUM and MINIMUM of integers of one scale."""
    if any(source != site.call.result for source in site.call.sources):
        raise site.refused("inputs of other scales than the result's")
    fields: dict[str, Field] = {"low": -128, "high": 127}
    return (_binary(site, "maximum" if site.op.kind == OpKind.MAXIMUM else "minimum", fields),)


def squared_difference(site: Site) -> tuple[KernelCall, ...]:
    """SQUARED_DIFFERENCE."""
    first, second, result = _scales(site)
    twice = 2.0 * max(first, second)
    fields = {
        "left_shift": _LEFT_SHIFT_SQUARED,
        **_zeros(site),
        **site.limits(),
        **scaled("_a", Multiplier.of(first / twice)),
        **scaled("_b", Multiplier.of(second / twice)),
        **scaled("", Multiplier.of(twice * twice / (2.0 ** (2 * _LEFT_SHIFT_SQUARED) * result))),
    }
    return (_binary(site, "squared_difference", fields),)


def prelu(site: Site) -> tuple[KernelCall, ...]:
    """PRELU with a slope for each channel."""
    source, slope, result = (np.float32(scale) for scale in _scales(site))
    fields = {
        **_zeros(site),
        **site.limits(),
        **scaled("_a", Multiplier.of(np.float64(source / result))),
        **scaled("", Multiplier.of(np.float64(source * slope / result))),
    }
    return (_binary(site, "prelu", fields),)


def looked_up(site: Site) -> tuple[KernelCall, ...]:
    """A function of one integer: 256 results of the integer interpreter."""
    shape = site.input().shape
    table = Constant.of(_table(site), "int8_t")
    rows = shape[1] if len(shape) == 4 and shape[0] == 1 else 1
    size = int(np.prod(shape, dtype=np.int64))
    fields: dict[str, Field] = {"bytes": size // rows, "table": table}
    names = (site.input().name,)
    return (KernelCall("lookup", "lookup", fields, names, site.result.name, Window(), rows),)


def _table(site: Site) -> np.ndarray:
    """Result for each int8, ``[256]``; what the operator refuses gets the result of 0."""
    call = site.call
    values = np.arange(-128, 128, dtype=np.int8)
    if site.op.kind in _POSITIVE_ONLY:
        values = np.maximum(values, call.source().zero_point[0]).astype(np.int8)
    inputs = (values, *call.inputs[1:])
    one = OracleCall(site.op, inputs, call.sources, call.results, ((256,),))
    (result,) = KERNELS[site.op.kind](one)
    return result


def _scales(site: Site) -> tuple[np.float64, np.float64, np.float64]:
    call = site.call
    params = (call.source(), call.source(1), call.result)
    first, second, result = (np.float64(p.scale[0]) for p in params)
    return first, second, result


def _zeros(site: Site) -> dict[str, Field]:
    call = site.call
    return {"zero_a": call.source().zero_point[0], "zero_b": call.source(1).zero_point[0]}


def _summands(site: Site, sign: int, bits: int) -> dict[str, Field]:
    first, second, result = _scales(site)
    twice = 2.0 * max(first, second)
    right = Multiplier.of(second / twice)
    return {
        **scaled("_a", Multiplier.of(first / twice)),
        **scaled("_b", right if sign > 0 else negated(right)),
        **scaled("", Multiplier.of(twice / (2.0**bits * result))),
    }


def _binary(site: Site, kernel: str, fields: dict[str, Field]) -> KernelCall:
    shape = site.result.shape
    views = [np.broadcast_to(np.empty(site.input(i).shape, np.int8), shape).strides for i in (0, 1)]
    if len(shape) > 6:
        raise site.refused(f"{len(shape)} axes")
    fields = {
        "sizes": six(shape, 1),
        "strides_a": six(views[0], 0),
        "strides_b": six(views[1], 0),
        **fields,
    }
    return KernelCall(kernel, "binary", fields, (site.source(0), site.source(1)), site.result.name)


_TABLED = (
    OpKind.RELU, OpKind.RELU6, OpKind.RELU_N1_TO_1, OpKind.RELU_0_TO_1, OpKind.LEAKY_RELU,
    OpKind.GELU, OpKind.TANH, OpKind.EXP, OpKind.LOG, OpKind.ABS, OpKind.SQRT, OpKind.RSQRT,
    OpKind.LOGISTIC, OpKind.HARD_SWISH, QUANTIZE,
)  # fmt: skip

LOWERINGS: dict[str, Lowering] = {
    OpKind.ADD: added,
    OpKind.SUB: added,
    OpKind.MUL: multiplied,
    OpKind.MAXIMUM: extreme,
    OpKind.MINIMUM: extreme,
    OpKind.SQUARED_DIFFERENCE: squared_difference,
    OpKind.PRELU: prelu,
    **dict.fromkeys(_TABLED, looked_up),
}
