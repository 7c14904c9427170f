"""Answers of yes or no at a threshold, and what is counted of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluation.bootstrap import bootstrap_drop
from evaluation.expected_flips import ExpectedFlips, expected_decision_flips
from evaluation.flips import Flip
from evaluation.intervals import METHOD, PairedCounts, mcnemar_p, paired_difference
from evaluation.metrics import CONFIDENCE, AccuracyDrop, Drop
from evaluation.scores import Outputs

if TYPE_CHECKING:
    import numpy as np

    from evaluation.bootstrap import Statistic


def cut(outputs: Outputs) -> float:
    """Threshold in the unit of the outputs: of probabilities or of logits.

    Outputs are probabilities if all of those of the float network lie between 0 and 1; otherwise
    they are logits, whose threshold is ``ln(t / (1 - t))``. Without a float network, the outputs
    themselves decide.
    """
    known = outputs.outputs if outputs.reference is None else outputs.reference
    threshold = outputs.threshold
    if known.min() >= 0 and known.max() <= 1:
        return threshold
    return math.log(threshold / (1 - threshold))


def answers(outputs: Outputs) -> np.ndarray:
    """Whether each score says yes, bool ``[n, k]``."""
    said: np.ndarray = outputs.rows >= cut(outputs)
    return said


def reference_answers(outputs: Outputs) -> np.ndarray:
    """Whether each score of the float network says yes, bool ``[n, k]``."""
    said: np.ndarray = outputs.reference_rows >= cut(outputs)
    return said


@dataclass(frozen=True, eq=False)
class Counted:
    """Answers beside the truth.

    Attributes:
        said: answers, bool ``[n, k]``.
        true: true answers, bool ``[n, k]``.
    """

    said: np.ndarray
    true: np.ndarray

    def f1(self, weights: np.ndarray) -> np.ndarray:
        """F1 of each label in percent, ``[r, k]``; NaN for a label that nobody says nor is.

        ``100 * 2 TP / (2 TP + FP + FN)``, the harmonic mean of precision and recall. Source: van
        Rijsbergen 1979, Information Retrieval, chapter 7.

        Args:
            weights: number of times that each image counts, ``[r, n]``.
        """
        import numpy as np

        hits = weights @ (self.said & self.true).astype(np.float64)  # [r, k]
        errors = weights @ (self.said ^ self.true).astype(np.float64)
        return _ratio(200 * hits, 2 * hits + errors)

    def pooled_f1(self, weights: np.ndarray) -> np.ndarray:
        """F1 of all labels together in percent, ``[r]``: counts are summed before the ratio."""
        import numpy as np

        hits = weights @ (self.said & self.true).sum(axis=1).astype(np.float64)  # [r]
        errors = weights @ (self.said ^ self.true).sum(axis=1).astype(np.float64)
        return _ratio(200 * hits, 2 * hits + errors)


def counted(outputs: Outputs) -> Counted:
    """Answers of the network beside the targets."""
    return Counted(answers(outputs), outputs.required_targets.reshape(len(outputs.outputs), -1) > 0)


def drop_of(
    outputs: Outputs, statistic: Callable[[Outputs], Statistic], *, rises: bool = False
) -> Drop:
    """Loss of a statistic with its bootstrap interval.

    Args:
        outputs: outputs with targets and a reference.
        statistic: outputs -> weights ``[r, n]`` -> statistic ``[r]``; used on both networks.
        rises: whether more of the statistic is worse.
    """
    n, width = outputs.rows.shape
    before, after = statistic(outputs.before), statistic(outputs)
    return bootstrap_drop(before, after, n, width=width, rises=rises)


def right_answers_drop(before: np.ndarray, after: np.ndarray, changed: int) -> AccuracyDrop:
    """Loss of the share of right answers, with Newcombe's interval and McNemar's test.

    Args:
        before: whether the float network is right on each image, bool ``[n]``.
        after: whether the file is.
        changed: number of images with different answers.
    """
    counts = PairedCounts(
        both=int((before & after).sum()),
        first_only=int((before & ~after).sum()),
        second_only=int((~before & after).sum()),
        neither=int((~before & ~after).sum()),
    )
    interval = paired_difference(counts, CONFIDENCE)
    return AccuracyDrop(
        points=100 * (counts.first_only - counts.second_only) / counts.n,
        low=100 * interval.low,
        high=100 * interval.high,
        confidence=CONFIDENCE,
        method=METHOD,
        right_to_wrong=counts.first_only,
        wrong_to_right=counts.second_only,
        wrong_to_other_wrong=changed - counts.first_only - counts.second_only,
        changed=changed,
        p_value=mcnemar_p(counts.first_only, counts.second_only),
        n=counts.n,
    )


def decision_flips(outputs: Outputs, describe: Callable[[int], str], most: int) -> tuple[Flip, ...]:
    """Changed answers, those that the float network was surest of first.

    Args:
        outputs: outputs with a reference.
        describe: index of an image -> its name.
        most: largest number of flips.
    """
    import numpy as np

    after, before = answers(outputs), reference_answers(outputs)
    images, places = np.nonzero(after != before)
    margins = np.abs(outputs.reference_rows - cut(outputs))[images, places]
    targets = outputs.targets
    true = None if targets is None else targets.reshape(len(targets), -1)
    several = outputs.rows.shape[1] > 1
    return tuple(
        Flip(
            image=int(images[i]),
            name=describe(int(images[i])),
            label=None if true is None else int(true[images[i], places[i]]),
            before=int(before[images[i], places[i]]),
            after=int(after[images[i], places[i]]),
            margin=float(margins[i]),
            place=int(places[i]) if several else None,
            decides=True,
        )
        for i in np.argsort(-margins, kind="stable")[:most]
    )


def decision_changes(outputs: Outputs) -> ExpectedFlips:
    """Expected number of images with another answer; see ``evaluation.expected_flips``.

    Args:
        outputs: outputs with a reference.
    """
    import numpy as np

    before = outputs.reference_rows.astype(np.float64) - cut(outputs)
    grown = outputs.rows.astype(np.float64) - outputs.reference_rows
    return expected_decision_flips(abs(before), np.where(before < 0, grown, -grown))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    import numpy as np

    result = np.full(np.shape(above), np.nan)
    np.divide(above, below, out=result, where=np.asarray(below) > 0)
    return result
