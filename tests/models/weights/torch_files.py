"""Writer of PyTorch files, instruction by instruction, so that tests can write wrong ones too."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

EMPTY_DICT = b"ccollections\nOrderedDict\n)R"
MAGIC = 0x1950A86A20F9469CFC6C
_KINDS = {"float32": "FloatStorage", "int64": "LongStorage", "float16": "HalfStorage"}


def plain(value: object) -> bytes:
    """Instructions that push a plain value."""
    return pickle.dumps(value, protocol=2)[2:-1]


def whole(instructions: bytes) -> bytes:
    """A pickle of these instructions."""
    return b"\x80\x02" + instructions + b"."


@dataclass(frozen=True)
class View:
    """A tensor as a view of a storage; by default the whole storage."""

    values: np.ndarray
    key: str
    offset: int = 0
    shape: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None
    count: int | None = None
    kind: str | None = None

    def instructions(self) -> bytes:
        """Instructions that push the view, as torch.save writes them."""
        values = self.values.copy(order="C")
        shape = self.values.shape if self.shape is None else self.shape
        strides = tuple(stride // values.itemsize for stride in values.strides)
        strides = strides if self.strides is None else self.strides
        count = values.size if self.count is None else self.count
        kind = self.kind or f"torch\n{_KINDS[values.dtype.name]}"
        storage = (
            b"("
            + plain("storage")
            + f"c{kind}\n".encode()
            + b"".join(map(plain, (self.key, "cpu", count)))
            + b"tQ"
        )
        rest = b"".join(map(plain, (self.offset, shape, strides, False)))
        return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + rest + EMPTY_DICT + b"tR"


def state(views: Mapping[str, View], ending: bytes = b"") -> bytes:
    """Pickle of a state dict, with the version numbers that PyTorch attaches to it."""
    entries = b"".join(plain(name) + view.instructions() for name, view in views.items())
    versions = plain({"_metadata": {"": {"version": 1}}})
    return whole(EMPTY_DICT + b"(" + entries + b"u" + versions + b"b" + ending)


def legacy(
    views: Mapping[str, View], *, pickled: bytes | None = None, little_endian: bool = True
) -> bytes:
    """The layout before PyTorch 1.6."""
    stored = {view.key: view.values for view in views.values()}
    head = [MAGIC, 1001, {"protocol_version": 1001, "little_endian": little_endian}]
    parts = [whole(plain(value)) for value in head]
    parts += [pickled or state(views), whole(plain(list(stored)))]
    for values in stored.values():
        parts += [int(values.size).to_bytes(8, "little"), values.tobytes()]
    return b"".join(parts)


def archive(
    path: Path,
    views: Mapping[str, View],
    *,
    pickled: bytes | None = None,
    byte_order: bytes = b"little",
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    """The layout since PyTorch 1.6."""
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("net/data.pkl", pickled or state(views))
        file.writestr("net/byteorder", byte_order)
        for view in {view.key: view for view in views.values()}.values():
            file.writestr(f"net/data/{view.key}", view.values.tobytes())
    return path
