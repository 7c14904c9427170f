"""Operators with weights in 4 bits: [-7, 7], symmetric, with as many scales as in int8.

Activations, biases and all other constants are those of int8. LiteRT's kernels read such weights in
CONV_2D and FULLY_CONNECTED; of DEPTHWISE_CONV_2D the reference kernels stop at the version before
4 bits, and TRANSPOSE_CONV has none (tried in ai-edge-litert 2.3).
"""

from __future__ import annotations

from dataclasses import replace

from foundation.errors import UnsupportedError
from network.graph import Graph, Op
from network.operators import OpKind
from quantize.settings import PlanSettings

NARROW_VERSIONS = {OpKind.CONV: 7, OpKind.DENSE: 10}
"""Operators that read weights in 4 bits, with the version that they then have
(tensorflow/lite/tools/versioning/op_version.cc)."""

SMALL_SHARE = 0.01
"""An operator that reads the network's input stays in int8 where it holds less than this share of
the weights: it saves next to nothing, and every other operator reads what it loses."""


def can_be_narrow(op: Op) -> bool:
    """Whether an operator has kernels that read its weight in 4 bits."""
    return op.kind in NARROW_VERSIONS


def narrow_candidates(graph: Graph, settings: PlanSettings) -> tuple[str, ...]:
    """Names of the operators that are worth 4 bits, in the order of the graph.

    Args:
        graph: canonical.
        settings: settings of the plan; operators in float32 and int16x8 are none.
    """
    others = {*settings.float_ops, *settings.wide_ops}
    whole = sum(graph.weight(op).size for op in graph.weighted)

    def is_worth_it(op: Op) -> bool:
        return op.inputs[0] != graph.input or graph.weight(op).size >= SMALL_SHARE * whole

    return tuple(
        op.name
        for op in graph.weighted
        if op.name not in others and can_be_narrow(op) and is_worth_it(op)
    )


def narrow_settings(graph: Graph, settings: PlanSettings) -> PlanSettings:
    """Settings that name the operators in 4 bits.

    Those of 8 bits stay as they are. Operators that were chosen stay, but for those that have left
    int8 since.

    Raises:
        UnsupportedError: none of the network's operators has a form in 4 bits.
    """
    if settings.bits == 8:
        return settings
    able = narrow_candidates(graph, settings)
    chosen = tuple(name for name in settings.narrow_ops if name in able)
    if not able:
        raise UnsupportedError(
            f"weights in 4 bits are those of {' and '.join(NARROW_VERSIONS)}",
            received="a network that has none in integers",
            remedy="use tflite-int8",
        )
    return replace(settings, narrow_ops=chosen or able)
