"""Hypotheses on the preprocessing with which a network was trained.

A foreign file does not state it. Each hypothesis is tried on the same labelled images, and the
accuracies show which one the network was trained with.
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
"""Confidence level of the deciding intervals: one set of images has about 24 comparisons."""
MARGIN = 0.03
"""Smallest lead that is reported, as a share of the images."""
SHIFTS = (0, 1, -1)
"""Possible differences between the index of the output and the label."""
_BATCH = 32


class Kind(StrEnum):
    """Meaning of a scaling if a file needs it in place of the stated one."""

    STATED = "stated"
    RANGE = "range"
    """Another range or another mean and standard deviation."""
    PIXELS = "pixels"
    """Unchanged pixels: the file normalizes them itself."""
    UNDONE = "undone"
    """Numbers that a second normalization inside the file turns back into pixels."""


@dataclass(frozen=True)
class Hypothesis:
    """A way of preprocessing to try.

    Attributes:
        name: name for use in a sentence.
        kind: meaning if the file needs it.
        contract: size, order of channels, mean and std to use.
    """

    name: str
    kind: Kind
    contract: Preprocessing

    def swapped(self) -> Hypothesis:
        """The same hypothesis with the other order of the colour channels, also of mean and std.

        Inputs without colours have no other order.
        """
        current = self.contract
        if not current.is_colour:
            return self
        other = ChannelOrder.RGB if current.channels is ChannelOrder.BGR else ChannelOrder.BGR
        contract = replace(current, channels=other, mean=current.mean[::-1], std=current.std[::-1])
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
    # 127.5 (p + 1) and 255 p, which x / 127.5 - 1 and x / 255 turn back into pixels p.
    _Scaling("127.5 (pixel + 1)", Kind.UNDONE, (-1.0,) * 3, (1 / 127.5,) * 3),
    _Scaling("255 times the pixel", Kind.UNDONE, (0.0,) * 3, (1 / 255,) * 3),
)


def hypotheses(stated: Preprocessing) -> tuple[Hypothesis, ...]:
    """Hypotheses to try: the stated contract, then every other scaling in its channel order.

    Scalings with a number for each colour are not tried on images of other channels, and none on
    plain arrays, whose range no convention sets.
    """
    flipped = stated.channels is ChannelOrder.BGR
    rows = [Hypothesis("the stated mean and std", Kind.STATED, stated)]
    if stated.plain:
        return tuple(rows)
    for scaling in _SCALINGS:
        mean: tuple[float, ...] = scaling.mean
        std: tuple[float, ...] = scaling.std
        if not stated.is_colour:
            if len({*mean}) > 1 or len({*std}) > 1:
                continue  # of three colours
            mean, std = mean[:1] * stated.channel_count, std[:1] * stated.channel_count
        elif flipped:
            mean, std = mean[::-1], std[::-1]
        contract = replace(stated, mean=mean, std=std)
        if (mean, std) != (stated.mean, stated.std):
            rows.append(Hypothesis(scaling.name, scaling.kind, contract))
    return tuple(rows)


@dataclass(frozen=True, eq=False)
class Trial:
    """Outputs of the network under one hypothesis.

    Attributes:
        hypothesis: preprocessing of the images.
        outputs: float32 ``[n, classes]``.
        labels: true classes, int64 ``[n]``; None for images without labels, of which
            none counts as right.
    """

    hypothesis: Hypothesis
    outputs: np.ndarray
    labels: np.ndarray | None

    @property
    def finite(self) -> bool:
        """Whether all outputs are finite numbers."""
        return bool(np.isfinite(self.outputs).all())

    def right(self, shift: int | None = None) -> np.ndarray:
        """Whether each answer is ``label + shift``, modulo the number of outputs: bool ``[n]``.

        Without a shift, that of SHIFTS with the most right answers is used: a label list that is
        shifted by one must not hide which scaling the network needs. A scaling that gives NaN or
        infinity for any image is right on none: the network was not trained with it.
        """
        if self.labels is None or not self.finite:
            return np.zeros(len(self.outputs), bool)
        if shift is None:
            shift = max(SHIFTS, key=lambda s: int(self.right(s).sum()))
        classes = self.outputs.shape[1]
        result: np.ndarray = self.outputs.argmax(axis=1) == (self.labels + shift) % classes
        return result

    def accuracy(self, shift: int | None = None) -> float:
        """Percent of images with the right answer."""
        return 100 * float(self.right(shift).mean())


@dataclass(frozen=True)
class Evidence:
    """Answers of the network to the same images under every hypothesis.

    Attributes:
        trials: trials with the stated order of channels, that of the stated scaling first; only
            that one without labels.
        swapped: trial of the best scaling with the other order of channels; the stated trial
            without labels, that of the best scaling without colours.
    """

    trials: tuple[Trial, ...]
    swapped: Trial

    @property
    def stated(self) -> Trial:
        """Trial of the stated contract."""
        return self.trials[0]

    @property
    def best(self) -> Trial:
        """Trial of the scaling that clearly beats the stated one; the stated one if none does."""
        leader = max(self.trials, key=lambda trial: trial.accuracy())
        return leader if leads(leader.right(), self.stated.right()) else self.stated

    @property
    def answers(self) -> Trial:
        """Trial of the best scaling with the better order of channels."""
        best = self.best
        return self.swapped if leads(self.swapped.right(), best.right()) else best


def gather(
    predict: Predict, pixels: np.ndarray, labels: np.ndarray | None, stated: Preprocessing
) -> Evidence:
    """Run every hypothesis, in batches of 32; without labels the stated one alone.

    Args:
        predict: float32 ``[b, *shape]`` -> float32 ``[b, classes]``.
        pixels: ``[n, *shape]`` as ``Preprocessing.pixels`` returns them.
        labels: true classes, int64 ``[n]``; None for images without labels.
        stated: stated contract of the file.

    Raises:
        InvalidInputError: NaN or infinity in the outputs under the best hypothesis, and so under
            the stated contract.
    """
    if labels is None:
        trial = _tried(predict, pixels, None, hypotheses(stated)[0])
        evidence = Evidence((trial,), trial)
    else:
        trials = tuple(_tried(predict, pixels, labels, h) for h in hypotheses(stated))
        best = Evidence(trials, trials[0]).best
        other = best.hypothesis.swapped()
        same = other is best.hypothesis
        swapped = best if same else _tried(predict, pixels, labels, other)
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
    """Whether the first is right on more images than the second, beyond chance and by MARGIN."""
    difference = lead(first, second)
    return difference.low > 0 and float(first.mean() - second.mean()) >= MARGIN


def lead(first: np.ndarray, second: np.ndarray) -> Interval:
    """Interval of the difference of two shares of right answers (``paired_difference``).

    Args:
        first: whether each answer is right, bool ``[n]``.
        second: the same for other answers to the same images.
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
