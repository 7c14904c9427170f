"""Expected flips: how many answers an error of the observed spread changes.

Counted flips are few, and which images they fall on is chance: of two files with equal errors, one
has 12 and the other 20. The errors of all scores near the decision say more. Each image has a
margin of the float network's answer over each rival, and the errors of these margins have a spread;
the chance that such an error crosses the margin, summed over the images, is the number of flips to
expect. It has a fraction of the variance of the count.

Model: the file's margin over a rival is ``g m_j`` plus an error, with the float network's margin
``m_j`` and a gain ``g`` that all scores share, and which alone changes no answer. The error of each
score is normal with a standard deviation ``u`` that is the same for all, and independent (Thurstone
1927, A law of comparative judgment, Psychological Review 34:273-286, case V; what all scores of an
image share cancels). The errors of the margins over two rivals then have the variance ``2 u^2`` and
the covariance ``u^2``, since both hold the error of the best score, and the answer changes with the
chance

    1 - integral of phi(z) prod_j Phi(z + g m_j / u) dz

(Dunnett and Sobel 1955, Biometrika 42:258-260). With one rival it is ``Phi(-g m / s)``, ``s^2 =
2 u^2``; with several far rivals it is the sum of these. An answer of yes or no has one rival, the
other answer: its margin is the distance of the score from the threshold, and ``s`` is ``u``.

Spread: ``s = sqrt(pi / 2)`` times the mean absolute error over the near rivals, which is the
standard deviation of a normal error (Geary 1935, Biometrika 27:310-332). Where margins are evenly
spread near zero, the number of flips depends on the mean absolute error alone, whatever the shape
of the errors. ``g`` is the least-squares fit over the same rivals. A rival is near if its margin is
at most four times the spread of the differences, and the nearest 100 always are: what happens to
far ones does not matter, and is of another size in probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluation.intervals import Interval, paired_mean
from evaluation.metrics import CONFIDENCE

if TYPE_CHECKING:
    import numpy as np

    from evaluation.scores import Scores

METHOD = (
    "Student 1908 (Biometrika 6:1-25) of the influence of each image on the sum and on the spread "
    "(Hampel 1974, JASA 69:383-393)"
)
"""Method of the interval."""

RIVALS = 32
"""Largest number of rivals of an image: the best scores after the float network's answer."""
_REACH = 4.0
"""Largest margin of a near rival in spreads: an error crosses it once in 30,000 times."""
_LEAST = 100
"""Rivals that the spread is estimated from at least: its own error is then 8 percent."""
_FAR = 6.0
"""Margin in spreads from which the chance, 1e-9, is taken for none."""
_NODES = 24
"""Points of the Gauss-Hermite rule, which is exact to 1e-4 with 32 rivals at no margin."""
_ROWS = 4096
_STEP = 0.01


@dataclass(frozen=True, kw_only=True)
class ExpectedFlips:
    """Expected number of images whose answer changes.

    Attributes:
        count: expected number, 0 to ``n``.
        low: lower limit of its interval.
        high: upper limit.
        confidence: confidence level of the interval.
        method: method by which the interval was computed.
        spread: standard deviation of the error of a margin, in the unit of the outputs.
        gain: factor between the margins of the float network and those of the file.
        rivals: number of near rivals that both were estimated from.
        n: number of images.
    """

    count: float
    low: float
    high: float
    confidence: float
    method: str
    spread: float
    gain: float
    rivals: int
    n: int

    @property
    def agreement(self) -> float:
        """Expected percentage of images that keep their answer."""
        return 100 * (1 - self.count / self.n)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "count": self.count,
            "interval": [self.low, self.high],
            "confidence": self.confidence,
            "method": self.method,
            "agreement": self.agreement,
            "spread": self.spread,
            "gain": self.gain,
            "rivals": self.rivals,
        }


def expected_flips(scores: Scores) -> ExpectedFlips:
    """Number of images whose answer an error of the observed spread changes, with its interval.

    Formula and sources: the module's docstring. The interval is that of other images of the same
    kind: an image moves the number by its own chance, and by its share in the spread.

    Args:
        scores: logits or probabilities of both networks, ``[n, classes]``.

    Raises:
        InvalidInputError: no reference.
    """
    return _expected(*_rivals(scores), _chances)


def expected_decision_flips(margins: np.ndarray, errors: np.ndarray) -> ExpectedFlips:
    """Number of images of which an answer of yes or no changes, as ``expected_flips``.

    Args:
        margins: distance of each score of the float network from the threshold, float64 ``[n, k]``.
        errors: error of each score towards the threshold, float64 ``[n, k]``.
    """
    import numpy as np

    order = np.argsort(margins, axis=1, kind="stable")[:, :RIVALS]
    margins = np.take_along_axis(margins, order, axis=1)
    return _expected(margins, np.take_along_axis(errors, order, axis=1), _chances_apart)


def _expected(
    margins: np.ndarray, errors: np.ndarray, chances: Callable[[np.ndarray, float], np.ndarray]
) -> ExpectedFlips:
    """Expected flips.

    Args:
        margins: float64 ``[n, rivals]``, the nearest rival first.
        errors: float64 ``[n, rivals]``; the answer changes where one is larger than its margin.
        chances: margins and spread -> chance that the answer of each image changes, ``[n]``.
    """
    import numpy as np

    near = margins <= _reach(margins, errors)
    energy = float((near * np.square(margins)).sum())
    gain = 1 - float((near * margins * errors).sum()) / energy if energy > 0 else 1.0
    gain = max(gain, 0.0)
    left = errors - (1 - gain) * margins  # error without what the gain explains
    sizes = near * abs(left) * math.sqrt(math.pi / 2)
    spread = float(sizes.sum() / near.sum())
    found = chances(gain * margins, spread)
    # Relative change of the spread and of the gain by each image, [n].
    influence = np.zeros(len(found))
    if spread > 0:
        influence += (sizes - near * spread).sum(axis=1) / (near.sum() * spread)
    if spread > 0 and gain > 0 and energy > 0:
        influence += (near * margins * left).sum(axis=1) / (energy * gain)
    more, less = (chances(gain * margins, spread * (1 + step)).sum() for step in (_STEP, -_STEP))
    interval = _interval(found + float(more - less) / (2 * _STEP) * influence)
    return ExpectedFlips(
        count=float(found.sum()),
        low=interval.low,
        high=interval.high,
        confidence=CONFIDENCE,
        method=METHOD,
        spread=spread,
        gain=gain,
        rivals=int(near.sum()),
        n=len(found),
    )


def _rivals(scores: Scores) -> tuple[np.ndarray, np.ndarray]:
    """Margins of the float network's answer over the next best classes, and their errors.

    Returns:
        float64 ``[n, rivals]`` each, the nearest rival first; the answer changes where an error is
        larger than its margin.
    """
    import numpy as np

    reference, best = scores.required_reference, scores.reference_predictions[:, None]  # [n, 1]
    others = reference.copy()
    np.put_along_axis(others, best, -np.inf, axis=1)
    count = min(RIVALS, others.shape[1] - 1)
    places = np.argpartition(-others, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(others, places, axis=1), axis=1, kind="stable")
    places = np.take_along_axis(places, order, axis=1)

    def leads(values: np.ndarray) -> np.ndarray:
        chosen = np.take_along_axis(values, np.hstack([best, places]), axis=1).astype(np.float64)
        result: np.ndarray = chosen[:, :1] - chosen[:, 1:]
        return result

    margins = leads(reference)
    return margins, margins - leads(scores.outputs)


def _reach(margins: np.ndarray, errors: np.ndarray) -> float:
    """Largest margin of a near rival: four times the spread up to there, or that of the 100th."""
    import numpy as np

    order = np.argsort(margins, axis=None, kind="stable")
    ascending = margins.reshape(-1)[order]
    total = np.cumsum(abs(errors.reshape(-1)[order]))
    spreads = math.sqrt(math.pi / 2) * total / np.arange(1, len(total) + 1)
    within = np.flatnonzero(ascending <= _REACH * spreads)
    last = max(int(within[-1]) if len(within) else 0, min(_LEAST, len(total)) - 1)
    return float(ascending[last])


def _chances(margins: np.ndarray, spread: float) -> np.ndarray:
    """Chance that the answer of each image changes, float64 ``[n]``."""
    import numpy as np
    from scipy.special import log_ndtr

    chances = np.zeros(len(margins))
    if spread == 0:
        return chances
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    weights /= weights.sum()
    for rows, count in _blocks(margins < _FAR * spread):
        scaled = math.sqrt(2) * margins[rows, :count] / spread  # [b, count], in u
        kept = log_ndtr(nodes[:, None] + scaled[:, None, :]).sum(axis=2)  # [b, nodes]
        chances[rows] = 1 - np.exp(kept) @ weights
    return np.clip(chances, 0.0, 1.0)


def _chances_apart(margins: np.ndarray, spread: float) -> np.ndarray:
    """Chance that one answer of each image changes at least, of answers with errors of their own.

    Returns:
        float64 ``[n]``.
    """
    import numpy as np
    from scipy.special import log_ndtr

    if spread == 0:
        return np.zeros(len(margins))
    result: np.ndarray = -np.expm1(log_ndtr(margins / spread).sum(axis=1))
    return result


def _blocks(close: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """Images with a close rival, some thousand at a time, and the largest number of rivals."""
    import numpy as np

    rows = np.flatnonzero(close[:, 0])
    for start in range(0, len(rows), _ROWS):
        block = rows[start : start + _ROWS]
        yield block, int(close[block].sum(axis=1).max())


def _interval(influences: np.ndarray) -> Interval:
    """Interval of the sum of the images' influences, within 0 and their number."""
    n = len(influences)
    if n < 2:
        return Interval(0.0, float(n))
    mean = paired_mean(influences, CONFIDENCE)
    return Interval(max(n * mean.low, 0.0), min(n * mean.high, float(n)))
