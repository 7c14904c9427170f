"""Arithmetic that int8 kernels of LiteRT lack or get wrong, as products, sums and roots.

NEG only negates the stored integers, whatever the zero point is; SQUARE and POW have no int8
kernels; DIV shifts by more than 31 bits for small quotients. Compared with ai-edge-litert 2.3.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from network.operators import OpKind
from network.rewrites.parts import Parts, Rule

_POSITIVE = (OpKind.EXP, OpKind.SQRT, OpKind.RSQRT, OpKind.LOGISTIC, OpKind.SOFTMAX)
_NOT_NEGATIVE = (
    *_POSITIVE, OpKind.ABS, OpKind.RELU, OpKind.RELU6, OpKind.RELU_0_TO_1,
    OpKind.SQUARED_DIFFERENCE,
)  # fmt: skip


def _negated(parts: Parts) -> bool:
    parts.add(OpKind.MUL, "", parts.op.inputs[0], parts.constant("minus_one", -1.0))
    return True


def _squared(parts: Parts) -> bool:
    parts.add(OpKind.MUL, "", parts.op.inputs[0], parts.op.inputs[0])
    return True


def _power(parts: Parts) -> bool:
    """Powers with the constant exponents 2, 3, 4, 1/2 and -1/2."""
    base, exponent = parts.op.inputs[0], parts.scalar(parts.op.inputs[1])
    if parts.tensors[base].value is not None:
        return False
    if exponent in (2.0, 3.0, 4.0):
        square = parts.add(OpKind.MUL, "square" if exponent > 2 else "", base, base)
        if exponent > 2:
            parts.add(OpKind.MUL, "", square, base if exponent == 3 else square)
    elif exponent in (0.5, -0.5):
        parts.add(OpKind.SQRT if exponent > 0 else OpKind.RSQRT, "", base)
    else:
        return False
    return True


def _quotient(parts: Parts) -> bool:
    """A product with the reciprocal of a constant, or with that of a positive number."""
    dividend, divisor = parts.op.inputs
    value = parts.tensors[divisor].value
    if value is not None:
        if not value.all() or value.dtype != np.float32:
            return False
        inverse = parts.constant("inverse", np.float32(1) / value)
    elif _is_positive(parts, divisor):
        root = parts.add(OpKind.RSQRT, "root", divisor)
        inverse = parts.add(OpKind.MUL, "inverse", root, root)
    else:
        return False
    parts.add(OpKind.MUL, "", dividend, inverse, **parts.fused)
    return True


def _is_positive(parts: Parts, name: str, *, or_zero: bool = False) -> bool:
    """Whether a tensor has only positive numbers, as its operators tell."""
    value = parts.tensors[name].value
    if value is not None:
        return bool((value >= 0).all() if or_zero else (value > 0).all())
    op = parts.made.get(name) or parts.graph.producers.get(name)
    if op is None:
        return False
    if op.kind in (_NOT_NEGATIVE if or_zero else _POSITIVE):
        return True
    if op.kind == OpKind.MUL and op.inputs[0] == op.inputs[1]:
        return or_zero
    if op.kind == OpKind.ADD:
        first, second = (_is_positive(parts, n, or_zero=True) for n in op.inputs)
        strictly = or_zero or any(_is_positive(parts, n) for n in op.inputs)
        return first and second and strictly
    if op.kind == OpKind.MAXIMUM:
        return any(_is_positive(parts, n, or_zero=or_zero) for n in op.inputs)
    return False


RULES: Mapping[str, Sequence[Rule]] = {
    "NEG": (_negated,),
    "SQUARE": (_squared,),
    "POW": (_power,),
    "DIV": (_quotient,),
}
