"""How many images stand at each operator while layers are rounded.

The first layers of a network have the largest activations and the fewest weights: they are rounded
on a part of the images. Where activations become smaller, more images are run up to there through
the layers that are decided. Each image passes each operator once, and later layers are rounded on
all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from network.graph import Graph
from network.run_tensorflow import schedule

MEMORY_BYTES = 2 * 1024**3
"""Most memory for the activations of the images that stand at an operator."""

MODEST_BYTES = 256 * 1024**2
"""Memory that they take where it holds ENOUGH_IMAGES or more."""

ENOUGH_IMAGES = 40
"""Images that a layer is rounded on, if there are so many, as far as MEMORY_BYTES permits."""

BYTES_PER_VALUE = 5
"""Bytes of an activation's value: float32 in the float network, int8 in the quantized one."""

Item = TypeVar("Item")


def admitted(graph: Graph) -> tuple[int, ...]:
    """Largest number of images at each operator up to the last that has weights, never falling.

    Two at least: they are divided in halves.
    """
    places = list(_bytes_per_image(graph))
    found: list[int] = []
    for size in reversed(places):
        most = max(2, MODEST_BYTES // size, min(ENOUGH_IMAGES, MEMORY_BYTES // size))
        found.append(min(most, found[-1]) if found else most)
    return tuple(reversed(found))


def _bytes_per_image(graph: Graph) -> Iterator[int]:
    """Bytes of one image's activations in both networks, at each operator up to the last weight."""
    weighted = [number for number, op in enumerate(graph.ops) if op.is_weighted]
    sizes = {name: int(np.prod(graph.tensors[name].shape)) for name in graph.activations}
    held = {graph.input: sizes[graph.input]}
    for number, (op, spent) in enumerate(schedule(graph)):
        if not weighted or number > weighted[-1]:
            return
        held |= {name: sizes.get(name, 0) for name in op.outputs}
        yield BYTES_PER_VALUE * max(sum(held.values()), 1)
        for name in spent:
            held.pop(name, None)


def spread_pairs(items: Sequence[Item]) -> list[Item]:
    """Items two by two, in an order of which any first part is evenly spread over all.

    Those with even and odd numbers still take turns. An odd one at the end stays there. Pairs come
    in the order of van der Corput's sequence: 0, 1/2, 1/4, 3/4, 1/8, ...
    """
    count = len(items) // 2
    bits = max(count - 1, 0).bit_length()
    turned = (int(f"{number:0{bits}b}"[::-1], 2) for number in range(1 << bits))
    pairs = [items[2 * n : 2 * n + 2] for n in turned if n < count]
    return [item for pair in (*pairs, items[2 * count :]) for item in pair]
