"""Last function of a canonical graph before each output, as ``models.output_ends`` of Keras."""

from __future__ import annotations

from calibration_data.task import End
from network.graph import Graph

_PASSED = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE"})
_ENDS = {"SOFTMAX": End.SOFTMAX, "LOGISTIC": End.SIGMOID, "L2_NORMALIZATION": End.UNIT_NORM}


def graph_ends(graph: Graph) -> tuple[End, ...]:
    """Last function before each output, in the order of the outputs."""
    return tuple(_end_of(graph, name) for name in graph.outputs)


def _end_of(graph: Graph, name: str) -> End:
    op = graph.producers.get(name)
    while op is not None and op.kind in _PASSED:
        op = graph.producers.get(op.inputs[0])
    return End.LINEAR if op is None else _ENDS.get(str(op.kind), End.LINEAR)
