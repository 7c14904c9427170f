"""Disjoint sets of names, joined two at a time."""

from __future__ import annotations

from collections.abc import Iterable


class Groups:
    """Disjoint sets of names; at first each name is alone."""

    def __init__(self, names: Iterable[str]) -> None:
        self._parent = {name: name for name in names}

    def join(self, first: str, second: str) -> None:
        """Unite the sets of two names; the root of the first one's set stands for both."""
        self._parent[self.root(second)] = self.root(first)

    def root(self, name: str) -> str:
        """Name that stands for the set of a name."""
        while self._parent[name] != name:
            name = self._parent[name]
        return name

    def sets(self) -> dict[str, list[str]]:
        """Every set by its root; sets and names in the order of the constructor's argument."""
        sets: dict[str, list[str]] = {}
        for name in self._parent:
            sets.setdefault(self.root(name), []).append(name)
        return sets
