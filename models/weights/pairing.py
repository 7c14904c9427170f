"""Pairs of layers of two descriptions of one network, where shapes alone do not tell them apart.

A layer is known first by its key. Layers with one key differ in what they read and in what reads
them, so the keys of their neighbours, and of those in turn, join their own (colour refinement;
Weisfeiler and Leman 1968). What is left are branches of equal structure, such as the image level
of DeepLabv3 beside its first branch: they differ in the size of their results, or in dilation.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

_ROUNDS = 4
"""Distance from which neighbours count: a head of two or three layers ends within it."""


@dataclass(frozen=True)
class Place:
    """Where a layer stands in its network.

    Attributes:
        key: depth, kind and shape.
        sources: indexes of the layers that it reads, directly or through layers without weights.
        site: number of positions of its result, and its dilation. The order of two sites counts,
            not their values: another size of the input changes all of them.
    """

    key: Hashable
    sources: tuple[int, ...] = ()
    site: tuple[int, int] = (0, 1)


def partners(ours: Sequence[Place], theirs: Sequence[Place]) -> list[int | None]:
    """Index of the partner of each of our layers; None for those that cannot be told apart.

    Args:
        ours: layers of one network.
        theirs: layers of the other, in any order, with the same keys as often.
    """
    found: list[int | None] = [None] * len(ours)
    numbers = _names(place.key for place in ours)
    first, second = ([numbers[place.key] for place in places] for places in (ours, theirs))
    base = (first, second)
    for _ in range(_ROUNDS):
        _pair_unique(found, first, second)
        if None not in found:
            return found
        first, second = _refined(first, ours, second, theirs)
    _pair_unique(found, first, second)
    for mine, others in ((first, second), base):
        _pair_by_site(found, mine, others, (ours, theirs))
    return found


def _names(colours: Iterable[Hashable]) -> dict[Hashable, int]:
    """A number for each different colour."""
    return {colour: number for number, colour in enumerate(dict.fromkeys(colours))}


def _refined(
    first: list[int], ours: Sequence[Place], second: list[int], theirs: Sequence[Place]
) -> tuple[list[int], list[int]]:
    """Colours after the neighbours' have joined them, with one numbering for both networks."""
    one, two = _signatures(first, ours), _signatures(second, theirs)
    numbers = _names([*one, *two])
    return [numbers[colour] for colour in one], [numbers[colour] for colour in two]


def _signatures(colours: list[int], places: Sequence[Place]) -> list[Hashable]:
    readers: list[list[int]] = [[] for _ in places]
    for place, colour in zip(places, colours, strict=True):
        for source in place.sources:
            readers[source].append(colour)
    return [
        (colour, tuple(sorted(colours[i] for i in place.sources)), tuple(sorted(after)))
        for colour, place, after in zip(colours, places, readers, strict=True)
    ]


def _pair_unique(found: list[int | None], first: list[int], second: list[int]) -> None:
    """Pair the layers whose colour no other layer of their network has."""
    counts, others = Counter(first), Counter(second)
    where = {colour: index for index, colour in enumerate(second)}
    for index, colour in enumerate(first):
        if found[index] is None and counts[colour] == others[colour] == 1:
            found[index] = where[colour]


def _pair_by_site(
    found: list[int | None],
    first: list[int],
    second: list[int],
    places: tuple[Sequence[Place], Sequence[Place]],
) -> None:
    """Pair layers of one colour in the order of their sites, where no two of them are equal."""
    taken = {partner for partner in found if partner is not None}
    ours, theirs = defaultdict[int, list[int]](list), defaultdict[int, list[int]](list)
    for index, colour in enumerate(first):
        if found[index] is None:
            ours[colour].append(index)
    for index, colour in enumerate(second):
        if index not in taken:
            theirs[colour].append(index)
    for colour, mine in ours.items():
        others = theirs[colour]
        if _by_site(mine, places[0]) and _by_site(others, places[1]) and len(mine) == len(others):
            for index, partner in zip(mine, others, strict=True):
                found[index] = partner


def _by_site(group: list[int], places: Sequence[Place]) -> bool:
    """Sort layers by site; returns whether that is an order."""
    group.sort(key=lambda index: places[index].site)
    return len({places[index].site for index in group}) == len(group)
