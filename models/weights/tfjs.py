"""Reader of TensorFlow.js models: model.json and its shards of weights; no JavaScript is run.

``weightsManifest`` is a list of groups. The files of a group, joined, are the values of its weights
one after another, little-endian. A weight may be quantized: integers of 8 or 16 bits with a scale
and a smallest value, or float16. Source: tensorflow/tfjs, tfjs-core/src/io/types.ts
(``WeightsManifestConfig``) and io_utils.ts (``decodeWeights``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from foundation.errors import InvalidInputError
from foundation.foreign import MOST_TEXT, read_bytes, read_object, reading, require_regular

MODEL_FILE = "model.json"
_RULE = "a TensorFlow.js graph model is a whole model.json with all shards of its weights beside it"
_REMEDY = "download or convert the model again, with every file that its weightsManifest names"
_MOST_BYTES = 2 << 30
"""Largest sum of a model's shards."""

_TYPES = {"float32": "<f4", "int32": "<i4", "bool": "?"}
"""Layout of the values of each type. Text and complex numbers are weights of no layer."""
_QUANTIZED = {"uint8": "<u1", "uint16": "<u2", "float16": "<f2"}


@dataclass(frozen=True)
class TfjsModel:
    """A graph model.

    Attributes:
        path: path of model.json.
        nodes: nodes of the graph (``tensorflow.NodeDef`` as JSON), in the order of the file.
        weights: values by name, float32, int32 or bool.
    """

    path: Path
    nodes: Sequence[Mapping[str, Any]] = field(repr=False)
    weights: Mapping[str, np.ndarray] = field(repr=False)


@dataclass(frozen=True)
class _Weight:
    """One entry of a manifest."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    stored: str
    scale: float | None = None
    least: float | None = None

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Number of bytes in the shards."""
        return self.count * np.dtype(self.stored).itemsize

    def values(self, content: bytes) -> np.ndarray:
        """Values of its bytes; those of integers are ``q * scale + min``."""
        stored = np.frombuffer(content, self.stored).reshape(self.shape)
        target = np.dtype(_TYPES[self.dtype])
        if self.scale is None or self.least is None:
            return stored.astype(target)
        # JavaScript computes in float64 and stores float32, or rounds half up to int32.
        real = stored.astype(np.float64) * self.scale + self.least
        return (np.floor(real + 0.5) if self.dtype == "int32" else real).astype(target)


def is_tfjs(path: Path) -> bool:
    """Whether a path is one that ``read_tfjs`` reads: a folder with model.json, or a .json."""
    return path.suffix == ".json" if path.is_file() else (path / MODEL_FILE).is_file()


def tfjs_files(path: Path) -> tuple[Path, ...]:
    """Files of a model: model.json, then the shards in the order of the manifest.

    Raises:
        InvalidInputError: as ``read_tfjs``, for anything in model.json.
    """
    manifest = _model_file(path)
    with reading(manifest, _RULE, _REMEDY):
        groups = _groups(read_object(manifest, _RULE, _REMEDY))
    return (manifest, *(manifest.parent / name for names, _ in groups for name in names))


def read_tfjs(path: Path) -> TfjsModel:
    """Read a graph model.

    Args:
        path: model.json, or the folder that holds it.

    Raises:
        InvalidInputError: no such file, a layers model, shards that are missing or have another
            size than their weights, a name outside the folder, or an unknown type.
    """
    manifest = _model_file(path)
    text = read_object(manifest, _RULE, _REMEDY)
    with reading(manifest, _RULE, _REMEDY):
        nodes = _nodes(text)
        groups = _groups(text)
        weights: dict[str, np.ndarray] = {}
        left = _MOST_BYTES
        for names, entries in groups:
            content = _joined(manifest.parent, names, sum(entry.size for entry in entries), left)
            left -= len(content)
            _add(weights, entries, content)
    return TfjsModel(manifest, nodes, weights)


def _model_file(path: Path) -> Path:
    found = path / MODEL_FILE if path.is_dir() else path
    return require_regular(found, _RULE, _REMEDY, most_bytes=MOST_TEXT)


def _nodes(text: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    topology = text.get("modelTopology")
    if text.get("format") == "layers-model" or (
        isinstance(topology, dict) and "model_config" in topology
    ):
        raise ValueError("it is a layers model, not a graph model")
    nodes = topology.get("node") if isinstance(topology, dict) else None
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise ValueError("it has no modelTopology with a list of nodes")
    return nodes


def _groups(text: Mapping[str, Any]) -> list[tuple[list[str], list[_Weight]]]:
    """Names of the shards and the weights of each group."""
    groups = text.get("weightsManifest")
    if not isinstance(groups, list) or not groups:
        raise ValueError("it has no weightsManifest")
    found = [
        ([_plain(name) for name in group["paths"]], [_weight(w) for w in group["weights"]])
        for group in groups
    ]
    names = [weight.name for _, weights in found for weight in weights]
    if len(set(names)) < len(names):
        raise ValueError("two weights have one name")
    return found


def _plain(name: Any) -> str:
    """Name of a shard, which lies in the folder of model.json or below it."""
    parts = PurePosixPath(name).parts if isinstance(name, str) else ()
    if not parts or parts[0] == "/" or ".." in parts or "\\" in name or ":" in name:
        raise ValueError(f"a shard {name!r}, which is no name of a file beside it")
    return str(name)


def _weight(entry: Any) -> _Weight:
    name, shape, dtype = entry["name"], entry["shape"], entry["dtype"]
    if not isinstance(name, str) or dtype not in _TYPES:
        raise ValueError(f"{name!r} of the type {dtype!r}, where {', '.join(_TYPES)} are known")
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"{name} with the shape {shape!r}")
    quantization = entry.get("quantization")
    if quantization is None:
        return _Weight(name, tuple(shape), dtype, _TYPES[dtype])
    stored = quantization["dtype"]
    fits = dtype == "float32" or (dtype == "int32" and stored != "float16")
    if stored not in _QUANTIZED or not fits:
        raise ValueError(f"{name} of the type {dtype} quantized to {stored!r}")
    if stored == "float16":
        return _Weight(name, tuple(shape), dtype, _QUANTIZED[stored])
    scale, least = float(quantization["scale"]), float(quantization["min"])
    if not (math.isfinite(scale) and math.isfinite(least)):
        raise ValueError(f"{name} with the scale {scale} and the smallest value {least}")
    return _Weight(name, tuple(shape), dtype, _QUANTIZED[stored], scale, least)


def _joined(folder: Path, names: Sequence[str], size: int, most: int) -> bytes:
    """Bytes of the shards of one group, which are ``size`` and at most ``most`` together."""
    paths = [require_regular(folder / name, _RULE, _REMEDY) for name in names]
    stored = sum(path.stat().st_size for path in paths)
    if stored != size:
        shown = f"{', '.join(names[:1])}{' to ' * (len(names) > 1)}{', '.join(names[1:][-1:])}"
        received = f"{stored:,} bytes in {shown or 'no shard'}, where its weights take {size:,}"
        raise InvalidInputError(_RULE, received=received, remedy=_REMEDY)
    if stored > most:
        raise ValueError(f"shards of more than {_MOST_BYTES:,} bytes")
    return b"".join(read_bytes(path, _RULE, _REMEDY, most_bytes=size) for path in paths)


def _add(weights: dict[str, np.ndarray], entries: Sequence[_Weight], content: bytes) -> None:
    start = 0
    for entry in entries:
        weights[entry.name] = entry.values(content[start : start + entry.size])
        start += entry.size
