"""Metrics of the order of scores, without a threshold, of many resamples at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, eq=False)
class Ranked:
    """Scores of one label beside the truth.

    Attributes:
        scores: ``[n]``.
        true: whether the label is true, bool ``[n]``.
    """

    scores: np.ndarray
    true: np.ndarray

    def roc_auc(self, weights: np.ndarray) -> np.ndarray:
        """Area under the receiver operating characteristic, ``[r]``; NaN without both answers.

        Share of pairs of a true and a false image that are in the right order, where an equal score
        counts one half: the statistic U of Mann and Whitney over the number of pairs. Source:
        Hanley and McNeil 1982, Radiology 143:29-36.

        Args:
            weights: number of times that each image counts, ``[r, n]``.
        """
        yes, no = self._grouped(weights)  # [r, groups], best score first
        below = no[:, ::-1].cumsum(axis=1)[:, ::-1] - no  # no's with a lower score
        pairs = yes.sum(axis=1) * no.sum(axis=1)
        return _ratio((yes * (below + no / 2)).sum(axis=1), pairs)

    def average_precision(self, weights: np.ndarray) -> np.ndarray:
        """Average precision, ``[r]``; NaN without a true image.

        ``sum_k (R_k - R_{k-1}) P_k`` over the different scores from the best one down, with
        precision ``P_k`` and recall ``R_k`` of the images that score at least as much; no
        interpolation. Source: Zhu 2004, Recall, Precision and Average Precision, University of
        Waterloo; it is scikit-learn's ``average_precision_score``.

        Args:
            weights: number of times that each image counts, ``[r, n]``.
        """
        yes, no = self._grouped(weights)
        hits = yes.cumsum(axis=1)
        said = hits + no.cumsum(axis=1)
        precision = _filled(_ratio(hits, said))
        return _ratio((yes * precision).sum(axis=1), yes.sum(axis=1))

    @cached_property
    def _order(self) -> tuple[np.ndarray, np.ndarray]:
        """Images from the best score down, and where each group of equal scores starts."""
        import numpy as np

        order = np.argsort(-self.scores, kind="stable")
        ordered = self.scores[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        return order, starts

    def _grouped(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weight of the true and of the false images in each group of equal scores."""
        import numpy as np

        order, starts = self._order
        true = self.true[order]
        ordered = weights[:, order]
        yes = np.add.reduceat(ordered * true, starts, axis=1)
        return yes, np.add.reduceat(ordered * ~true, starts, axis=1)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    import numpy as np

    result = np.full(np.shape(above), np.nan)
    np.divide(above, below, out=result, where=below > 0)
    return result


def _filled(values: np.ndarray) -> np.ndarray:
    """Values where NaN, of a group that a resample does not have, is 0: its weight is 0 too."""
    import numpy as np

    return np.where(np.isnan(values), 0.0, values)
