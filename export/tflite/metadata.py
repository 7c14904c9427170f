"""Changes to a .tflite file after conversion: card, signature, short names, aligned buffers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.target import CARD_KEY, ArtifactCard, parsed_card
from network.graph import INPUT_NAME, OUTPUT_NAME
from network.tflite.outputs import with_own_outputs, with_signature
from network.tflite.reader import read_flat_model

if TYPE_CHECKING:
    import flatbuffers
    import numpy as np

BUFFER_ALIGNMENT = 16
"""Bytes; ``force_align`` of ``Buffer.data`` in schema.fbs."""


def finish(content: bytes, card: ArtifactCard, outputs: Sequence[str] = (OUTPUT_NAME,)) -> bytes:
    """Add card and signature to a converted file, shorten its names and align its buffers.

    The converter names a fused operator after all of its layers, which can be a third of a small
    network's file; only the first name, that of the result, remains. The signature
    ``serving_default`` names the input ``image`` and the outputs.

    Args:
        content: bytes of a .tflite file from the converter.
        card: card to store, as JSON in a metadata buffer named CARD_KEY.
        outputs: names of the outputs, in the file's order.

    Returns:
        The same network; equal arguments give equal bytes.
    """
    from ai_edge_litert.schema_py_generated import BufferT, MetadataT
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(content)
    with_own_outputs(model)
    _shorten_names(model.subgraphs, outputs)
    with_signature(model, outputs)
    text = json.dumps(card.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    model.metadata = [
        *(model.metadata or []),
        MetadataT(name=CARD_KEY, buffer=len(model.buffers)),
    ]
    model.buffers.append(BufferT(data=text.encode()))
    return packed(model)


def with_metadata(content: bytes, name: str, entry: bytes) -> bytes:
    """Add a named metadata buffer to a .tflite file without an appended zip."""
    from ai_edge_litert.schema_py_generated import BufferT, MetadataT
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    model.metadata = [*(model.metadata or []), MetadataT(name=name, buffer=len(model.buffers))]
    model.buffers.append(BufferT(data=entry))
    return packed(model)


def packed(model: Any) -> bytes:
    """Pack a ``ModelT`` into bytes with aligned buffers; equal models give equal bytes."""
    from ai_edge_litert.tools import flatbuffer_utils

    model.buffers = [
        _AlignedBuffer(b"" if buffer.data is None else bytes(buffer.data))
        for buffer in model.buffers
    ]
    _share_buffers(model)
    shared: dict[tuple[str, bytes], int] = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.quantization is not None:
                tensor.quantization = _SharedQuantization.of(tensor.quantization, shared)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def read_card(path: Path) -> ArtifactCard | None:
    """Contract and recipe in a file; None when it has no card.

    Raises:
        InvalidInputError: not a TFLite file, or a damaged card.
    """
    content = read_flat_model(path).metadata.get(CARD_KEY)
    if content is None:
        return None
    rule = f"the metadata entry {CARD_KEY!r} of a .tflite file is an artifact card in JSON"
    return parsed_card(content, path, rule)


@dataclass(frozen=True)
class _AlignedBuffer:
    """A buffer packed with the schema's alignment, which the generated packer leaves out."""

    data: bytes

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 - the name the packer calls
        from ai_edge_litert import schema_py_generated as schema

        position = None
        if self.data:
            builder.Prep(BUFFER_ALIGNMENT, len(self.data))
            position = builder.CreateByteVector(self.data)
        schema.BufferStart(builder)
        if position is not None:
            schema.BufferAddData(builder, position)
        return int(schema.BufferEnd(builder))


def _share_buffers(model: Any) -> None:
    """Store equal constants (shapes, axes, biases of zeros) in one buffer; buffer 0 stays empty."""
    index_of_content: dict[bytes, int] = {}
    distinct: list[Any] = model.buffers[:1]
    new_index = [0]  # by the old index
    for buffer in model.buffers[1:]:
        if buffer.data not in index_of_content:
            index_of_content[buffer.data] = len(distinct)
            distinct.append(buffer)
        new_index.append(index_of_content[buffer.data])
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.buffer = new_index[tensor.buffer]
    for entry in model.metadata:
        entry.buffer = new_index[entry.buffer]
    model.buffers = distinct


@dataclass(frozen=True)
class _SharedQuantization:
    """Scales and zero points of a tensor; vectors with equal content are written once.

    There is one 64-bit zero point per channel, and all are zero in weights and biases: written for
    each tensor they are a twentieth of a small network's file.

    Attributes:
        scale: float32.
        zero_point: int64.
        axis: axis along which the scales differ.
        shared: offset of each written vector by type and content, filled as the file is packed.
    """

    scale: np.ndarray
    zero_point: np.ndarray
    axis: int
    shared: dict[tuple[str, bytes], int]

    @classmethod
    def of(cls, quantization: Any, shared: dict[tuple[str, bytes], int]) -> _SharedQuantization:
        """Convert an object of the schema, without minima and maxima, which no runtime reads."""
        import numpy as np

        scale = [] if quantization.scale is None else quantization.scale
        zero_point = [] if quantization.zeroPoint is None else quantization.zeroPoint
        return cls(
            np.asarray(scale, np.float32),
            np.asarray(zero_point, np.int64),
            int(quantization.quantizedDimension),
            shared,
        )

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 - the name the packer calls
        from ai_edge_litert import schema_py_generated as schema

        scale = self._vector(builder, self.scale)
        zero_point = self._vector(builder, self.zero_point)
        schema.QuantizationParametersStart(builder)
        if scale is not None:
            schema.QuantizationParametersAddScale(builder, scale)
        if zero_point is not None:
            schema.QuantizationParametersAddZeroPoint(builder, zero_point)
        if self.axis:
            schema.QuantizationParametersAddQuantizedDimension(builder, self.axis)
        return int(schema.QuantizationParametersEnd(builder))

    def _vector(self, builder: flatbuffers.Builder, values: np.ndarray) -> int | None:
        if not values.size:
            return None
        key = (values.dtype.str, values.tobytes())
        if key not in self.shared:
            self.shared[key] = int(builder.CreateNumpyVector(values))
        return self.shared[key]


def _shorten_names(subgraphs: list[Any], outputs: Sequence[str]) -> None:
    """Cut each name at its first semicolon; repeated names of a subgraph get a number.

    The input of a subgraph is ``image``, and the outputs of the main one have their names.
    """
    for graph in subgraphs:
        uses: Counter[str] = Counter(outputs if len(outputs) > 1 else ())
        sinks, sources = [int(i) for i in graph.outputs], [int(i) for i in graph.inputs]
        ends = dict(zip(sinks, outputs, strict=True)) if len(sinks) == len(outputs) else {}
        ends |= {sources[0]: INPUT_NAME} if len(sources) == 1 else {}
        for index, tensor in enumerate(graph.tensors):
            name = (tensor.name or b"").decode("utf-8", "replace").partition(";")[0]
            uses[name] += 1
            tensor.name = name if uses[name] == 1 else f"{name};{uses[name]}"
            tensor.name = ends.get(index, tensor.name)
