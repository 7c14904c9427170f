"""Names that belong together: disjoint sets, joined two at a time."""

from __future__ import annotations

from collections.abc import Iterable


class Groups:
    """Disjoint sets of names; at first each name is alone."""

    def __init__(self, names: Iterable[str]) -> None:
        self._parent = {name: name for name in names}

    def join(self, first: str, second: str) -> None:
        """Make one set of those of two names; the first one's root stands for both."""
        self._parent[self.root(second)] = self.root(first)

    def root(self, name: str) -> str:
        """The name that stands for the set of a name."""
        while self._parent[name] != name:
            name = self._parent[name]
        return name

    def sets(self) -> dict[str, list[str]]:
        """Every set by its root; sets and names in the order that they were given in."""
        found: dict[str, list[str]] = {}
        for name in self._parent:
            found.setdefault(self.root(name), []).append(name)
        return found
