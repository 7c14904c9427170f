"""Check of the operators in a SavedModel: only computation, and the loading of its variables.

TensorFlow runs all operators that a graph names with the user's rights, including ReadFile,
WriteFile and PyFunc, and runs a graph's initializers while it loads the graph. Therefore the graph
is walked before it is loaded, and operators that are not on a list are refused. Loops are not on
the list, and functions that call each other endlessly or too often are refused, so that loading
and running terminate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from models.loading.saved_model_operators import CALLS, COMPUTING, RESTORING, SAVING

MOST_OPERATORS = 1_000_000
"""Largest number of operators of a graph in which all function calls are inlined."""


@dataclass(frozen=True)
class _Function:
    """A function of the graph's library.

    Attributes:
        nodes: operators of the function.
        first: name of its first argument; empty without arguments.
    """

    nodes: tuple[Any, ...]
    first: str


@dataclass(frozen=True)
class GraphWalk:
    """Walk over one meta graph of a SavedModel.

    Attributes:
        meta: MetaGraphDef of the graph.
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
        """Contents of the graph with side effects; none for a network."""
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
        """Reason why the graph may not terminate, or is too large once inlined; None if neither.

        Depth first over the functions: a function is entered when it is popped for the first
        time, and its size is known when it is popped again, after the functions that it calls.
        """
        sizes: dict[str, int] = {}  # function -> operators after inlining
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
        """Saving and restoring outside of the loader's saver, or with another path than its own."""
        nodes = {node.name: node for node in main}
        saver = self.meta.saver_def
        path = _node_of(saver.filename_tensor_name)
        ends = (saver.filename_tensor_name, saver.save_tensor_name, saver.restore_op_name)
        saver_nodes = _ancestors((_node_of(end) for end in ends), nodes)
        run_nodes = _ancestors(self._run_ends(), nodes)
        for name, node in nodes.items():
            if self._saves(node) and (name not in saver_nodes or name in run_nodes):
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
        """Nodes of the main graph that are computed when the model is loaded or run."""
        for signature in self.meta.signature_def.values():
            for tensor in signature.outputs.values():
                yield _node_of(tensor.name)
        for collection in self.meta.collection_def.values():
            yield from (_node_of(name) for name in collection.node_list.value)

    def _saves(self, node: Any) -> bool:
        files = SAVING | RESTORING
        return node.op in files or any(self._function_saves(name) for name in self._calls(node))

    def _function_saves(self, name: str) -> bool:
        waiting, visited = [name], set()
        while waiting:
            current = waiting.pop()
            if current in visited or current not in self._functions:
                continue
            visited.add(current)
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
    """Names of the ends and of all nodes from which they are computed."""
    waiting, visited = list(ends), set()
    while waiting:
        name = waiting.pop()
        if name in visited or name not in nodes:
            continue
        visited.add(name)
        waiting.extend(_node_of(tensor) for tensor in nodes[name].input)
    return visited


def _source(node: Any, nodes: dict[str, Any]) -> str:
    """Name of the node that computes the first input of a node, before any Identity operators."""
    name = _node_of(node.input[0]) if node.input else ""
    for _ in range(len(nodes)):
        producer = nodes.get(name)
        if producer is None or producer.op != "Identity" or not producer.input:
            break
        name = _node_of(producer.input[0])
    return name
