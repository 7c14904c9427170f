"""The order in which TensorFlow's converter takes the nodes of a graph.

Source: TensorFlow, ``GetReversePostOrder`` in core/graph/algorithm.cc, which the importer calls
with nodes compared by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from network.keras_file.nodes import Node


def converters_order(nodes: Mapping[str, Node]) -> list[Node]:
    """Nodes in the reverse of the order in which a search in depth leaves them.

    The search starts at the constants and the image, and goes from each node to those that read
    it, always to the last name first.
    """
    readers: dict[str, set[str]] = {}
    for node in nodes.values():
        for source in node.inputs:
            readers.setdefault(source.partition(":")[0], set()).add(node.name)
    left: list[Node] = []
    seen: set[str] = set()
    waiting = _ascending(node.name for node in nodes.values() if not node.inputs)
    while waiting:
        name, done = waiting.pop()
        if done:
            left.append(nodes[name])
        elif name not in seen:
            seen.add(name)
            waiting.append((name, True))
            waiting += _ascending(name for name in readers.get(name, ()) if name not in seen)
    return left[::-1]


def _ascending(names: Iterable[str]) -> list[tuple[str, bool]]:
    return [(name, False) for name in sorted(names, key=str.encode)]
