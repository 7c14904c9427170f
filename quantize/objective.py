"""What the engine follows when it compares a changed network with the float one: its outputs.

Of an output that chooses a class the scores that decide are followed, each image's best ones, less
their mean: what they share changes no answer. The hundreds of scores below them hold most of the
squared error, and say little of the errors of margins: on MobileNetV2 narrower ranges that gained
1.2 dB by all scores changed as many answers as the wider ones. Any other output counts as it is.

A single output counts by its squared error. Of several, each counts by its noise relative to its
own energy, so that boxes in pixels do not drown probabilities:

    noise = mean over outputs of  sum (changed - float)^2 / sum float^2
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from calibration_data.preprocessing import Preprocessing
from calibration_data.task import Task
from network.graph import Graph

DECISIVE = 10
"""Best scores of an image that are followed. The errors of near margins on 837 photos were those of
the scores of rank 2 to 10; the best score's own is twice as large where it is far ahead."""


def classified(graph: Graph, contract: Preprocessing | None) -> tuple[bool, ...]:
    """For each output, whether it chooses a class: ``[batch, classes]``, and no other task stated.

    Args:
        graph: canonical.
        contract: preprocessing contract of the network; None when unknown.
    """
    return tuple(
        len(shape := graph.tensors[name].shape) == 2
        and shape[1] > 1
        and (contract is None or contract.tasks.of(name).known is Task.CLASSIFICATION)
        for name in graph.outputs
    )


@dataclass(frozen=True)
class Decisive:
    """What is followed of the outputs for some images.

    Attributes:
        places: for each output the places of the scores that decide, int64 ``[images, DECISIVE]``
            at most; None where every number is followed.
    """

    places: tuple[np.ndarray | None, ...] = field(repr=False)

    @classmethod
    def of(cls, exact: Sequence[np.ndarray], classifies: Sequence[bool]) -> Decisive:
        """Choose the scores.

        Args:
            exact: outputs of the float network, ``[images, ...]`` each.
            classifies: for each, whether it chooses a class (``classified``).
        """
        pairs = zip(exact, classifies, strict=True)
        return cls(tuple(_best(output) if chooses else None for output, chooses in pairs))

    def __call__(
        self, outputs: Sequence[np.ndarray], part: slice = slice(None)
    ) -> list[np.ndarray]:
        """Numbers that are followed, float64: scores less their mean, or the output.

        Args:
            outputs: outputs of a network for the images, or for a part of them.
            part: the images of that part.
        """
        values = (np.asarray(output, np.float64) for output in outputs)
        return [
            output if places is None else _centred(np.take_along_axis(output, places[part], axis=1))
            for output, places in zip(values, self.places, strict=True)
        ]


def _best(scores: np.ndarray) -> np.ndarray:
    """Places of the best scores of each image, in the order of the classes where they are equal."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :DECISIVE]


def _centred(scores: np.ndarray) -> np.ndarray:
    return np.asarray(scores - scores.mean(axis=1, keepdims=True))


def energy(values: np.ndarray) -> float:
    """Sum of the squares of float numbers, in float64."""
    return float(np.square(values.astype(np.float64)).sum())


def weights(exact: Sequence[np.ndarray]) -> tuple[float, ...]:
    """What the squared error of each output is multiplied by: 1 for one, else 1 / energy.

    Args:
        exact: what is followed of the float network on the images to judge on.
    """
    if len(exact) == 1:
        return (1.0,)
    return tuple(1.0 / (energy(output) or 1.0) for output in exact)


def squared_error(
    exact: Sequence[np.ndarray], found: Sequence[np.ndarray], factors: Sequence[float]
) -> float:
    """Sum over the outputs of the squared error times ``weights``; float64 arrays."""
    return sum(
        factor * float(np.square(output - wanted).sum())
        for wanted, output, factor in zip(exact, found, factors, strict=True)
    )


def mean_deviation(
    exact: Sequence[np.ndarray], found: Sequence[np.ndarray], factors: Sequence[float]
) -> float:
    """Mean over the images of the root of each image's ``squared_error``.

    The chance that an error reverses the order of two scores grows with the error itself, and few
    images of large errors decide less than in a sum of squares.

    Args:
        exact: float64 ``[images, ...]`` of each output.
        found: the same of a changed network.
        factors: ``weights`` of the outputs.
    """
    by_output = [
        factor * np.square(output - wanted).reshape(len(wanted), -1).sum(axis=1)
        for wanted, output, factor in zip(exact, found, factors, strict=True)
    ]
    return float(np.sqrt(np.sum(by_output, axis=0)).mean())


def mean_noise(signal: Sequence[float], noise: Sequence[float]) -> float:
    """Mean over the outputs of the energy of the change as a share of the output's energy."""
    tiny = float(np.finfo(np.float64).tiny)
    shares = [n / max(s, tiny) for s, n in zip(signal, noise, strict=True)]
    return sum(shares) / len(shares)


def decided(shapes: Sequence[tuple[int, ...]]) -> int | None:
    """Number of the first output with a choice of classes, ``[batch, classes]``; None without."""
    return next(
        (i for i, shape in enumerate(shapes) if len(shape) == 2 and shape[1] > 1),
        None,
    )
