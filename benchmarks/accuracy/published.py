"""Published integer files of segmenters, with their map of scores as the output.

Such a file ends in resizes to the input's size and ARG_MAX. Without these it is measured as all
others are: its map is enlarged to the photo, and each pixel has the class of the largest score.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from foundation.atomic import write_whole
from foundation.errors import InvalidInputError
from network.tflite.canonical import builtin_name, object_form

_BEHIND_SCORES = ("ARG_MAX", "RESIZE_BILINEAR")
"""Operators between the map of scores and the output."""


def with_scores(source: Path, path: Path) -> Path:
    """Write a published file without the operators behind its map of scores.

    Args:
        source: .tflite of one graph and one output.
        path: file to write.

    Returns:
        ``path``.

    Raises:
        InvalidInputError: a file that does not end in ARG_MAX.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model = object_form(source.read_bytes())
    graph = model.subgraphs[0]
    removed = 0
    while (operator := _maker(model, graph)) is not None:
        graph.outputs = [int(operator.inputs[0])]
        graph.operators.remove(operator)
        removed += 1
    if not removed:
        raise InvalidInputError(
            f"a published segmenter ends in {' behind '.join(_BEHIND_SCORES)}",
            received=str(source),
            remedy="measure it as it is, with edgequant evaluate",
        )
    model.signatureDefs = []  # they name the output that is gone
    content = bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    write_whole(path, partial(Path.write_bytes, data=content))
    return path


def _maker(model: Any, graph: Any) -> Any:
    """Operator that gives the only output, if it is behind the scores; None otherwise."""
    (output,) = graph.outputs
    for operator in graph.operators:
        if int(operator.outputs[0]) == int(output):
            kind = builtin_name(model.operatorCodes[operator.opcodeIndex])
            return operator if kind in _BEHIND_SCORES else None
    return None
