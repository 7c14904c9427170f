"""Memory plan of a network before it is quantized, from its canonical graph."""

from __future__ import annotations

from export.c.layout import Layout, is_image_mean
from export.c.patches import NONE, Patches, scheduled
from export.c.schedule import Schedule
from network.graph import Graph
from network.operators import OpKind


def plan_of_graph(graph: Graph, element_bytes: int = 1, patches: Patches = NONE) -> Schedule:
    """Schedule of the C sources that the network would have in this type.

    Args:
        graph: canonical graph.
        element_bytes: bytes of an activation: 1 for int8.
        patches: patches that chains by rows may be cut into.
    """
    constants = frozenset(n for n, t in graph.tensors.items() if t.value is not None)
    means = {
        op.name
        for op in graph.ops
        if op.kind == OpKind.MEAN
        and is_image_mean(graph.value(op.inputs[1]), graph.tensors[op.inputs[0]].shape)
    }
    shapes = {name: tensor.shape for name, tensor in graph.tensors.items()}
    layout = Layout(
        graph.ops,
        shapes,
        constants,
        (graph.input,),
        graph.outputs,
        frozenset(means),
        element_bytes,
    )
    return scheduled(layout, patches)
