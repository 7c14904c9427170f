"""Names of the tensors of a canonical graph, made from those that TensorFlow's converter gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


class Names(Mapping[Key, str]):
    """Short unique names by key.

    Args:
        ends: names of the input and of the outputs.
    """

    def __init__(self, ends: Mapping[Key, str]) -> None:
        self._names = dict(ends)
        self._taken = Counter(self._names.values())
        self._used = set(self._names.values())

    def __getitem__(self, key: Key) -> str:
        return self._names[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def give(self, key: Key, wanted: str) -> None:
        """Name a tensor that has no name yet, with a number if the wanted name is taken."""
        if key in self._names:
            return
        found = wanted
        while found in self._used:  # a layer may have the name that another got with its number
            found = f"{wanted}_{self._taken[wanted]}"
            self._taken[wanted] += 1
        self._taken[wanted] += found == wanted
        self._used.add(found)
        self._names[key] = found


def short_name(name: bytes | str | None) -> str:
    """Layer in a converter's name: ``model_1/block_1_add_1/add;...`` gives ``block_1_add``."""
    text = (name or b"").decode("utf-8", "replace") if not isinstance(name, str) else name
    parts = text.partition(";")[0].split("/")
    layer = parts[1] if len(parts) > 1 else parts[0]
    stem, _, count = layer.rpartition("_")
    return (stem if stem and count.isdigit() else layer) or "tensor"
