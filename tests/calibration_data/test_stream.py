"""Decoding on several threads: order, equality, read-ahead, errors, early end."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration_data.datasets.base import Dataset, open_dataset
from calibration_data.preprocessing import Crop, Preprocessing
from calibration_data.stream import stream
from foundation.errors import InvalidInputError
from foundation.threads import cores
from tests.calibration_data.pictures import in_memory, smooth, write_folder

CONTRACT = Preprocessing(size=(8, 8), crop=Crop.EXACT, mean=(0.0,) * 3, std=(1.0,) * 3)


class Counting:
    """Decoder of grey pictures that counts its calls."""

    def __init__(self) -> None:
        self.decoded = 0
        self._lock = threading.Lock()

    def __call__(self, index: int) -> np.ndarray:
        with self._lock:
            self.decoded += 1
        return np.full((8, 8, 3), index % 256, np.uint8)

    def settled(self) -> int:
        """Number of decoded images after all running decoders have finished."""
        seen = -1
        while seen != self.decoded:
            seen = self.decoded
            time.sleep(0.1)
        return seen


def _counted(count: int) -> tuple[Dataset, Counting]:
    counting = Counting()
    return replace(in_memory(count), decode=counting), counting


def _decode_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("decode")]


def test_batches_are_in_the_order_of_the_dataset() -> None:
    batches = list(stream(in_memory(11), CONTRACT, batch_size=4))
    assert [len(batch.images) for batch in batches] == [4, 4, 3]
    np.testing.assert_array_equal(np.concatenate([b.indices for b in batches]), np.arange(11))
    np.testing.assert_array_equal(np.concatenate([b.labels for b in batches]), np.arange(11) % 2)
    np.testing.assert_array_equal(
        np.concatenate([b.images for b in batches])[:, 0, 0, 0], np.arange(11)
    )
    assert batches[0].images.dtype == np.float32
    assert batches[0].images.shape == (4, 8, 8, 3)


@pytest.mark.parametrize("threads", [1, 3, None])
def test_the_number_of_threads_changes_nothing(threads: int | None) -> None:
    pictures = [smooth(40 + i, 50 - i, seed=i) for i in range(20)]
    contract = Preprocessing(size=(16, 16), resize_short_side=18)

    def decode(index: int) -> np.ndarray:
        time.sleep((index * 7 % 5) / 1000)  # so that later batches are ready first
        return pictures[index]

    dataset = replace(in_memory(20), decode=decode)
    got = np.concatenate(
        [b.images for b in stream(dataset, contract, batch_size=3, threads=threads)]
    )
    np.testing.assert_array_equal(got, np.stack([contract.tensor(p) for p in pictures]))


@pytest.mark.parametrize("count", [100, 1000])
def test_the_look_ahead_does_not_grow_with_the_dataset(count: int) -> None:
    dataset, counting = _counted(count)
    batches = stream(dataset, CONTRACT, batch_size=4, threads=2)
    for taken in (1, 2, 3):
        next(batches)
        # The batches consumed, and two in progress for each of two threads.
        assert counting.settled() <= 4 * (taken + 4)
    batches.close()  # type: ignore[attr-defined]


def test_nothing_is_decoded_before_the_first_batch_is_asked_for() -> None:
    dataset, counting = _counted(10)
    stream(dataset, CONTRACT)
    assert counting.decoded == 0
    assert _decode_threads() == []


def test_closing_early_stops_the_threads() -> None:
    dataset, counting = _counted(1000)
    batches = stream(dataset, CONTRACT, batch_size=2, threads=3)
    next(batches)
    assert _decode_threads()
    batches.close()  # type: ignore[attr-defined]
    assert _decode_threads() == []
    stopped_at = counting.decoded
    assert counting.settled() == stopped_at < 100


def test_a_damaged_image_is_named_and_the_threads_end(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 5, "dog": 5})
    (tmp_path / "dog" / "3.png").write_bytes(b"")
    with pytest.raises(InvalidInputError, match=r"dog/3\.png"):
        list(stream(open_dataset(str(tmp_path)), CONTRACT, batch_size=2))
    assert _decode_threads() == []


def test_an_image_that_the_contract_refuses_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path, {"cat": 2, "dog": 2})
    write_folder(tmp_path, {"elk": 1}, size=9)
    with pytest.raises(InvalidInputError, match=r"received 9x9 \(.*elk/0\.png of "):
        list(stream(open_dataset(str(tmp_path)), CONTRACT))
    dataset = replace(in_memory(3), decode=lambda i: np.zeros((8, 8 + i, 3), np.uint8))
    with pytest.raises(InvalidInputError, match=r"8x9 \(image 1 of memory\)"):
        list(stream(dataset, CONTRACT))


def test_other_errors_come_through() -> None:
    def decode(index: int) -> np.ndarray:
        raise MemoryError

    with pytest.raises(MemoryError):
        list(stream(replace(in_memory(3), decode=decode), CONTRACT))


def test_there_is_at_least_one_core() -> None:
    assert cores() >= 1
