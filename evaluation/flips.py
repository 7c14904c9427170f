"""Images whose answer changed against the float network, one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from evaluation.scores import Scores

MOST_FLIPS = 40
"""Images that a row keeps: those on which the float network was surest."""


@dataclass(frozen=True)
class Flip:
    """An image to which both networks give different answers.

    Attributes:
        image: its number in the set that was measured.
        name: what the set calls it: a path, or a number.
        label: true class; None without labels.
        before: class that the float network gives.
        after: class that the file gives.
        margin: how far the float network's best score lies above its second, in its own units.
    """

    image: int
    name: str
    label: int | None
    before: int
    after: int
    margin: float

    def to_dict(self, labels: tuple[str, ...] = ()) -> dict[str, Any]:
        """Plain values for JSON; classes by name where ``labels`` has one."""

        def named(number: int) -> str:
            return labels[number] if number < len(labels) else str(number)

        return {
            "image": self.image,
            "name": self.name,
            "label": None if self.label is None else named(self.label),
            "before": named(self.before),
            "after": named(self.after),
            "margin": self.margin,
        }


def flips(
    scores: Scores, describe: Callable[[int], str], most: int = MOST_FLIPS
) -> tuple[Flip, ...]:
    """The changed answers, the widest float margin first: the least to be expected of rounding.

    Args:
        scores: with the float network's.
        describe: image number -> its name.
        most: how many at most.

    Raises:
        InvalidInputError: no reference.
    """
    import numpy as np

    reference, labels = scores.required_reference, scores.labels
    changed = np.flatnonzero(scores.predictions != scores.reference_predictions)
    best = np.sort(reference[changed], axis=1)
    margins = best[:, -1] - best[:, -2]
    order = np.argsort(-margins, kind="stable")[:most]
    return tuple(
        Flip(
            image=int(changed[place]),
            name=describe(int(changed[place])),
            label=None if labels is None else int(labels[changed[place]]),
            before=int(scores.reference_predictions[changed[place]]),
            after=int(scores.predictions[changed[place]]),
            margin=float(margins[place]),
        )
        for place in order
    )
