"""Reader of the tensors in a PyTorch checkpoint, without PyTorch and without running its code.

``torch.save`` writes pickles, and a pickle is a program: unpickling runs everything it names. Here
a small interpreter of our own walks the instructions that ``pickletools`` decodes. It imports
nothing: the names in a pickle are compared with a short list of storage types and two functions
(an ordered dict and a view of a storage). Everything else is refused before it has an effect.

There are two layouts: the archive that torch.save writes since version 1.6 (a zip with data.pkl
and data/KEY), and the older file (five pickles, then each storage as an int64 count and raw
values). Sources: pytorch/pytorch, torch/serialization.py, and the opcodes of PEP 307 in CPython's
pickletools.
"""

from __future__ import annotations

import io
import math
import pickletools
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foundation.archives import check_directory
from foundation.foreign import read_bytes, reading

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_MOST_DIMENSIONS = 32
_MOST_COPIES = 8
"""Largest ratio of the tensors' bytes to the file's: layers may share weights of one storage."""

_STORAGES = {
    "torch DoubleStorage": "<f8",
    "torch FloatStorage": "<f4",
    "torch HalfStorage": "<f2",
    "torch LongStorage": "<i8",
    "torch IntStorage": "<i4",
    "torch ShortStorage": "<i2",
    "torch CharStorage": "<i1",
    "torch ByteStorage": "<u1",
    "torch BoolStorage": "?",
}
"""Layout of the values of each storage class, by the name of the class in a pickle."""
_DICT = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"


class _RefusedError(ValueError):
    """Content that a checkpoint of plain tensors does not have."""


@dataclass(frozen=True)
class _Name:
    """A name in a pickle: only its text, never the object of that name."""

    text: str


@dataclass(frozen=True)
class _Storage:
    """A block of ``count`` values, stored once and shown by one or more tensors."""

    key: str
    dtype: str
    count: int


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage; offset and strides count values."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Mark:
    """Start of a group of values on the stack."""


def read_torch_weights(path: Path) -> dict[str, np.ndarray]:
    """Read the tensors of a state dict that ``torch.save`` wrote.

    Args:
        path: a .pth or .pt file of either layout, little-endian.

    Returns:
        Arrays by name, in the order of the file, with PyTorch's shapes and dtypes.

    Raises:
        InvalidInputError: anything but a dict of tensors, a damaged or truncated file, a tensor
            that reaches beyond its storage, or a pickle that names code to run.
    """
    rule = "PyTorch weights are a state dict of plain tensors, whole and without code"
    remedy = "save model.state_dict() with torch.save again, or fetch the file again"
    # Reads from memory allocate nothing for a wrong length in a damaged pickle.
    content = read_bytes(path, rule, remedy)
    file = io.BytesIO(content)
    with reading(path, rule, remedy):
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                check_directory(archive, len(content))
                return _read_archive(archive, len(content))
        file.seek(0)
        return _read_legacy(file, len(content))


def _read_archive(archive: zipfile.ZipFile, size: int) -> dict[str, np.ndarray]:
    pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise _RefusedError(f"{len(pickles)} files data.pkl in it")
    root = pickles[0].removesuffix("data.pkl")
    order = f"{root}byteorder"
    if order in archive.namelist() and _stored(archive, order) != b"little":
        raise _RefusedError("its values are not little-endian")
    tensors = _tensors_of(_Machine(io.BytesIO(_stored(archive, pickles[0]))).run())
    values = {
        storage: np.frombuffer(_stored(archive, f"{root}data/{storage.key}"), storage.dtype)
        for storage in {tensor.storage for tensor in tensors.values()}
    }
    return _views(tensors, values, size)


def _stored(archive: zipfile.ZipFile, name: str) -> bytes:
    # PyTorch stores members uncompressed; a compressed one could unpack to more than the memory.
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise _RefusedError(f"{name} is compressed")
    return archive.read(name)


def _read_legacy(file: io.BytesIO, size: int) -> dict[str, np.ndarray]:
    magic, protocol, system = (_Machine(file).run() for _ in range(3))
    if (magic, protocol) != (_LEGACY_MAGIC, _LEGACY_PROTOCOL):
        raise _RefusedError("it does not begin as torch.save begins")
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise _RefusedError("its values are not little-endian")
    tensors = _tensors_of(_Machine(file).run())
    keys = _Machine(file).run()
    by_key = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    named = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not named or sorted(keys) != sorted(by_key):
        raise _RefusedError("its list of storages is not that of its tensors")
    values = {}
    for key in keys:
        storage = by_key[key]
        count = int.from_bytes(file.read(8), "little", signed=True)
        length = storage.count * np.dtype(storage.dtype).itemsize
        content = file.read(length)
        if count != storage.count or len(content) != length:
            raise _RefusedError(f"storage {key} is cut short or has another length than announced")
        values[storage] = np.frombuffer(content, storage.dtype)
    if file.read(1):
        raise _RefusedError("something follows its last storage")
    return _views(tensors, values, size)


def _tensors_of(state: Any) -> dict[str, _Tensor]:
    if not isinstance(state, dict) or not state:
        raise _RefusedError("it is no dict of tensors")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, _Tensor):
            raise _RefusedError(f"{str(name)[:80]} is no tensor")
    sizes = {tensor.storage.key: tensor.storage for tensor in state.values()}
    if any(sizes[tensor.storage.key] != tensor.storage for tensor in state.values()):
        raise _RefusedError("one storage is described in two ways")
    return state


def _views(
    tensors: dict[str, _Tensor], values: dict[_Storage, np.ndarray], size: int
) -> dict[str, np.ndarray]:
    """Copies of the tensors, together at most ``_MOST_COPIES`` times the file's ``size`` bytes."""
    for storage, stored in values.items():
        if stored.size != storage.count:
            raise _RefusedError(f"storage {storage.key} has another length than announced")
    left, views = _MOST_COPIES * size, {}
    for name, tensor in tensors.items():
        views[name] = _view(tensor, values[tensor.storage])
        left -= views[name].nbytes
        if left < 0:
            raise _RefusedError(f"its tensors show more than {_MOST_COPIES} times its values")
    return views


def _view(tensor: _Tensor, values: np.ndarray) -> np.ndarray:
    """Copy of a tensor, after a check that all of it lies within its storage.

    The last value is at ``offset + sum((shape_i - 1) * stride_i)``.
    """
    shape, strides = tensor.shape, tensor.strides
    if len(shape) != len(strides) or len(shape) > _MOST_DIMENSIONS:
        raise _RefusedError("a tensor has as many strides as dimensions")
    if min((tensor.offset, *shape, *strides), default=0) < 0:
        raise _RefusedError("a tensor has a negative offset, size or stride")
    count = math.prod(shape)
    last = tensor.offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    # A stride of 0 repeats values, so that a small storage could fill the memory.
    if count > values.size or (count and last >= values.size):
        raise _RefusedError("a tensor reaches beyond its storage")
    if not count:
        return np.zeros(shape, values.dtype)
    size = values.itemsize
    return np.lib.stride_tricks.as_strided(
        values[tensor.offset :], shape, [stride * size for stride in strides], writeable=False
    ).copy()


class _Machine:
    """Interpreter of one pickle of plain values, dicts, tuples, lists and tensor views.

    Each public method carries out one instruction; ``_ACTIONS`` maps instructions to methods.
    """

    def __init__(self, file: io.BytesIO) -> None:
        self._file = file
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Interpret up to STOP, behind which the file is then positioned; returns the value."""
        with warnings.catch_warnings():
            # Damaged files have escapes that no Python string has.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._interpret()
        (result,) = self._stack
        return result

    def _interpret(self) -> None:
        for opcode, argument, _ in pickletools.genops(self._file):
            name = opcode.name
            if name in _LITERALS:
                self._stack.append(_LITERALS[name] if argument is None else argument)
            elif name in _ACTIONS:
                _ACTIONS[name](self, argument)
            elif name not in ("PROTO", "FRAME", "STOP"):
                raise _RefusedError(f"the pickle instruction {name}")

    def _pop(self) -> Any:
        return self._stack.pop()

    def _group(self) -> list[Any]:
        """Pop the last mark and the values above it; returns the values."""
        for start in reversed(range(len(self._stack))):
            if isinstance(self._stack[start], _Mark):
                group = self._stack[start + 1 :]
                del self._stack[start:]
                return group
        raise _RefusedError("a group without a beginning")

    def mark(self, _: Any) -> None:
        self._stack.append(_Mark())

    def put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def tuple_of(self, count: int) -> None:
        values = tuple(self._pop() for _ in range(count))
        self._stack.append(values[::-1])

    def tuple_of_group(self, _: Any) -> None:
        self._stack.append(tuple(self._group()))

    def empty_dict(self, _: Any) -> None:
        self._stack.append({})

    def empty_list(self, _: Any) -> None:
        self._stack.append([])

    def append(self, _: Any) -> None:
        self._extend([self._pop()])

    def append_group(self, _: Any) -> None:
        self._extend(self._group())

    def _extend(self, values: list[Any]) -> None:
        if not isinstance(self._stack[-1], list):
            raise _RefusedError("a value added to something that is no list")
        self._stack[-1].extend(values)

    def set_item(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self._set([key, value])

    def set_group(self, _: Any) -> None:
        self._set(self._group())

    def _set(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(values) % 2:
            raise _RefusedError("an entry of something that is no dict")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, str | int):
                raise _RefusedError("a key that is neither text nor number")
            target[key] = value

    def name(self, text: str) -> None:
        if text not in (_DICT, _TENSOR) and text not in _STORAGES:
            raise _RefusedError(f"it names {text[:80]}")
        self._stack.append(_Name(text))

    def stack_name(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise _RefusedError("a name that is no text")
        self.name(f"{module} {name}")

    def storage(self, _: Any) -> None:
        match self._pop():
            case ("storage", _Name(kind), str(key), str(), int(count), *rest) if (
                kind in _STORAGES and count >= 0 and rest in ([], [None])
            ):
                self._stack.append(_Storage(key, _STORAGES[kind], count))
            case _:
                raise _RefusedError("a storage of another kind")

    def call(self, _: Any) -> None:
        arguments, called = self._pop(), self._pop()
        match called, arguments:
            case _Name(text), () if text == _DICT:
                self._stack.append({})
            case (
                _Name(text),
                (_Storage() as storage, int(offset), tuple(shape), tuple(strides), *_),
            ) if text == _TENSOR and all(type(x) is int for x in (*shape, *strides)):
                self._stack.append(_Tensor(storage, offset, shape, strides))
            case _:
                raise _RefusedError("a call of something else than a dict or a tensor")

    def build(self, _: Any) -> None:
        """Ignore the state of a dict, in which PyTorch stores version numbers."""
        self._pop()
        if not isinstance(self._stack[-1], dict):
            raise _RefusedError("the state of something that is no dict")


_LITERALS: dict[str, Any] = {
    "NONE": None,
    "NEWTRUE": True,
    "NEWFALSE": False,
    "EMPTY_TUPLE": (),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT")),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE")),
}
"""Instructions that push a value: the fixed one given here, or for None their argument."""

_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "TUPLE": _Machine.tuple_of_group,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "EMPTY_DICT": _Machine.empty_dict,
    "EMPTY_LIST": _Machine.empty_list,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.append_group,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_group,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stack_name,
    "BINPERSID": _Machine.storage,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
}
