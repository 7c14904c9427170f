"""ArgMax behind the maps of scores of a segmenter, inside an .onnx."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from export.onnx.graph import Node, OnnxGraph


def with_class_maps(graph: OnnxGraph, maps: Collection[str]) -> OnnxGraph:
    """Put ArgMax behind outputs ``[batch, h, w, classes]``, which are int64 ``[batch, h, w]`` then.

    Of equal scores it takes the first class, as NumPy does.

    Args:
        graph: graph of the network.
        maps: names of the outputs that are maps of scores; they keep their names.
    """
    renamed = {name: f"{name}.scores" for name in maps}

    def named(tensors: list[str]) -> list[str]:
        return [renamed.get(name, name) for name in tensors]

    nodes = [replace(n, inputs=named(n.inputs), outputs=named(n.outputs)) for n in graph.nodes]
    nodes += [
        Node("ArgMax", [inner], [name], {"axis": 3, "keepdims": 0}, f"{name}.class")
        for name, inner in renamed.items()
    ]
    outputs = tuple(
        (name, sizes[:-1] if name in renamed else sizes) for name, sizes in graph.outputs
    )
    return OnnxGraph(nodes, dict(graph.constants), graph.input, outputs)
