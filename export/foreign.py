"""Checks of a foreign file before a runtime opens it: known operators, data beside the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.errors import InvalidInputError
from foundation.foreign import printable, reading, require_regular

if TYPE_CHECKING:
    import onnx

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""Domains whose operators ONNX Runtime's CPU provider knows."""

_LOADS_FILES = frozenset({"EPContext"})
"""Operators of these domains that load other files."""

CUSTOM = frozenset({"AudioSpectrogram", "Mfcc", "NumericVerify", "TFLite_Detection_PostProcess"})
"""Custom operators whose kernels are in LiteRT."""

_SHOWN = 5


def admit(path: Path) -> tuple[Path, ...]:
    """Refuse a .tflite or .onnx that needs more than its runtime and the files of its folder.

    Args:
        path: path of the file; files with other suffixes pass.

    Returns:
        Files beside it with its external data.

    Raises:
        InvalidInputError: a damaged file, a custom operator, or data in another folder.
    """
    if path.suffix == ".onnx":
        return admit_onnx(path)
    if path.suffix == ".tflite":
        admit_tflite(path)
    return ()


def admit_tflite(path: Path) -> None:
    """Refuse custom operators that LiteRT does not have, TensorFlow's (Flex) included.

    Raises:
        InvalidInputError: such an operator, or a damaged file.
    """
    from network.tflite.reader import builtin_operators, read_flat_model

    require_regular(path, "a .tflite file can be read")
    known = CUSTOM.union(builtin_operators().values())
    graphs = read_flat_model(path).subgraphs
    foreign = {op.name for graph in graphs for op in graph.operators} - known
    if foreign:
        raise InvalidInputError(
            "a .tflite file holds the operators that LiteRT has",
            received=f"{printable(path)} with the custom {_names(foreign)}",
            remedy="convert the model without custom and TensorFlow (Flex) operators",
        )


def admit_onnx(path: Path) -> tuple[Path, ...]:
    """Refuse operators of other domains, and external data in another folder.

    Subgraphs and functions of the file are checked too.

    Returns:
        The files with its external data.

    Raises:
        InvalidInputError: such an operator or path, or a damaged file.
    """
    from export.onnx.inspect import load

    require_regular(path, "a .onnx file can be read")
    model = load(path)
    with reading(path, "an .onnx file is a complete ONNX model", "export the file again"):
        functions = {(f.domain, f.name) for f in model.functions}
        foreign, locations = set(), set()
        for message in _nodes_and_tensors(model):
            if hasattr(message, "op_type"):
                known = message.domain in DOMAINS and message.op_type not in _LOADS_FILES
                if not known and (message.domain, message.op_type) not in functions:
                    foreign.add(f"{message.domain or 'ai.onnx'}.{message.op_type}")
            elif message.data_location == message.EXTERNAL or message.external_data:
                entries = message.external_data
                locations.add(next((e.value for e in entries if e.key == "location"), ""))
    if foreign:
        raise InvalidInputError(
            "an .onnx file holds operators of ai.onnx and com.microsoft",
            received=f"{printable(path)} with {_names(foreign)}",
            remedy="export the model without custom operators",
        )
    return tuple(_beside(path, location) for location in sorted(locations))


def _nodes_and_tensors(model: onnx.ModelProto) -> Iterator[Any]:
    """Every node and every tensor of a model, at any depth."""
    graphs: list[Any] = [model.graph, *(t.algorithm for t in model.training_info)]
    graphs += [t.initialization for t in model.training_info]
    nodes = [node for function in model.functions for node in function.node]
    attributes = [a for function in model.functions for a in function.attribute_proto]
    while graphs or nodes or attributes:
        if graphs:
            graph = graphs.pop()
            nodes.extend(graph.node)
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
        elif nodes:
            node = nodes.pop()
            yield node
            attributes.extend(node.attribute)
        else:
            attribute = attributes.pop()
            graphs.extend(attribute.graphs)
            graphs.extend([attribute.g] if attribute.HasField("g") else [])
            yield from attribute.tensors
            yield from [attribute.t] if attribute.HasField("t") else []
            sparse_ones = [*attribute.sparse_tensors]
            sparse_ones += [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
            for sparse in sparse_ones:
                yield from (sparse.values, sparse.indices)


def _beside(path: Path, location: str) -> Path:
    """Path of a file with external data; refuses one outside of the model's folder."""
    rule = "the data of an .onnx file lies in its own folder, under a plain name"
    plain = location not in ("", ".", "..") and not set(location) & set("/\\\0:*")
    target = path.parent / location if plain else path
    if not plain or target.is_symlink():
        raise InvalidInputError(
            rule,
            received=f"{printable(path)} with data in {printable(location) or 'no file'}",
            remedy="save the model with its data inside, or in a file beside it",
        )
    return require_regular(target, rule, "put the file with the data beside the model")


def _names(names: set[str]) -> str:
    shown = ", ".join(printable(name)[:80] for name in sorted(names)[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
