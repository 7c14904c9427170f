"""Narrower ranges of activations, where the scores show that clipping costs less than coarse steps.

The error of the tensor itself does not show that: in MobileNetV2 the range that leaves one residual
branch with the least square error makes the scores 12 dB worse. So each activation alone is
quantized with each candidate, and the rest of the float network is run to its outputs, which
``quantize.objective`` compares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from network.affine import params_from_range
from network.graph import Graph
from network.run_litert import Network, network_of, rounding
from network.run_tensorflow import schedule
from quantize.objective import Decisive, squared_error, weights
from quantize.parallel import in_parallel
from quantize.ranges.activations import Range, known_a_priori, tied

SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
"""Shares of the calibrated range to choose from."""

GAIN_DB = 0.2
"""Decibels that a narrower range must gain, since few images judge it."""

CHUNKS = 64
"""Most batches of images: after each, a range that has lost already is given up."""

CERTAIN = 1 + 1e-9
"""Factor beyond which a part of a sum of squares shows that the whole is larger: more than float64
rounds off, in any order of sums."""


def narrowed(
    graph: Graph,
    ranges: Mapping[str, Range],
    images: np.ndarray,
    classifies: Sequence[bool],
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, Range]:
    """Choose a range for every activation that shares its range with no other.

    Args:
        graph: canonical, equalized.
        ranges: ranges measured in calibration, by activation.
        images: float32 ``[images, height, width, 3]``; all activations that live at one time are
            held for them.
        classifies: for each output whether it chooses a class (``quantize.objective``).
        advance: called with 1 after each operator.

    Returns:
        Ranges by activation, none wider than in ``ranges``.
    """
    roots = tied(graph)
    groups = {root: [n for n in roots if roots[n] == root] for root in roots.values()}
    chosen = dict(ranges)
    chunks = [{graph.input: chunk} for chunk in np.array_split(images, min(CHUNKS, len(images)))]
    exact = _outputs(network_of(graph, graph.ops, results=graph.outputs), chunks)
    followed = _Followed.of(graph.outputs, exact, classifies)
    for position, (op, spent) in enumerate(schedule(graph)):
        for values, results in zip(
            chunks, in_parallel(network_of(graph, [op]).run, chunks), strict=True
        ):
            values.update(zip(op.outputs, results, strict=True))
            for name in spent:
                del values[name]
        for name in op.outputs:
            if name not in ranges:
                continue  # it stays in float
            if len(groups[roots[name]]) > 1 or name in graph.outputs:
                continue  # the largest scores are the ones that matter
            if not known_a_priori(op) and name in chunks[0]:
                rest = followed.behind(graph, position)
                candidates = [ranges[name].times(share) for share in SHARES]
                chosen[name] = _choose(graph, rest, chunks, name, candidates)
        advance(1)
    return chosen


@dataclass(frozen=True)
class _Output:
    """An output of the float network that is followed.

    Attributes:
        exact: what counts of it, float64 ``[images, ...]``.
        decisive: takes that from the outputs of a changed network.
        factor: what its squared error counts.
    """

    exact: np.ndarray = field(repr=False)
    decisive: Decisive = field(repr=False)
    factor: float


@dataclass(frozen=True)
class _Followed:
    """Outputs of the float network that are followed, by name."""

    outputs: Mapping[str, _Output]

    @classmethod
    def of(
        cls, names: Sequence[str], exact: list[np.ndarray], classifies: Sequence[bool]
    ) -> _Followed:
        """Outputs ``[images, ...]`` of the float network, whether each chooses a class."""
        takers = [Decisive.of([o], [c]) for o, c in zip(exact, classifies, strict=True)]
        values = [taker([output])[0] for taker, output in zip(takers, exact, strict=True)]
        rows = zip(names, values, takers, weights(values), strict=True)
        return cls({name: _Output(value, taker, factor) for name, value, taker, factor in rows})

    def behind(self, graph: Graph, position: int) -> _Rest:
        """Operators behind the one at a position, and the outputs that they compute."""
        ops = graph.ops[position + 1 :]
        computed = {name for op in ops for name in op.outputs}
        names = [name for name in self.outputs if name in computed]
        network = network_of(graph, ops, results=names)
        return _Rest(network, [self.outputs[name] for name in names])


@dataclass(frozen=True)
class _Rest:
    """Operators behind an activation.

    Attributes:
        network: these operators; its outputs are those of the whole network that they compute.
        outputs: these outputs in the float network.
    """

    network: Network
    outputs: list[_Output]

    def error(self, chunks: Iterable[Mapping[str, np.ndarray]], most: float) -> float:
        """Error of the outputs for these values of the activations that the network reads.

        Infinite as soon as it is certain to exceed ``most``: images add up.
        """
        exact, factors = [o.exact for o in self.outputs], [o.factor for o in self.outputs]
        found: list[list[np.ndarray]] = []
        done, error = 0, 0.0
        for results in in_parallel(self.network.run, chunks):
            part = slice(done, done + len(results[0]))
            pairs = zip(self.outputs, results, strict=True)
            of_chunk = [output.decisive([values], part)[0] for output, values in pairs]
            error += squared_error([wanted[part] for wanted in exact], of_chunk, factors)
            if error > most * CERTAIN:
                return math.inf
            found.append(of_chunk)
            done = part.stop
        joined = [np.concatenate(parts) for parts in zip(*found, strict=True)]
        return squared_error(exact, joined, factors)


def _choose(
    graph: Graph,
    rest: _Rest,
    chunks: list[dict[str, np.ndarray]],
    name: str,
    candidates: list[Range],
) -> Range:
    """Candidate of the least squared error of the outputs; the search ends after two worse ones.

    Args:
        graph: canonical, equalized.
        rest: operators behind the activation.
        chunks: activations of the float network that ``rest`` reads, for each chunk of images.
        name: name of the activation.
        candidates: ranges, the widest first.
    """
    best, least = candidates[0], math.inf
    worse = 0
    for candidate in candidates:
        step = rounding(graph, name, params_from_range(candidate.low, candidate.high))
        rounded = ({**values, name: step.run(values)[0]} for values in chunks)
        needed = 10 ** (-GAIN_DB / 10) if math.isfinite(least) else 1.0
        error = rest.error(rounded, least * needed)
        if error < least * needed:
            best, least, worse = candidate, error, 0
        else:
            worse += 1
            if worse == 2:
                break
    return best


def _outputs(network: Network, chunks: Iterable[Mapping[str, np.ndarray]]) -> list[np.ndarray]:
    """Outputs ``[images, ...]`` of a network, float64."""
    by_chunk = list(in_parallel(network.run, chunks))
    return [np.concatenate(values).astype(np.float64) for values in zip(*by_chunk, strict=True)]
