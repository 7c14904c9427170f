"""Images on which a file and the float network give different answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from evaluation.scores import Scores

MOST_FLIPS = 40
"""Largest number of flips in a result: those with the widest margin of the float network."""


class Changed(Protocol):
    """An image whose answer changed."""

    def to_dict(self, labels: tuple[str, ...] = ()) -> dict[str, Any]:
        """Plain values for JSON; classes by name where ``labels`` has one."""
        ...


@dataclass(frozen=True)
class Flip:
    """An image on which the two networks give different answers.

    Attributes:
        image: index of the image in the measured set.
        name: name of the image in the set: a path, or a number.
        label: true class; None without labels.
        before: class that the float network predicts.
        after: class that the file predicts.
        margin: difference of the float network's best and second score, in units of its outputs;
            of an answer of yes or no, the distance of its score from the threshold.
        place: label that the answer is about, of several with answers of their own; None where an
            image has one answer.
        decides: whether ``label``, ``before`` and ``after`` are 0 for no and 1 for yes.
    """

    image: int
    name: str
    label: int | None
    before: int
    after: int
    margin: float
    place: int | None = None
    decides: bool = False

    def to_dict(self, labels: tuple[str, ...] = ()) -> dict[str, Any]:
        """Plain values for JSON; classes by name where ``labels`` has one."""

        def named(number: int) -> str:
            if self.decides and (self.place is not None or len(labels) != 2):
                word = ("no", "yes")[number]
                of = self.place if self.place is not None else 0
                about = labels[of] if of < len(labels) else ""
                about = about or ("" if self.place is None else f"label {self.place}")
                return f"{about}: {word}" if about else word
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
    """Changed answers, widest margin of the float network first: rounding explains these least.

    Args:
        scores: outputs of both networks.
        describe: index of an image -> its name.
        most: largest number of flips.

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
