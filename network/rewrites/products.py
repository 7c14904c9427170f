"""Dense layers on the pixels of a map, as pointwise convolutions.

The 8-bit specification gives a FULLY_CONNECTED one scale for its whole weight and a CONV_2D one for
each output channel (https://ai.google.dev/edge/litert/models/quantization_spec). Both compute the
same products.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from network.graph import Op
from network.operators import OpKind
from network.rewrites.normalization import absorbed
from network.rewrites.parts import Parts, Rule

_VALID = 1
_MAP = 4
"""Axes of a map ``[b, h, w, c]``."""


def _pointwise(parts: Parts) -> bool:
    """A product with each vector of the last axis of a map."""
    op = parts.op
    source, weight = parts.tensors[op.inputs[0]], parts.tensors[op.inputs[1]].value
    ranks = (len(source.shape), len(parts.tensors[op.name].shape))
    if weight is None or ranks != (_MAP, _MAP) or source.shape[-1] != weight.shape[-1]:
        return False
    filters = parts.constant("filters", weight.reshape(len(weight), 1, 1, -1))
    options = {
        **parts.fused, "padding": _VALID, "strideW": 1, "strideH": 1,
        "dilationWFactor": 1, "dilationHFactor": 1,
    }  # fmt: skip
    inputs = (op.inputs[0], filters, *op.inputs[2:])
    parts.ops.append(Op(OpKind.CONV, inputs, op.outputs, options, "Conv2DOptions"))
    parts.made[op.name] = parts.ops[-1]
    return True


RULES: Mapping[str, Sequence[Rule]] = {OpKind.DENSE: (_pointwise, absorbed)}
