"""Operators that a SavedModel may hold: those that compute, and those that load its variables.

TensorFlow runs whatever operators a graph names, as the user: ReadFile, WriteFile, PyFunc and the
rest; a graph's initializers run while it is loaded. So the graph is walked before that, and what
is not on a list is refused. Loops are not on the list, and functions that call each other without
end or too often are refused, so that loading and running end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from models.loading.saved_model_operators import CALLS, COMPUTING, RESTORING, SAVING

MOST_OPERATORS = 1_000_000
"""Operators that a graph may have once every function is written out where it is called."""


@dataclass(frozen=True)
class _Function:
    """A function of the library.

    Attributes:
        nodes: its operators.
        first: name of its first argument; empty without one.
    """

    nodes: tuple[Any, ...]
    first: str


@dataclass(frozen=True)
class GraphWalk:
    """One meta graph of a SavedModel.

    Attributes:
        meta: the MetaGraphDef.
    """

    meta: Any
    _functions: dict[str, _Function] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        functions = {
            entry.signature.name: _Function(
                tuple(entry.node_def),
                entry.signature.input_arg[0].name if entry.signature.input_arg else "",
            )
            for entry in self.meta.graph_def.library.function
        }
        object.__setattr__(self, "_functions", functions)

    def faults(self) -> Iterator[str]:
        """What the graph holds beyond computing; nothing for a network."""
        main = tuple(self.meta.graph_def.node)
        yield from self._foreign(main)
        for function in self._functions.values():
            yield from self._foreign(function.nodes)
        yield from self._files()
        if (reason := self._endless(main)) is not None:
            yield reason
            return
        yield from self._saver_faults(main)

    def _foreign(self, nodes: Iterable[Any]) -> Iterator[str]:
        allowed = COMPUTING | CALLS | SAVING | RESTORING
        for node in nodes:
            if node.op not in allowed and node.op not in self._functions:
                yield node.op
            for name in _called(node):
                if name not in self._functions:
                    yield f"a call of {name}, which it does not define"

    def _files(self) -> Iterator[str]:
        if self.meta.asset_file_def:
            yield "asset files"
        for node in self.meta.object_graph_def.nodes:
            if node.HasField("asset"):
                yield "asset files"
            if node.registered_saver:
                yield f"the saver {node.registered_saver}"
            if node.saveable_objects and node.WhichOneof("kind") != "variable":
                yield "functions that restore state"

    def _calls(self, node: Any) -> list[str]:
        return [*_called(node), *([node.op] if node.op in self._functions else [])]

    def _endless(self, main: tuple[Any, ...]) -> str | None:
        """Why the graph may never end, or grow beyond all bounds when it is written out."""
        sizes: dict[str, int] = {}
        open_calls: set[str] = set()
        waiting: list[tuple[str, bool]] = [(name, False) for name in self._functions]
        while waiting:
            name, ready = waiting.pop()
            function = self._functions[name]
            inner = [called for node in function.nodes for called in self._calls(node)]
            if ready:
                open_calls.discard(name)
                sizes[name] = len(function.nodes) + sum(sizes.get(called, 0) for called in inner)
                if sizes[name] > MOST_OPERATORS:
                    return f"more than {MOST_OPERATORS:,} operators"
            elif name in open_calls:
                return f"a function that calls itself ({name})"
            elif name not in sizes:
                open_calls.add(name)
                waiting.append((name, True))
                waiting.extend((c, False) for c in inner if c in self._functions)
        total = sum(1 + sum(sizes.get(c, 0) for c in self._calls(node)) for node in main)
        return f"more than {MOST_OPERATORS:,} operators" if total > MOST_OPERATORS else None

    def _saver_faults(self, main: tuple[Any, ...]) -> Iterator[str]:
        """Saving and restoring anywhere but in the loader's own saver, or of another path."""
        nodes = {node.name: node for node in main}
        saver = self.meta.saver_def
        path = _node_of(saver.filename_tensor_name)
        ends = (saver.filename_tensor_name, saver.save_tensor_name, saver.restore_op_name)
        own = _ancestors((_node_of(end) for end in ends), nodes)
        run = _ancestors(self._run_ends(), nodes)
        for name, node in nodes.items():
            if self._saves(node) and (name not in own or name in run):
                yield f"{node.op} that is not of the loader's saver"
            elif node.op in RESTORING and _source(node, nodes) != path:
                yield f"{node.op} of another path than the variables'"
        for name in self.meta.object_graph_def.concrete_functions:
            if self._function_saves(name):
                yield f"{name}, which saves or restores files"
        for function in self._functions.values():
            inside = {node.name: node for node in function.nodes}
            for node in function.nodes:
                if node.op in RESTORING and _source(node, inside) != function.first:
                    yield f"{node.op} of another path than the variables'"

    def _run_ends(self) -> Iterator[str]:
        """Nodes of the main graph that loading or running the model computes."""
        for signature in self.meta.signature_def.values():
            for tensor in signature.outputs.values():
                yield _node_of(tensor.name)
        for collection in self.meta.collection_def.values():
            yield from (_node_of(name) for name in collection.node_list.value)

    def _saves(self, node: Any) -> bool:
        files = SAVING | RESTORING
        return node.op in files or any(self._function_saves(name) for name in self._calls(node))

    def _function_saves(self, name: str) -> bool:
        waiting, seen = [name], set()
        while waiting:
            current = waiting.pop()
            if current in seen or current not in self._functions:
                continue
            seen.add(current)
            for node in self._functions[current].nodes:
                if node.op in SAVING | RESTORING:
                    return True
                waiting.extend(self._calls(node))
        return False


def _called(node: Any) -> list[str]:
    """Names of the functions among a node's attributes."""
    names = []
    for value in node.attr.values():
        kind = value.WhichOneof("value")
        if kind == "func":
            names.append(value.func.name)
        elif kind == "list":
            names.extend(function.name for function in value.list.func)
    return names


def _node_of(tensor: str) -> str:
    """Name of the node of a tensor (``name:0``), an input (``^name``) or an operator."""
    return tensor.removeprefix("^").partition(":")[0]


def _ancestors(ends: Iterable[str], nodes: dict[str, Any]) -> set[str]:
    """The ends and everything that they are computed from."""
    waiting, seen = list(ends), set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in nodes:
            continue
        seen.add(name)
        waiting.extend(_node_of(given) for given in nodes[name].input)
    return seen


def _source(node: Any, nodes: dict[str, Any]) -> str:
    """Where the first input of a node comes from, behind operators that only pass it on."""
    name = _node_of(node.input[0]) if node.input else ""
    for _ in range(len(nodes)):
        passing = nodes.get(name)
        if passing is None or passing.op != "Identity" or not passing.input:
            break
        name = _node_of(passing.input[0])
    return name
