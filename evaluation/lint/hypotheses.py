"""Ways in which pixels may have become the numbers that a network was trained on.

A foreign file does not say. Each way is tried on the same labelled images, and the accuracies
tell which one the file wants.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from calibration_data.preprocessing import ChannelOrder, Preprocessing
from evaluation.intervals import Interval, PairedCounts, paired_difference
from foundation.errors import InvalidInputError

Predict = Callable[[np.ndarray], np.ndarray]

CONFIDENCE = 0.9999
"""Of an interval that decides: some two dozen comparisons are made on one set of images."""
MARGIN = 0.03
"""Least lead, as a share of the images, that is worth a finding."""
SHIFTS = (0, 1, -1)
"""By how many places the outputs may be counted off the labels."""
_BATCH = 32


class Kind(StrEnum):
    """What a scaling says of a file that wants it in place of the stated one."""

    STATED = "stated"
    RANGE = "range"
    """Another range or another mean and standard deviation."""
    PIXELS = "pixels"
    """Pixels as they are: the file normalizes by itself."""
    UNDONE = "undone"
    """Numbers that a second normalization inside the file would bring back."""


@dataclass(frozen=True)
class Hypothesis:
    """One way from pixels to the tensor.

    Attributes:
        name: as it reads in a sentence.
        kind: see Kind.
        contract: size, order of channels, mean and std to use.
    """

    name: str
    kind: Kind
    contract: Preprocessing

    def swapped(self) -> Hypothesis:
        """The same numbers with the other order of the colour channels; mean and std follow."""
        own = self.contract
        other = ChannelOrder.RGB if own.channels is ChannelOrder.BGR else ChannelOrder.BGR
        mean, std = own.mean, own.std
        contract = replace(
            own,
            channels=other,
            mean=(mean[2], mean[1], mean[0]),
            std=(std[2], std[1], std[0]),
        )
        return replace(self, contract=contract)


@dataclass(frozen=True)
class _Scaling:
    """Mean and standard deviation of pixels 0..255, in RGB order."""

    name: str
    kind: Kind
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


_SCALINGS = (
    _Scaling("[-1, 1]", Kind.RANGE, (127.5,) * 3, (127.5,) * 3),
    _Scaling("[0, 1]", Kind.RANGE, (0.0,) * 3, (255.0,) * 3),
    # https://docs.pytorch.org/vision/stable/models.html, of pixels 0..1.
    _Scaling(
        "ImageNet's mean and standard deviation",
        Kind.RANGE,
        (123.675, 116.28, 103.53),
        (58.395, 57.12, 57.375),
    ),
    # keras.applications.imagenet_utils.preprocess_input, mode "caffe".
    _Scaling("ImageNet's mean alone", Kind.RANGE, (123.68, 116.779, 103.939), (1.0,) * 3),
    _Scaling("[-128, 127]", Kind.RANGE, (128.0,) * 3, (1.0,) * 3),
    _Scaling("pixels 0..255", Kind.PIXELS, (0.0,) * 3, (1.0,) * 3),
    # 127.5 (p + 1) and 255 p: what x / 127.5 - 1 and x / 255 turn into pixels again.
    _Scaling("127.5 (pixel + 1)", Kind.UNDONE, (-1.0,) * 3, (1 / 127.5,) * 3),
    _Scaling("255 times the pixel", Kind.UNDONE, (0.0,) * 3, (1 / 255,) * 3),
)


def hypotheses(stated: Preprocessing) -> tuple[Hypothesis, ...]:
    """The stated contract first, then every other scaling in its order of channels."""
    flipped = stated.channels is ChannelOrder.BGR
    rows = [Hypothesis("the stated mean and std", Kind.STATED, stated)]
    for scaling in _SCALINGS:
        mean, std = scaling.mean, scaling.std
        if flipped:
            mean, std = (mean[2], mean[1], mean[0]), (std[2], std[1], std[0])
        contract = replace(stated, mean=mean, std=std)
        if (mean, std) != (stated.mean, stated.std):
            rows.append(Hypothesis(scaling.name, scaling.kind, contract))
    return tuple(rows)


@dataclass(frozen=True, eq=False)
class Trial:
    """What the network said under one hypothesis.

    Attributes:
        hypothesis: how pixels became tensors.
        outputs: float32 ``[n, classes]``.
        labels: int64 ``[n]``; None for images without labels, of which none counts as right.
    """

    hypothesis: Hypothesis
    outputs: np.ndarray
    labels: np.ndarray | None

    @property
    def finite(self) -> bool:
        """Whether all outputs are numbers."""
        return bool(np.isfinite(self.outputs).all())

    def right(self, shift: int | None = None) -> np.ndarray:
        """Which images are answered by ``label + shift``, modulo the outputs: bool ``[n]``.

        Without a shift, the one of SHIFTS that makes most images right: a label list that is off
        by one must not hide which scaling the network wants. A scaling that gives NaN or infinity
        for any image is right on none: the network was not trained on it.
        """
        if self.labels is None or not self.finite:
            return np.zeros(len(self.outputs), bool)
        if shift is None:
            shift = max(SHIFTS, key=lambda s: int(self.right(s).sum()))
        classes = self.outputs.shape[1]
        result: np.ndarray = self.outputs.argmax(axis=1) == (self.labels + shift) % classes
        return result

    def accuracy(self, shift: int | None = None) -> float:
        """Percent of the images."""
        return 100 * float(self.right(shift).mean())


@dataclass(frozen=True)
class Evidence:
    """The network's answers to the same images under every hypothesis.

    Attributes:
        trials: stated scaling first, all with the stated order of channels; the stated one alone
            where there are no labels to compare by.
        swapped: the best of them with the other order; the stated one without labels.
    """

    trials: tuple[Trial, ...]
    swapped: Trial

    @property
    def stated(self) -> Trial:
        """As the contract says."""
        return self.trials[0]

    @property
    def best(self) -> Trial:
        """The scaling that clearly beats the stated one; the stated one where none does."""
        leader = max(self.trials, key=lambda trial: trial.accuracy())
        return leader if leads(leader.right(), self.stated.right()) else self.stated

    @property
    def answers(self) -> Trial:
        """The best scaling, and the best order of channels for it."""
        best = self.best
        return self.swapped if leads(self.swapped.right(), best.right()) else best


def gather(
    predict: Predict, pixels: np.ndarray, labels: np.ndarray | None, stated: Preprocessing
) -> Evidence:
    """Run every hypothesis, in batches of 32; without labels the stated one alone.

    Args:
        predict: float32 ``[b, height, width, 3]`` -> float32 ``[b, classes]``.
        pixels: uint8 ``[n, height, width, 3]``, RGB, resized and cropped.
        labels: int64 ``[n]``; None for images without labels.
        stated: contract of the file.

    Raises:
        InvalidInputError: NaN or infinity in the outputs, under the stated contract and under
            the one that the network does best with.
    """
    if labels is None:
        trial = _tried(predict, pixels, None, hypotheses(stated)[0])
        evidence = Evidence((trial,), trial)
    else:
        trials = tuple(_tried(predict, pixels, labels, h) for h in hypotheses(stated))
        best = Evidence(trials, trials[0]).best
        swapped = _tried(predict, pixels, labels, best.hypothesis.swapped())
        evidence = Evidence(trials, swapped)
    if not evidence.answers.finite:
        broken = ~np.isfinite(evidence.answers.outputs).all(axis=1)
        raise InvalidInputError(
            "a network gives finite scores",
            received=f"NaN or infinity on {int(broken.sum())} of {len(pixels)} images",
            remedy="check the weights, and the range of float16 activations",
        )
    return evidence


def leads(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether the first is right on more of the same images, by more than chance and MARGIN."""
    difference = lead(first, second)
    return difference.low > 0 and float(first.mean() - second.mean()) >= MARGIN


def lead(first: np.ndarray, second: np.ndarray) -> Interval:
    """Paired difference of two shares of right answers; see ``paired_difference``.

    Args:
        first: bool ``[n]``.
        second: bool ``[n]``, of the same images.
    """
    counts = PairedCounts(
        both=int((first & second).sum()),
        first_only=int((first & ~second).sum()),
        second_only=int((~first & second).sum()),
        neither=int((~first & ~second).sum()),
    )
    return paired_difference(counts, CONFIDENCE)


def _tried(
    predict: Predict, pixels: np.ndarray, labels: np.ndarray | None, hypothesis: Hypothesis
) -> Trial:
    outputs = [
        predict(hypothesis.contract.normalize(pixels[start : start + _BATCH]))
        for start in range(0, len(pixels), _BATCH)
    ]
    return Trial(hypothesis, np.concatenate(outputs), labels)
