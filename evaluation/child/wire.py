"""Messages between parent and child: a JSON object and arrays as plain bytes, never pickles."""

from __future__ import annotations

import json
import math
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_LENGTH = struct.Struct("<Q")
_MOST_HEADER = 64 << 20
_MOST_BYTES = 16 << 30
_TYPES = frozenset(
    {"bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"}
    | {"float16", "float32", "float64"}
)


@dataclass(frozen=True, eq=False)
class Message:
    """A message of one side.

    Attributes:
        values: plain values.
        arrays: arrays of any shape.
    """

    values: dict[str, Any]
    arrays: tuple[np.ndarray, ...] = ()


def send(channel: socket.socket, values: dict[str, Any], arrays: Sequence[np.ndarray] = ()) -> None:
    """Send a message.

    Raises:
        OSError: the other side has ended, or does not read in time.
    """
    import numpy as np

    shapes = [{"dtype": a.dtype.name, "shape": list(a.shape)} for a in arrays]
    header = json.dumps({"values": values, "arrays": shapes}).encode()
    channel.sendall(_LENGTH.pack(len(header)) + header)
    for array in arrays:
        if array.size:
            channel.sendall(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def receive(channel: socket.socket) -> Message:
    """Wait for a message; its header is checked before it is used.

    Raises:
        EOFError: the other side has ended.
        OSError: it did not answer in time.
        ValueError: bytes that are not a message.
    """
    (length,) = _LENGTH.unpack(_read(channel, bytearray(_LENGTH.size)))
    if length > _MOST_HEADER:
        raise ValueError("a header of more than 64 MB")
    header = json.loads(bytes(_read(channel, bytearray(length))))
    if not isinstance(header, dict) or not isinstance(header.get("values"), dict):
        raise ValueError("a header that is no object")
    arrays = header.get("arrays")
    if not isinstance(arrays, list):
        raise ValueError("a header without arrays")
    return Message(header["values"], tuple(_array(channel, entry) for entry in arrays))


def _array(channel: socket.socket, entry: Any) -> np.ndarray:
    import numpy as np

    dtype, shape = entry.get("dtype"), entry.get("shape")
    sizes = isinstance(shape, list) and all(isinstance(n, int) and n >= 0 for n in shape)
    if dtype not in _TYPES or not sizes:
        raise ValueError("an array of no known type or shape")
    if math.prod(shape) * np.dtype(dtype).itemsize > _MOST_BYTES:
        raise ValueError("an array of more than 16 GB")
    array = np.empty(shape, dtype)
    if array.size:
        _read(channel, array.reshape(-1).view(np.uint8).data)
    return array


def _read(channel: socket.socket, into: bytearray | memoryview) -> bytearray | memoryview:
    view = memoryview(into)
    while view:
        count = channel.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return into
