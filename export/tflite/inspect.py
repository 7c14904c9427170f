"""Reader of .tflite files: operators with their types, tensors, and the size of each part."""

from __future__ import annotations

import io
import struct
import zipfile
from collections import Counter
from pathlib import Path

from foundation.errors import InvalidInputError
from foundation.foreign import reading
from network.inspection import Inspection, OperatorInfo
from network.tflite.reader import WHOLE, FlatModel, read_flat_model


def inspect(path: Path) -> Inspection:
    """Read the tensors, operators and sizes of a file.

    In ``size_by_part``, ``weights`` are the constant buffers that tensors use, ``quantization`` is
    scales and zero points, ``names`` the tensor names, ``metadata`` the metadata buffers, their
    names and an appended zip of associated files, ``other`` the rest (tables, padding).

    Raises:
        InvalidInputError: no such file, not a TFLite file, or a damaged one.
    """
    model = read_flat_model(path)
    with reading(path, WHOLE, "write or download it again"):
        return _inspected(model, path)


def _inspected(model: FlatModel, path: Path) -> Inspection:
    main = model.subgraphs[0]
    return Inspection(
        format="tflite",
        size_bytes=model.size_bytes,
        inputs=tuple(main.tensors[i] for i in main.inputs),
        outputs=tuple(main.tensors[i] for i in main.outputs),
        operators=_operators(model),
        tensors=tuple(tensor for graph in model.subgraphs for tensor in graph.tensors),
        size_by_part=_size_by_part(model, _appended_bytes(path)),
        opset=_version(model),
    )


def _operators(model: FlatModel) -> tuple[OperatorInfo, ...]:
    counts = Counter((op.name, g.compute(op)) for g in model.subgraphs for op in g.operators)
    return tuple(
        OperatorInfo(name, compute, count) for (name, compute), count in sorted(counts.items())
    )


def _size_by_part(model: FlatModel, appended: int) -> dict[str, int]:
    metadata = sum(len(name.encode()) + len(content) for name, content in model.metadata.items())
    parts = {
        "weights": model.weights_bytes,
        "quantization": model.quantization_bytes,
        "names": model.names_bytes,
        "metadata": metadata + appended,
    }
    other = model.size_bytes - sum(parts.values())
    if other < 0:
        raise InvalidInputError(
            "the parts of a .tflite file do not overlap",
            received=f"{-other} bytes more than the {model.size_bytes} of the file",
            remedy="write or download it again",
        )
    return {**parts, "other": other}


def _appended_bytes(path: Path) -> int:
    """Bytes of the zip that MediaPipe's and TFLite's metadata tools append; 0 without one."""
    data = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return len(data) - min(
                (entry.header_offset for entry in archive.infolist()), default=len(data)
            )
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, struct.error):
        return 0


def _version(model: FlatModel) -> str:
    runtime = model.metadata.get("min_runtime_version", b"").rstrip(b"\0")
    since = f", runtime {runtime.decode('ascii', 'replace')}" if runtime else ""
    return f"schema {model.schema_version}{since}"
