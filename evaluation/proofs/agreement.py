"""Outputs of a runtime compared with test vectors, by what they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from export.bundles.target import Vectors, largest_allowed

if TYPE_CHECKING:
    import numpy as np

TOLERANCE = 0.01
"""Difference within which two detections are one: of probabilities, and of edges relative to the
input."""
MOST_PIXELS = 1.0
"""Largest percentage of a mask's pixels that may have another class on another processor."""


@dataclass(frozen=True)
class Agreement:
    """Result of a comparison.

    Attributes:
        what: what is compared, for a sentence.
        same: whether the answer is the expected one, by image.
        largest: largest difference of all images.
        unit: unit of the difference, for a sentence.
    """

    what: str
    same: tuple[bool, ...]
    largest: float
    unit: str

    @property
    def holds(self) -> bool:
        """Whether every image has the expected answer."""
        return all(self.same)

    @property
    def first_wrong(self) -> int:
        """Number of the first image with another answer."""
        return self.same.index(False)

    @property
    def within(self) -> str:
        """Largest difference for a sentence, such as ``within 3 steps``."""
        return f"within {self.largest:.3g} {self.unit}"


def agreement(vectors: Vectors, outputs: np.ndarray) -> Agreement:
    """Compare outputs with those that the vectors expect.

    Args:
        vectors: expected outputs.
        outputs: ``[n, numbers]`` in the type of the expected ones.
    """
    import numpy as np

    if vectors.detections:
        return compared_detections(vectors, [found_in(row, vectors.detections) for row in outputs])
    if vectors.masks:
        shares = 100 * (outputs != vectors.outputs).mean(axis=1)
        return Agreement("masks", tuple(shares <= MOST_PIXELS), float(shares.max()), "% of pixels")
    differences = np.abs(outputs.astype(np.float64) - vectors.outputs.astype(np.float64))
    unit = "steps" if outputs.dtype.kind in "iu" else "in score"
    fits = differences.max(axis=1) <= largest_allowed(vectors.outputs)
    labels = vectors.same_labels(outputs)
    same = tuple(bool(a and b) for a, b in zip(fits, labels, strict=True))
    what = "labels" if vectors.classes else "outputs"
    return Agreement(what, same, float(differences.max()), unit)


@dataclass(frozen=True, eq=False)
class Found:
    """Detections of one image.

    Attributes:
        edges: top, left, bottom, right relative to the input, ``[n, 4]``; or four other numbers
            of the place.
        classes: numbers of the classes, ``[n]``.
        scores: probabilities, ``[n]``.
    """

    edges: np.ndarray
    classes: np.ndarray
    scores: np.ndarray


def found_in(row: np.ndarray, most: int) -> Found:
    """Detections in the outputs of a file that suppresses boxes itself.

    Args:
        row: numbers of the outputs ``DETECTIONS``, one after the other.
        most: largest number of detections.
    """
    count = int(row[-1])
    boxes, classes, scores = row[: 4 * most], row[4 * most : 5 * most], row[5 * most : 6 * most]
    return Found(boxes.reshape(most, 4)[:count], classes[:count], scores[:count])


def compared_detections(
    vectors: Vectors,
    found: list[Found],
    *,
    shown: Callable[[np.ndarray], np.ndarray] = lambda edges: edges,
    tolerance: float = TOLERANCE,
) -> Agreement:
    """Compare detections with those that the vectors expect, whatever their order.

    Args:
        vectors: expected outputs, which are ``DETECTIONS``.
        found: detections of each image.
        shown: expected edges -> places as the runtime gives them.
        tolerance: largest difference of two places, in the runtime's unit.
    """
    same, largest = [], 0.0
    for row, other in zip(vectors.outputs, found, strict=True):
        expected = found_in(row, vectors.detections)
        expected = Found(shown(expected.edges), expected.classes, expected.scores)
        difference = _paired(expected, other, tolerance)
        same.append(difference is not None)
        largest = max(largest, difference or 0.0)
    return Agreement("detections", tuple(same), largest, "in scores")


def _paired(expected: Found, other: Found, tolerance: float) -> float | None:
    """Largest difference of the scores of pairs; None where a detection is without one."""
    import numpy as np

    if len(expected.scores) != len(other.scores):
        return None
    free, largest = np.ones(len(other.scores), bool), 0.0
    for edges, label, score in zip(expected.edges, expected.classes, expected.scores, strict=True):
        apart = np.abs(other.edges - edges).max(axis=1) if len(other.edges) else np.zeros(0)
        scores = np.abs(other.scores - score)
        fits = free & (other.classes == label) & (apart <= tolerance) & (scores <= TOLERANCE)
        if not fits.any():
            return None
        best = int(np.where(fits, scores, np.inf).argmin())
        free[best] = False
        largest = max(largest, float(scores[best]))
    return largest
