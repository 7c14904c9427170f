"""Casts of a network's input to integers and back, taken out of a frozen function.

A network with a uint8 input casts it to float32 first. Fed with pixels as float32, it would cast
them to uint8 and back, which changes no pixel 0..255, and which no integer kernel has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PASSES = ("Identity",)


def without_input_casts(frozen: Any) -> Any:
    """Same function without casts to integers whose every reader casts back to float32.

    Args:
        frozen: a TensorFlow function without variables.

    Returns:
        Another function of the same inputs and outputs; ``frozen`` itself if it has no such cast.
    """
    from tensorflow.core.framework.types_pb2 import DT_FLOAT
    from tensorflow.python.framework.convert_to_constants import _construct_concrete_function

    graph = frozen.graph.as_graph_def()
    nodes = {node.name: node for node in graph.node}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            if name.startswith("^"):
                continue  # it waits for the cast, and reads nothing
            readers.setdefault(_node_of(name), []).append(node)
    dropped: set[str] = set()
    for node in graph.node:
        back = node.op == "Cast" and node.attr["DstT"].type == DT_FLOAT
        source = _integer_cast(node, nodes) if back else None
        if source is not None and _only_cast_back(source, readers, DT_FLOAT):
            node.op = "Identity"
            node.input[0] = source.input[0]
            node.attr.clear()
            node.attr["T"].type = DT_FLOAT
            dropped.add(f"^{source.name}")
    if not dropped:
        return frozen
    for node in graph.node:
        kept = [name for name in node.input if name not in dropped]
        if len(kept) != len(node.input):
            del node.input[:]
            node.input.extend(kept)
    return _construct_concrete_function(frozen, graph, set())


def _node_of(name: str) -> str:
    return name.partition(":")[0]


def _integer_cast(node: Any, nodes: Mapping[str, Any]) -> Any | None:
    """Cast from float32 to integers that a cast back reads, through nodes that change nothing."""
    from tensorflow.core.framework.types_pb2 import DT_FLOAT

    before = nodes.get(_node_of(node.input[0]))
    while before is not None and before.op in _PASSES:
        before = nodes.get(_node_of(before.input[0]))
    if before is None or before.op != "Cast" or before.attr["SrcT"].type != DT_FLOAT:
        return None
    origin = nodes.get(_node_of(before.input[0]))
    return before if origin is not None and origin.op == "Placeholder" else None


def _only_cast_back(cast: Any, readers: Mapping[str, list[Any]], wanted: int) -> bool:
    """Whether all readers of a cast are casts back, or became what it reads."""
    waiting = list(readers.get(cast.name, ()))
    while waiting:
        node = waiting.pop()
        if node.op in _PASSES:
            waiting.extend(readers.get(node.name, ()))
        elif node.op != "Cast" or node.attr["DstT"].type != wanted:
            return False
    return True
