"""Elementwise operators of two operands."""

from __future__ import annotations

from network.operators import OpKind
from network.tensorflow_kernels.common import Kernel, binary

KERNELS: dict[str, Kernel] = {
    OpKind.ADD: binary("add"),
    OpKind.SUB: binary("subtract"),
    OpKind.MUL: binary("multiply"),
    OpKind.MAXIMUM: binary("maximum"),
    OpKind.MINIMUM: binary("minimum"),
    OpKind.SQUARED_DIFFERENCE: binary("math.squared_difference"),
}
