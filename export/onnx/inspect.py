"""Reader of ONNX files: size of each part, tensors, operators and the card."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from export.onnx.graph import axes_of
from export.target import CARD_KEY, ArtifactCard, parsed_card
from foundation.errors import UnsupportedError
from foundation.foreign import read_bytes, reading
from network.inspection import Inspection, OperatorInfo, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import onnx

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
COMPLETE = "an artifact that ends in .onnx is a complete ONNX model"
_REMEDY = "give a file that an export has finished"
INTEGER_PRODUCTS = ("ConvInteger", "MatMulInteger")


def load(path: Path) -> onnx.ModelProto:
    """Parse an ONNX file.

    Raises:
        InvalidInputError: no such file, or not an ONNX model.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx import ModelProto

    content = read_bytes(path, COMPLETE, _REMEDY)
    model = ModelProto()
    with reading(path, COMPLETE, _REMEDY, raised=(DecodeError,)):
        model.ParseFromString(content)
        if not model.graph.node or not model.opset_import:
            raise ValueError("no operators or no opset")
    return model


def require_inside(model: onnx.ModelProto, path: Path) -> None:
    """Refuse a model with values in other files: a path in it may name any file.

    Raises:
        UnsupportedError: names the first such tensor.
    """
    from onnx import TensorProto

    attributes = (a for node in model.graph.node for a in node.attribute)
    tensors = (*model.graph.initializer, *(a.t for a in attributes if a.HasField("t")))
    outside = [t.name for t in tensors if t.data_location == TensorProto.EXTERNAL]
    if outside:
        raise UnsupportedError(
            "an .onnx file holds its values itself",
            received=f"{path} with {outside[0]} in another file",
            remedy="save it without external data (onnx.save(model, path))",
        )


def read_card(path: Path) -> ArtifactCard | None:
    """Contract and recipe in a file; None when it has no card.

    Raises:
        InvalidInputError: not an ONNX model, or a damaged card.
    """
    model = load(path)
    rule = f"the metadata entry {CARD_KEY} is the JSON that an export wrote"
    with reading(path, rule, "export the file again"):
        text = next((p.value for p in model.metadata_props if p.key == CARD_KEY), None)
    return None if text is None else parsed_card(text, path, rule)


def inspect(path: Path) -> Inspection:
    """Read the tensors, operators and sizes of a file.

    Raises:
        InvalidInputError: not an ONNX model, a damaged one, or one with values in other files.
    """
    from onnx.shape_inference import InferenceError

    model = load(path)
    require_inside(model, path)
    with reading(path, COMPLETE, _REMEDY, raised=(InferenceError,)):
        return _inspected(model, path.stat().st_size)


def _inspected(model: onnx.ModelProto, size: int) -> Inspection:
    view = _view(model)
    tensors = {name: _tensor(name, view) for name in _tensor_names(view)}
    graph_inputs = [v.name for v in model.graph.input if v.name not in view.constants]
    return Inspection(
        format="onnx",
        size_bytes=size,
        inputs=tuple(tensors[name] for name in graph_inputs),
        outputs=tuple(tensors[v.name] for v in model.graph.output),
        operators=_operators(view),
        tensors=tuple(tensors.values()),
        size_by_part=_size_by_part(view, size),
        opset=", ".join(f"{o.domain or 'ai.onnx'} {o.version}" for o in model.opset_import),
    )


@dataclass(frozen=True)
class _View:
    """A model with its lookup tables.

    Attributes:
        model: model as parsed.
        constants: stored tensors by name.
        values: types and shapes of activations that can be inferred, by name.
        producers: node that computes each tensor.
        readers: nodes that read each tensor.
    """

    model: onnx.ModelProto
    constants: dict[str, onnx.TensorProto]
    values: dict[str, onnx.ValueInfoProto]
    producers: dict[str, onnx.NodeProto]
    readers: dict[str, list[onnx.NodeProto]]


def _view(model: onnx.ModelProto) -> _View:
    from onnx import shape_inference

    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            constants[node.output[0]] = node.attribute[0].t
    inferred = shape_inference.infer_shapes(model).graph
    values = [*inferred.value_info, *inferred.output, *inferred.input]
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return _View(
        model,
        constants,
        {value.name: value for value in values},
        {name: node for node in graph.node for name in node.output},
        readers,
    )


def _tensor_names(view: _View) -> list[str]:
    graph = view.model.graph
    names = [value.name for value in [*graph.input, *graph.output]]
    names += list(view.constants)
    names += [name for node in graph.node for name in node.output if name]
    return list(dict.fromkeys(names))


def _dtype(elem_type: int) -> str:
    from onnx import TensorProto, helper

    if elem_type == TensorProto.UNDEFINED:
        return "unknown"
    return str(helper.tensor_dtype_to_np_dtype(elem_type))


def _dtype_of(name: str, view: _View) -> str:
    if name in view.constants:
        return _dtype(view.constants[name].data_type)
    value = view.values.get(name)
    return "unknown" if value is None else _dtype(value.type.tensor_type.elem_type)


def _tensor(name: str, view: _View) -> TensorInfo:
    scale, zero_point, axis = _quantization(name, view)
    stored = view.constants.get(name)
    if stored is not None:
        shape: tuple[int | None, ...] = tuple(stored.dims)
    else:
        value = view.values.get(name)
        axes = () if value is None else axes_of(value)
        shape = tuple(size if isinstance(size, int) else None for size in axes)
    return TensorInfo(
        name=name,
        dtype=_dtype_of(name, view),
        shape=shape,
        scale=scale,
        zero_point=zero_point,
        axis=axis,
        constant=stored is not None,
        size_bytes=0 if stored is None else _payload(stored),
    )


def _quantization(name: str, view: _View) -> tuple[tuple[float, ...], tuple[int, ...], int | None]:
    """Scale, zero point and axis of an integer tensor, from the quantizers next to it."""
    from onnx import numpy_helper

    quantizers = [n for n in view.readers.get(name, []) if n.op_type == "DequantizeLinear"]
    producer = view.producers.get(name)
    if producer is not None and producer.op_type == "QuantizeLinear":
        quantizers.append(producer)
    # Quantizers read scales and zero points too; only the tensor that they convert has theirs.
    quantizers = [n for n in quantizers if n.input[0] == name or name in n.output]
    if not quantizers or quantizers[0].input[1] not in view.constants:
        return (), (), None
    node = quantizers[0]
    scale = numpy_helper.to_array(view.constants[node.input[1]]).reshape(-1)
    zeros: tuple[int, ...] = (0,) * scale.size
    if len(node.input) > 2 and node.input[2] in view.constants:
        stored = numpy_helper.to_array(view.constants[node.input[2]]).reshape(-1)
        zeros = tuple(int(z) for z in stored)
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    return tuple(float(s) for s in scale), zeros, axis if scale.size > 1 else None


def _operators(view: _View) -> tuple[OperatorInfo, ...]:
    counts = Counter((node.op_type, _compute(node, view)) for node in view.model.graph.node)
    return tuple(OperatorInfo(name, compute, n) for (name, compute), n in sorted(counts.items()))


def _compute(node: onnx.NodeProto, view: _View) -> str:
    """Type that a node computes in after a runtime has fused the quantizers around it."""
    if node.op_type == "QuantizeLinear":
        return _dtype_of(node.output[0], view)
    if node.op_type == "DequantizeLinear":
        return _dtype_of(node.input[0], view)
    if node.op_type in INTEGER_PRODUCTS:
        return "hybrid"
    dequantizers = [view.producers.get(name) for name in node.input if name not in view.constants]
    quantizers = [reader for name in node.output for reader in view.readers.get(name, [])]
    if (
        dequantizers
        and quantizers
        and all(d is not None and d.op_type == "DequantizeLinear" for d in dequantizers)
        and all(q.op_type == "QuantizeLinear" for q in quantizers)
    ):
        # uint8 activations with int8 weights are int8 arithmetic with another zero point.
        integers = _dtype_of(quantizers[0].output[0], view)
        return "int8" if integers in ("int8", "uint8") else integers
    return _dtype_of(node.output[0], view)


def _payload(tensor: onnx.TensorProto) -> int:
    """Bytes of a tensor's values in the file."""
    if tensor.HasField("raw_data"):
        return len(tensor.raw_data)
    values = type(tensor)()
    for field in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
        getattr(values, field).extend(getattr(tensor, field))
    return int(values.ByteSize())


def _size_by_part(view: _View, size: int) -> dict[str, int]:
    """Bytes of each part of a file; ``other`` is framing and attributes."""
    graph = view.model.graph
    scales = {name for node in graph.node if node.op_type in QUANTIZERS for name in node.input[1:3]}
    payloads = {name: _payload(tensor) for name, tensor in view.constants.items()}
    metadata = [part for p in view.model.metadata_props for part in (p.key, p.value)]
    parts = {
        "weights": sum(n for name, n in payloads.items() if name not in scales),
        "quantization": sum(n for name, n in payloads.items() if name in scales),
        "names": sum(len(name.encode()) for name in _strings(graph)),
        "metadata": sum(len(text.encode()) for text in metadata),
    }
    return {**parts, "other": size - sum(parts.values())}


def _strings(graph: onnx.GraphProto) -> Iterator[str]:
    """Every name in the graph, as often as the file has it."""
    for node in graph.node:
        yield from (node.name, *node.input, *node.output)
    for tensor in graph.initializer:
        yield tensor.name
    for value in [*graph.input, *graph.output, *graph.value_info]:
        yield value.name
