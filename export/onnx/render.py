"""A plan rendered as an int8 ONNX graph with quantizers and dequantizers (QDQ).

Activations are uint8: ONNX Runtime on x86 leaves linear bottlenecks and additions between int8
quantizers in float (QDQIsInt8Allowed in qdq_selector_action_transformer.h) and fuses every one
between uint8 quantizers. The integers are the plan's, with zero points higher by 128. Convolutions
and pooling run channels first, as ONNX has it; whatever else has four axes stays as it is.
"""

from __future__ import annotations

from export.onnx.float_operators import FLOAT_WRITERS
from export.onnx.graph import OnnxGraph, is_shuffle_transpose, leads_out, to_model
from export.onnx.operators import WRITERS
from export.onnx.rendering import Rendering
from export.onnx.runtime import open_session
from foundation.errors import UnsupportedError
from network.graph import Graph
from quantize.plans.plan import QuantizationPlan
from quantize.recipes import no_wide_onnx
from quantize.settings import Layout, PlanSettings, WeightRange


def render(graph: Graph, plan: QuantizationPlan, layout: Layout) -> OnnxGraph:
    """Write a planned network as an ONNX graph.

    Args:
        graph: canonical float graph that the plan was made for.
        plan: integers of the graph.
        layout: axes of the file's input.

    Returns:
        The graph from ``image`` to the outputs, all float32, with a free batch.

    Raises:
        UnsupportedError: an operator without a form in ONNX, or in int16x8; names it.
    """
    if plan.settings.wide_ops:
        raise no_wide_onnx(f"an .onnx file: {', '.join(plan.settings.wide_ops)}")
    return Rendering(graph, plan, fallback=FLOAT_WRITERS).write_all(layout, WRITERS)


NO_PLAN = QuantizationPlan("", {}, {}, PlanSettings(weight_range=WeightRange.FULL))
"""Plan that leaves every operator in float32."""


def require_writable(graph: Graph, layout: Layout) -> None:
    """Refuse a network that ``render`` cannot write, before minutes go into its plan.

    Args:
        graph: canonical float graph.
        layout: axes of the file's input.

    Raises:
        UnsupportedError: an operator without a form in ONNX, or one that needs channels last in a
            file with channels first; names it.
    """
    _tried(graph, layout)


def computed_in_float(graph: Graph, layout: Layout) -> tuple[str, ...]:
    """Names of the operators that an int8 ONNX file computes in float, between quantizers.

    They have no integer kernel there, whatever a plan has for them. Arguments and errors are those
    of ``require_writable``.
    """
    return tuple(_tried(graph, layout).in_float)


def _tried(graph: Graph, layout: Layout) -> Rendering:
    """A network without a plan, written and discarded."""
    rendering = Rendering(graph, NO_PLAN, fallback=FLOAT_WRITERS)
    written = rendering.write_all(layout, WRITERS)
    refuse_stray_transposes(written, layout)
    if rendering.in_float:  # ONNX Runtime lacks some kernels that ONNX has operators for
        open_session(to_model(written).SerializeToString())
    return rendering


def refuse_stray_transposes(graph: OnnxGraph, layout: Layout) -> None:
    """Refuse a file with channels first in which an operator needs them last.

    Raises:
        UnsupportedError: names the first of them.
    """
    stray = [
        node.outputs[0]
        for node in graph.nodes
        if node.op_type == "Transpose"
        and not is_shuffle_transpose(node)
        and not leads_out(graph, node)
    ]
    if layout is Layout.NCHW and stray:
        raise UnsupportedError(
            "an NCHW file has no Transpose but those of channel shuffles, so each operator must "
            "have a channels-first form",
            received=f"a network that needs NHWC at {', '.join(stray[:3])}",
            remedy="use the layout nhwc for it",
        )
