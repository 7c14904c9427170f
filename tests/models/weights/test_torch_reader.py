"""PyTorch's files without PyTorch: both layouts are read; code, damage and false sizes refused."""

from __future__ import annotations

import builtins
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from foundation.errors import InvalidInputError
from models.weights.torch_reader import read_torch_weights
from tests.models.weights.torch_files import EMPTY_DICT, View, archive, legacy, plain, state, whole

VALUES = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
VIEWS = {
    "conv.weight": View(VALUES, "0"),
    "conv.transposed": View(VALUES, "0", 0, (4, 3, 2), (1, 4, 12)),
    "conv.row": View(VALUES, "0", 5, (3,), (2,)),
    "bn.num_batches_tracked": View(np.array(7, np.int64), "1"),
    "half": View(np.array([0.5, -2], np.float16), "2"),
}


@pytest.fixture(params=["legacy", "archive"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Path]:
    """Writes a file of either layout."""
    path = tmp_path / "net.pth"

    def of(views: dict[str, View], pickled: bytes | None = None) -> Path:
        if request.param == "archive":
            return archive(path, views, pickled=pickled)
        path.write_bytes(legacy(views, pickled=pickled))
        return path

    return of


def test_tensors_of_a_state_dict_are_read(write: Callable[..., Path]) -> None:
    found = read_torch_weights(write(VIEWS))
    assert list(found) == list(VIEWS)
    np.testing.assert_array_equal(found["conv.weight"], VALUES)
    np.testing.assert_array_equal(found["conv.transposed"], VALUES.T)
    np.testing.assert_array_equal(found["conv.row"], [5, 7, 9])
    assert (found["bn.num_batches_tracked"].shape, int(found["bn.num_batches_tracked"])) == ((), 7)
    assert found["half"].dtype == np.float16
    found["conv.weight"][:] = 0  # a copy that shares no memory
    np.testing.assert_array_equal(found["conv.row"], [5, 7, 9])


@settings(max_examples=30, deadline=None)
@given(arrays(np.float32, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)))
def test_any_array_comes_back(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("any") / "net.pth"
    path.write_bytes(legacy({"x": View(values, "a")}))
    np.testing.assert_array_equal(read_torch_weights(path)["x"], values)


# Code


class _Runs:
    """Unpickling runs ``open`` on a path."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return builtins.open, (str(self.path), "w")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_code_in_a_pickle_does_not_run(
    write: Callable[..., Path], tmp_path: Path, protocol: int
) -> None:
    mark = tmp_path / "it ran"
    evil = pickle.dumps({"weight": _Runs(mark)}, protocol)
    pickle.loads(evil)["weight"].close()
    assert mark.exists()  # so that it would have run
    mark.unlink()
    with pytest.raises(InvalidInputError, match="without code; received"):
        read_torch_weights(write(VIEWS, evil))
    assert not mark.exists()


@pytest.mark.parametrize(
    ("instructions", "reason"),
    [
        (b"cos\nsystem\n(X\x04\x00\x00\x00truetR", "it names os system"),
        (b"cbuiltins\neval\n", "it names builtins eval"),
        (b"ctorch\nload\n", "it names torch load"),
        (plain("os") + plain("system") + b"\x93", "it names os system"),
        (b"ccollections\nOrderedDict\n(]tR", "a call of something else"),
        (b"ccollections\nOrderedDict\n)\x81", "the pickle instruction NEWOBJ"),
        (b"(ios\nsystem\n", "the pickle instruction INST"),
        (b"(cos\nsystem\no", "it names os system"),
        (b"ctorch\nFloatStorage\n(K\x01tR", "a call of something else"),
        (plain("storage") + b"Q", "a storage of another kind"),
        (b"Pstorage\n", "the pickle instruction PERSID"),
        (b"\x82\x01", "the pickle instruction EXT1"),
        (plain(1) + plain({}) + b"b", "the state of something that is no dict"),
        (b"]" + plain("a") + plain(1) + b"s", "an entry of something that is no dict"),
        (b"}" + plain(1) + b"a", "added to something that is no list"),
        (EMPTY_DICT + b"(" + plain("a") + b"u", "an entry of something"),
        (b"}" + plain((1,)) + plain(1) + b"s", "a key that is neither"),
        (b"t", "a group without a beginning"),
        (b"h\x09", "9"),
        (b"R", "pop from empty list"),
        (plain({"a": 1}), "a is no tensor"),
        (plain([]), "it is no dict of tensors"),
        (EMPTY_DICT, "it is no dict of tensors"),
        (plain(1) + plain(2), "values to unpack"),
    ],
)
def test_instructions_that_weights_do_not_need_are_refused(
    write: Callable[..., Path], instructions: bytes, reason: str
) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        read_torch_weights(write(VIEWS, whole(instructions)))


def test_a_class_that_only_looks_like_a_storage_is_refused(write: Callable[..., Path]) -> None:
    views = {"x": View(VALUES, "0", kind="evil\nFloatStorage")}
    with pytest.raises(InvalidInputError, match="it names evil FloatStorage"):
        read_torch_weights(write(views))


def test_a_bomb_of_nested_values_costs_nothing(write: Callable[..., Path]) -> None:
    """Each tuple holds the previous one twice: 2 to the 200 values if written out."""
    bomb = plain(1) + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(200))
    with pytest.raises(InvalidInputError, match="a storage of another kind"):
        read_torch_weights(write(VIEWS, whole(bomb + b"Q")))


# False sizes


@pytest.mark.parametrize(
    "view",
    [
        View(VALUES, "0", 1),
        View(VALUES, "0", 24, (1,), (1,)),
        View(VALUES, "0", -1, (1,), (1,)),
        View(VALUES, "0", 0, (25,), (1,)),
        View(VALUES, "0", 0, (2,), (24,)),
        View(VALUES, "0", 0, (2,), (-1,)),
        View(VALUES, "0", 0, (-2,), (1,)),
        View(VALUES, "0", 0, (2, 3), (1,)),
        View(VALUES, "0", 0, (1 << 40,), (0,)),
        View(VALUES, "0", 0, (0, 1 << 80), (1, 1)),
        View(VALUES, "0", 0, (1,), (1 << 80,)),
        View(VALUES, "0", 0, (1,) * 33, (1,) * 33),
        View(VALUES, "0", count=23),
        View(VALUES, "0", count=25),
        View(VALUES, "0", count=-1),
        View(VALUES, "0", count=1 << 60),
        View(VALUES, "0", kind="torch\nDoubleStorage"),
    ],
    ids=str,
)
def test_a_tensor_beyond_its_storage_is_refused(write: Callable[..., Path], view: View) -> None:
    with pytest.raises(InvalidInputError, match=r"net\.pth \("):
        read_torch_weights(write({"x": view}))


def test_one_storage_described_in_two_ways_is_refused(write: Callable[..., Path]) -> None:
    views = {"x": View(VALUES, "0"), "y": View(VALUES, "0", 0, (1,), (1,), count=3)}
    with pytest.raises(InvalidInputError, match="in two ways"):
        read_torch_weights(write(views))


def test_values_of_the_other_byte_order_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(legacy(VIEWS, little_endian=False))
    with pytest.raises(InvalidInputError, match="not little-endian"):
        read_torch_weights(path)
    archive(path, VIEWS, byte_order=b"big")
    with pytest.raises(InvalidInputError, match="not little-endian"):
        read_torch_weights(path)


def test_an_archive_that_could_unpack_to_more_than_memory_holds_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "net.pth", VIEWS, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(InvalidInputError, match="is compressed"):
        read_torch_weights(path)


def test_archives_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", "{}")
    with pytest.raises(InvalidInputError, match=r"0 files data\.pkl"):
        read_torch_weights(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("net/data.pkl", state(VIEWS))
    with pytest.raises(InvalidInputError, match="net/data/"):
        read_torch_weights(path)


# Damage


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    content = legacy(VIEWS)
    path = tmp_path / "net.pth"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(InvalidInputError, match=r"net\.pth"):
            read_torch_weights(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(InvalidInputError, match="follows its last storage"):
        read_torch_weights(path)


def test_an_archive_cut_anywhere_is_refused(tmp_path: Path) -> None:
    content = archive(tmp_path / "net.pth", VIEWS).read_bytes()
    for length in range(0, len(content), 7):
        (tmp_path / "net.pth").write_bytes(content[:length])
        with pytest.raises(InvalidInputError, match=r"net\.pth"):
            read_torch_weights(tmp_path / "net.pth")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_files_are_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / "net.pth"
    if data.draw(st.booleans()):
        content = bytearray(archive(path, VIEWS).read_bytes())
    else:
        content = bytearray(legacy(VIEWS))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        found = read_torch_weights(path)
    except InvalidInputError:
        return
    assert all(isinstance(value, np.ndarray) for value in found.values())


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04"])
def test_files_of_something_else_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"net\.pth"):
        read_torch_weights(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"absent\.pth"):
        read_torch_weights(tmp_path / "absent.pth")


def test_escapes_that_python_does_not_know_are_no_warning(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(legacy(VIEWS).replace(b"OrderedDict", rb"\orderedDict", 1))
    with pytest.raises(InvalidInputError, match=r"net\.pth"):
        read_torch_weights(path)
