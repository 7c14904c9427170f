"""Layer and group normalization: the mean comes off first; dense layers absorb gain and offset.

``tf.nn.batch_normalization`` computes ``x s + (beta - mean s)``, ``s = gamma / sqrt(variance)``:
the difference of two large numbers, each rounded to 8 bits. ``(x - mean) s + beta`` is the same (Ba
et al. 2016, arXiv:1607.06450, eq. 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from network.graph import Op
from network.operators import OpKind
from network.rewrites.parts import Parts, Rule


def _centred(parts: Parts) -> bool:
    """``x s + t``, where t is ``-mean(x) s``, ``beta - mean(x) s`` or ``-mean(x) s + beta``."""
    for scaled, shift in (parts.op.inputs, parts.op.inputs[::-1]):
        product = parts.producer(scaled, OpKind.MUL)
        shifted = _mean_and_offset(parts, shift)
        if product is None or shifted is None:
            continue
        mean, factor, offset = shifted
        source = _other(product, factor)
        if source is None or not mean.inputs or mean.inputs[0] != source:
            continue
        difference = _difference(parts, source, mean.name)
        root, gain = _root_and_gain(parts, factor)
        last = "" if gain is None and offset is None else "whitened"
        fused = parts.fused
        value = parts.add(OpKind.MUL, last, difference, root, **({} if last else fused))
        if gain is not None:
            last = "" if offset is None else "scaled"
            value = parts.add(OpKind.MUL, last, value, gain, **({} if last else fused))
        if offset is not None:
            parts.add(OpKind.ADD, "", value, offset, **fused)
        return True
    return False


def _mean_and_offset(parts: Parts, name: str) -> tuple[Op, str, str | None] | None:
    """Mean, its factor, and the constant beside their negative product; None for another sum."""
    offset = None
    op = parts.producer(name, OpKind.ADD, OpKind.SUB, OpKind.MUL)
    if op is not None and op.kind != OpKind.MUL:
        constants = [n for n in op.inputs if parts.tensors[n].value is not None]
        moving = [n for n in op.inputs if parts.tensors[n].value is None]
        if len(constants) != 1 or (op.kind == OpKind.SUB and op.inputs[0] != constants[0]):
            return None
        offset, negative = constants[0], op.kind == OpKind.ADD
        op = parts.producer(moving[0], OpKind.MUL)
    else:
        negative = True
    for first, factor in () if op is None else (op.inputs, op.inputs[::-1]):
        mean = _negated(parts, first) if negative else first
        found = None if mean is None else parts.producer(mean, OpKind.MEAN)
        if found is not None:
            return found, factor, offset
    return None


def _negated(parts: Parts, name: str) -> str | None:
    """What a tensor is the negative of; a product with -1 where a rule has replaced NEG."""
    if (op := parts.producer(name, "NEG")) is not None:
        return op.inputs[0]
    product = parts.with_scalar(parts.producer(name, OpKind.MUL))
    return product[0] if product is not None and product[1] == -1.0 else None


def _other(op: Op, name: str) -> str | None:
    """The other operand of an operator of two, one of which is this tensor."""
    if name not in op.inputs:
        return None
    return op.inputs[1] if op.inputs[0] == name else op.inputs[0]


def _difference(parts: Parts, source: str, mean: str) -> str:
    """Name of ``source - mean``: that of an operator of the graph if it has one."""
    for op in (*parts.graph.readers.get(mean, ()), *parts.made.values()):
        if op.kind == OpKind.SUB and op.inputs == (source, mean):
            return op.name
    return parts.add(OpKind.SUB, "centred", source, mean)


def _root_and_gain(parts: Parts, factor: str) -> tuple[str, str | None]:
    """Inverse root of the variance and the stored gain, of which a factor is the product."""
    product = parts.producer(factor, OpKind.MUL)
    for root, gain in () if product is None else (product.inputs, product.inputs[::-1]):
        if parts.tensors[gain].value is not None and parts.producer(root, OpKind.RSQRT):
            return root, gain
    return factor, None


def _deviation(parts: Parts) -> bool:
    """``(x - mean(x)) ** 2`` as the product that the normalized result is computed from too."""
    source, mean = parts.op.inputs
    found = parts.producer(mean, OpKind.MEAN)
    if found is None or found.inputs[0] != source:
        return False
    difference = _difference(parts, source, mean)
    parts.add(OpKind.MUL, "", difference, difference)
    return True


def absorbed(parts: Parts) -> bool:
    """A dense layer or a pointwise convolution of ``gain * w + offset``, as one of w.

    Only w that a normalization has just scaled: other networks keep their weights.
    """
    op = parts.op
    weight, bias = (parts.tensors[name].value for name in (op.inputs[1], op.inputs[2]))
    if weight is None or bias is None or not _is_pointwise(parts, weight):
        return False
    affine = _affine(parts, op.inputs[0], weight.shape[-1])
    if affine is None:
        return False
    source, gain, offset = affine
    matrix = weight.reshape(-1, weight.shape[-1]).astype(np.float64)  # [outputs, inputs]
    inputs = (
        source,
        parts.constant("weight", weight * gain),
        parts.constant("bias", bias + matrix @ offset),
    )
    parts.ops.append(replace(op, inputs=inputs))
    parts.made[op.name] = parts.ops[-1]
    return True


def _is_pointwise(parts: Parts, weight: np.ndarray) -> bool:
    channels = parts.tensors[parts.op.inputs[0]].shape[-1]
    kernel = weight.shape[1:3] if parts.op.kind == OpKind.CONV else (1, 1)
    return kernel == (1, 1) and weight.shape[-1] == channels


def _affine(parts: Parts, name: str, channels: int) -> tuple[str, np.ndarray, np.ndarray] | None:
    """What a normalization has scaled, its gain and its offset, float64 ``[channels]``."""
    values = [np.ones(channels), np.zeros(channels)]
    for position, kind in ((1, OpKind.ADD), (0, OpKind.MUL)):
        op = parts.producer(name, kind)
        for moving, stored in () if op is None else (op.inputs, op.inputs[::-1]):
            value = parts.tensors[stored].value
            if value is not None and value.shape and value.size == value.shape[-1] == channels:
                values[position] = value.reshape(-1).astype(np.float64)
                name = moving
                break
    scaled = parts.producer(name, OpKind.MUL)
    is_new = np.any(values[0] != 1) or np.any(values[1])
    if scaled is None or not is_new:
        return None
    by_root = any(parts.producer(factor, OpKind.RSQRT) for factor in scaled.inputs)
    return (name, values[0], values[1]) if by_root else None


RULES: Mapping[str, Sequence[Rule]] = {
    OpKind.CONV: (absorbed,),
    OpKind.ADD: (_centred,),
    OpKind.SQUARED_DIFFERENCE: (_deviation,),
}
