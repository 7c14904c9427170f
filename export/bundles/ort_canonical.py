"""Equal .ort bytes from equal models, in every run.

ONNX Runtime walks a hash map when it writes the table of the inputs and outputs that decide the
types of a kernel. The hash is seeded by an address, which Linux chooses anew for every process:
with ``setarch -R`` the bytes repeat. All other bytes repeat without that. So the table is written
again in the order of its keys, in front of the model's bytes, which do not change.
Source of the layout: onnxruntime/core/flatbuffers/schema/ort.fbs (InferenceSession,
KernelTypeStrResolver).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from export.onnx.runtime import runtime

_IDENTIFIER = b"ORTM"
_ALIGNMENT = 64
"""Bytes; the model moves by a multiple of it, so that tensors stay aligned."""
_MODEL, _RESOLVER = 1, 3
"""Slots of InferenceSession."""
_PLACEHOLDER = 0x7FFFFFFF


@dataclass(frozen=True)
class _Argument:
    """An input (0) or output (1) of an operator, by its index."""

    kind: int
    index: int


_Table = dict[bytes, dict[bytes, tuple[_Argument, ...]]]
"""Operator -> name of a type in its kernel -> arguments that have the type."""


def canonical_ort(content: bytes) -> bytes:
    """Sort the table of kernel types in a file by its keys.

    Args:
        content: bytes of an .ort that ONNX Runtime wrote.

    Returns:
        A file of the same model, with the same bytes for every order of the table.
    """
    runtime()
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.InferenceSession import (
        InferenceSession,
    )

    session: Any = InferenceSession.GetRootAs(content)
    model = session.Model()._tab.Pos
    # The model was written first, so everything else is in front of it, its vtable included.
    vtable = model - struct.unpack_from("<i", content, model)[0]
    cut = min(model, vtable)
    front = bytearray(_front(session.OrtVersion(), _table(session)))
    front += bytes((cut - len(front)) % _ALIGNMENT)
    fresh: Any = InferenceSession.GetRootAs(bytes(front))
    slot = fresh._tab.Pos + fresh._tab.Offset(4 + 2 * _MODEL)
    struct.pack_into("<I", front, slot, len(front) + model - cut - slot)
    return bytes(front) + content[cut:]


def _table(session: Any) -> _Table:
    resolver = session.KernelTypeStrResolver()
    table: _Table = {}
    for i in range(0 if resolver is None else resolver.OpKernelTypeStrArgsLength()):
        operator = resolver.OpKernelTypeStrArgs(i)
        table[operator.OpId()] = {
            entry.KernelTypeStr(): tuple(
                _Argument(entry.Args(k).ArgType(), entry.Args(k).Index())
                for k in range(entry.ArgsLength())
            )
            for entry in map(operator.KernelTypeStrArgs, range(operator.KernelTypeStrArgsLength()))
        }
    return table


def _front(version: bytes, table: _Table) -> bytes:
    """Header, session and sorted table; the model's slot has a placeholder."""
    import flatbuffers

    builder: Any = flatbuffers.Builder()
    text = builder.CreateString(version)
    operators = []
    for operator, types in sorted(table.items()):
        entries = []
        for name, arguments in sorted(types.items()):
            rows = [_row(builder, argument) for argument in arguments]
            entries.append(_keyed(builder, name, rows))
        operators.append(_keyed(builder, operator, entries))
    vector = _vector(builder, operators)
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, vector, 0)
    resolver = builder.EndObject()
    builder.StartObject(4)
    builder.PrependUOffsetTRelativeSlot(0, text, 0)
    builder.PrependUint32Slot(_MODEL, _PLACEHOLDER, 0)
    builder.PrependUOffsetTRelativeSlot(_RESOLVER, resolver, 0)
    builder.Finish(builder.EndObject(), _IDENTIFIER)
    return bytes(builder.Output())


def _row(builder: Any, argument: _Argument) -> int:
    builder.StartObject(2)
    builder.PrependInt8Slot(0, argument.kind, 0)
    builder.PrependUint32Slot(1, argument.index, 0)
    return int(builder.EndObject())


def _keyed(builder: Any, key: bytes, values: list[int]) -> int:
    """Write a table of a key and a vector of tables."""
    name, vector = builder.CreateString(key), _vector(builder, values)
    builder.StartObject(2)
    builder.PrependUOffsetTRelativeSlot(0, name, 0)
    builder.PrependUOffsetTRelativeSlot(1, vector, 0)
    return int(builder.EndObject())


def _vector(builder: Any, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())
