"""Choice of the operators that leave int8: the fewest that remove most noise.

Errors of single layers are small and nearly independent, so their noise adds up. The weights of an
operator in float32 add none; an activation adds none when its producer and all its readers are in
float32, for then nothing rounds it. In int16x8 the noise of weights remains, and that of such an
activation is negligible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from network.graph import Graph
from quantize.sensitivity.ranking import Sensitivity


@dataclass(frozen=True)
class Noise:
    """Noise that weights and activations in integers add to the scores, as a share of their power.

    Attributes:
        weights: noise of each operator's weights, by its name.
        activations: noise of all results of an operator together, by its name; that of the image by
            its name.
    """

    weights: Mapping[str, float]
    activations: Mapping[str, float]

    @classmethod
    def of(cls, ranking: Sensitivity) -> Noise:
        """Noise of a measured ranking."""
        return cls(
            {row.name: row.weights.noise for row in ranking.layers if row.weights},
            {row.name: row.activations.noise for row in ranking.layers if row.activations},
        )

    def of_activations(self) -> Noise:
        """Noise that int16 activations can remove: all but that of the weights."""
        return Noise({}, self.activations)

    def left(self, graph: Graph, floats: frozenset[str]) -> float:
        """Noise of a network whose operators ``floats`` are in float32."""
        total = sum(noise for name, noise in self.weights.items() if name not in floats)
        for name, noise in self.activations.items():
            if not _around(graph, name) <= floats:
                total += noise
        return total


def _around(graph: Graph, name: str) -> frozenset[str]:
    """Operators that must be in float32 so that a result is; the ends always stay in integers."""
    op = graph.producers.get(name)
    results = (name,) if op is None else op.outputs
    if {graph.input, *graph.outputs}.intersection(results):
        return frozenset({name, ""})  # no operator has an empty name
    readers = {reader.name for result in results for reader in graph.readers[result]}
    return frozenset({name} | readers)


def growing(
    graph: Graph, noise: Noise, first: frozenset[str], able: frozenset[str] | None = None
) -> Iterator[frozenset[str]]:
    """Growing sets of operators out of int8; each step removes the most noise per operator.

    Args:
        graph: canonical.
        noise: measured noise.
        first: operators in every set; this set itself is not yielded.
        able: operators that can leave int8; None for all.

    Yields:
        Sets, until no further operator removes noise.
    """
    candidates = [frozenset({name}) for name in noise.weights]
    candidates += [around for n in noise.activations if "" not in (around := _around(graph, n))]
    if able is not None:
        candidates = [candidate for candidate in candidates if candidate <= able | first]
    floats = first
    while True:
        now = noise.left(graph, floats)
        best, most = frozenset[str](), 0.0
        for candidate in candidates:
            added = candidate - floats
            if added and (gain := (now - noise.left(graph, floats | added)) / len(added)) > most:
                best, most = added, gain
        if not best:
            return
        floats |= best
        yield floats
