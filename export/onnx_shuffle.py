"""Channel shuffles of an NHWC graph, found before it is rewritten channels first.

A shuffle (Zhang et al. 2017, arXiv:1707.01083, section 3.1) is a reshape that tells the groups
apart, a transposition of groups and channels, and a reshape back. On NCHW it takes as many
operators on other axes; read one by one, its parts would need NHWC.
"""

from __future__ import annotations

from typing import Any

from export.onnx_graph import Graph, Node

SHUFFLE = "ChannelShuffle"
"""Operator that stands for the three; it is in no file."""

_DEAL = [0, 2, 1, 3]
"""Transposition of ``[b, groups, n, h*w]``."""

_DEAL_NHWC = [0, 1, 3, 2]
"""Transposition of ``[b, h*w, groups, n]``."""


def with_shuffles(graph: Graph, shapes: dict[str, Any]) -> list[Node]:
    """Nodes of an NHWC graph in which each shuffle is one ``ChannelShuffle``.

    Its attributes are ``groups``, ``shape`` (``[b, h, w, c]``) and ``parts``, the three nodes.
    """
    uses, producers = graph.uses(), graph.producers()
    replaced: dict[int, Node] = {}
    dropped: set[int] = set()
    for last in graph.nodes:
        deal = producers.get(last.inputs[0]) if last.op_type == "Reshape" else None
        if deal is None or deal.op_type != "Transpose" or deal.attributes["perm"] != _DEAL_NHWC:
            continue
        first = producers.get(deal.inputs[0])
        if first is None or first.op_type != "Reshape":
            continue
        if uses[first.outputs[0]] != 1 or uses[deal.outputs[0]] != 1:
            continue
        shape = tuple(shapes.get(first.inputs[0], ()))
        told_apart = tuple(shapes.get(first.outputs[0], ()))
        if not _is_shuffle(shape, told_apart, tuple(shapes.get(last.outputs[0], ()))):
            continue
        attributes = {"groups": told_apart[2], "shape": shape, "parts": [first, deal, last]}
        source = [first.inputs[0]]
        replaced[id(last)] = Node(SHUFFLE, source, last.outputs, attributes, last.name)
        dropped |= {id(first), id(deal)}
    return [replaced.get(id(node), node) for node in graph.nodes if id(node) not in dropped]


def channels_first_shuffle(node: Node, source: str, graph: Graph, output: str) -> list[Node]:
    """The three nodes of a ``ChannelShuffle`` of ``source [b, c, h, w]``; gives ``output``."""
    import numpy as np

    _, height, width, channels = node.attributes["shape"]
    groups = node.attributes["groups"]
    first, deal, last = node.attributes["parts"]
    apart, dealt = f"{output}:groups", f"{output}:dealt"
    sizes = (0, groups, channels // groups, height * width)  # 0: as it is
    split = graph.constant(f"{apart}:shape", np.array(sizes, np.int64))
    whole = graph.constant(f"{output}:shape", np.array((0, channels, height, width), np.int64))
    return [
        Node("Reshape", [source, split], [apart], {}, first.name),
        Node("Transpose", [apart], [dealt], {"perm": _DEAL}, deal.name),
        Node("Reshape", [dealt, whole], [output], {}, last.name),
    ]


def deals(transpose: Node) -> bool:
    """Whether a Transpose belongs to a shuffle, and exchanges no layouts."""
    return list(transpose.attributes.get("perm", ())) == _DEAL


def _is_shuffle(before: tuple[Any, ...], apart: tuple[Any, ...], after: tuple[Any, ...]) -> bool:
    if len(before) != 4 or len(apart) != 4 or before != after:
        return False
    if not all(isinstance(size, int) for size in (*before, *apart)):
        return False
    batch, height, width, channels = before
    return bool(apart[:2] == (batch, height * width) and apart[2] * apart[3] == channels)
