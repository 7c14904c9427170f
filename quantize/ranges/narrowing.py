"""Narrower ranges of activations, where the scores show that clipping costs less than coarse steps.

The error of the tensor itself does not show that: in MobileNetV2 the range that leaves one residual
branch with the least square error makes the scores 12 dB worse. So each activation alone is
quantized with each candidate, and the rest of the float network is run to its scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from network.affine import params_from_range
from network.graph import Graph
from network.run_litert import Network, network_of, rounding
from network.run_tensorflow import schedule
from quantize.parallel import in_parallel
from quantize.ranges.activations import Range, known_a_priori, tied

SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
"""Shares of the calibrated range to choose from."""

GAIN_DB = 0.2
"""Decibels that a narrower range must gain, since few images judge it."""

CHUNK = 4
"""Images per batch, each of which takes one core."""


def narrowed(
    graph: Graph,
    ranges: Mapping[str, Range],
    images: np.ndarray,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, Range]:
    """Choose a range for every activation that shares its range with no other.

    Args:
        graph: canonical, equalized.
        ranges: ranges measured in calibration, by activation.
        images: float32 ``[images, height, width, 3]``; all activations that live at one time are
            held for them.
        advance: called with 1 after each operator.

    Returns:
        Ranges by activation, none wider than in ``ranges``.
    """
    roots = tied(graph)
    groups = {root: [n for n in roots if roots[n] == root] for root in roots.values()}
    chosen = dict(ranges)
    chunks = [{graph.input: chunk} for chunk in np.array_split(images, -(-len(images) // CHUNK))]
    exact = _scores(network_of(graph, graph.ops), chunks)
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
            if len(groups[roots[name]]) > 1 or name == graph.output:
                continue  # the largest scores are the ones that matter
            if not known_a_priori(op) and name in chunks[0]:
                rest = network_of(graph, graph.ops[position + 1 :])
                candidates = [ranges[name].times(share) for share in SHARES]
                chosen[name] = _choose(graph, rest, chunks, name, candidates, exact)
        advance(1)
    return chosen


def _choose(
    graph: Graph,
    rest: Network,
    chunks: list[dict[str, np.ndarray]],
    name: str,
    candidates: list[Range],
    exact: np.ndarray,
) -> Range:
    """Candidate of the least squared error of the scores; the search ends after two worse ones.

    Args:
        graph: canonical, equalized.
        rest: operators behind the activation.
        chunks: activations of the float network that ``rest`` reads, for each chunk of images.
        name: name of the activation.
        candidates: ranges, the widest first.
        exact: scores of the float network.
    """
    best, least = candidates[0], np.inf
    worse = 0
    for candidate in candidates:
        step = rounding(graph, name, params_from_range(candidate.low, candidate.high))
        rounded = ({**values, name: step.run(values)[0]} for values in chunks)
        error = float(np.square(_scores(rest, rounded) - exact).sum())
        needed = 10 ** (-GAIN_DB / 10) if np.isfinite(least) else 1.0
        if error < least * needed:
            best, least, worse = candidate, error, 0
        else:
            worse += 1
            if worse == 2:
                break
    return best


def _scores(network: Network, chunks: Iterable[Mapping[str, np.ndarray]]) -> np.ndarray:
    """Scores ``[images, classes]`` of a network that ends in them, float64."""
    chunk_scores = [scores for (scores,) in in_parallel(network.run, chunks)]
    return np.concatenate(chunk_scores).astype(np.float64)
