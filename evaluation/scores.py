"""Outputs of a network over a set of images, checked once for all metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibration_data.task import THRESHOLD
from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, eq=False)
class Outputs:
    """One output of a network over a set of images.

    Attributes:
        outputs: float32 ``[n, ...]``.
        targets: true values in the form that the task's ``check`` gives them, ``[n, ...]``; None
            for images without.
        reference: output of the float network on the same images, same shape; None without one.
        threshold: probability from which an answer is yes, in tasks with such answers.

    Raises:
        InvalidInputError: no image, shapes that do not fit, or an output that is NaN or infinite.
    """

    outputs: np.ndarray
    targets: np.ndarray | None = None
    reference: np.ndarray | None = None
    threshold: float = THRESHOLD

    def __post_init__(self) -> None:
        _check_finite(self.outputs, "outputs")
        if self.targets is not None and len(self.targets) != len(self.outputs):
            raise InvalidInputError(
                "each image has its targets",
                received=f"{len(self.targets)} targets for {len(self.outputs)} images",
                remedy="give the targets of these images",
            )
        if self.reference is not None:
            _check_finite(self.reference, "outputs of the float network")
            if self.reference.shape != self.outputs.shape:
                raise InvalidInputError(
                    "both networks score the same images and classes",
                    received=f"{list(self.reference.shape)} and {list(self.outputs.shape)}",
                    remedy="compare files of one model on one set of images",
                )

    @property
    def width(self) -> int:
        """Number of values for one image, or for one place of a map."""
        return int(self.outputs.shape[-1])

    @property
    def required_targets(self) -> np.ndarray:
        """True values, ``[n, ...]``.

        Raises:
            InvalidInputError: images without them.
        """
        if self.targets is None:
            raise InvalidInputError(
                "this metric compares with the true values",
                received="images without labels",
                remedy="give labelled images",
            )
        return self.targets

    @property
    def required_reference(self) -> np.ndarray:
        """Output of the float network.

        Raises:
            InvalidInputError: no reference.
        """
        if self.reference is None:
            raise InvalidInputError(
                "this metric compares with the float network",
                received="no outputs of one",
                remedy="give the float model too",
            )
        return self.reference

    @property
    def before(self) -> Outputs:
        """The float network's output as the subject, without a reference."""
        return type(self)(self.required_reference, self.targets, None, self.threshold)

    @property
    def rows(self) -> np.ndarray:
        """Output as one row of values for each image, float32 ``[n, k]``."""
        return self.outputs.reshape(len(self.outputs), -1)

    @property
    def reference_rows(self) -> np.ndarray:
        """Output of the float network as ``rows``."""
        reference = self.required_reference
        return reference.reshape(len(reference), -1)


@dataclass(frozen=True, eq=False)
class Scores(Outputs):
    """Scores of a classifier: ``outputs`` are logits or probabilities, ``[n, classes]``.

    ``targets`` are the true classes, integers ``[n]``.

    Raises:
        InvalidInputError: as ``Outputs``; also a single class, or a label that is not a class.
    """

    def __post_init__(self) -> None:
        _check_scores(self.outputs, "outputs")
        if self.targets is not None:
            _check_labels(self.targets, *self.outputs.shape)
        if self.reference is not None:
            _check_scores(self.reference, "outputs of the float network")
        super().__post_init__()

    @property
    def labels(self) -> np.ndarray | None:
        """True classes, integers ``[n]``; None for images without labels."""
        return self.targets

    @property
    def predictions(self) -> np.ndarray:
        """Predicted classes, int64 ``[n]``."""
        result: np.ndarray = self.outputs.argmax(axis=1)
        return result

    @property
    def reference_predictions(self) -> np.ndarray:
        """Classes that the float network predicts, int64 ``[n]``."""
        result: np.ndarray = self.required_reference.argmax(axis=1)
        return result

    @property
    def required_labels(self) -> np.ndarray:
        """True classes, integers ``[n]``; raises InvalidInputError for images without labels."""
        return self.required_targets


def _check_labels(labels: np.ndarray, n: int, classes: int) -> None:
    if labels.shape != (n,) or labels.min() < 0 or labels.max() >= classes:
        raise InvalidInputError(
            f"each image has one label from 0 to {classes - 1}",
            received=f"{list(labels.shape)} labels from {labels.min(initial=0)} "
            f"to {labels.max(initial=0)} for {n} images",
            remedy="use the label list that the network was trained with",
        )


def _check_scores(outputs: np.ndarray, name: str) -> None:
    if outputs.ndim != 2 or len(outputs) == 0 or outputs.shape[1] < 2:
        raise InvalidInputError(
            f"{name} are [images, classes] with an image and two classes at least",
            received=str(list(outputs.shape)),
            remedy="evaluate a classifier on some images",
        )
    _check_finite(outputs, name)


def check_finite_rows(outputs: np.ndarray, reference: np.ndarray | None) -> None:
    """Refuse rows of statistics, structured ``[n]``, that tell of outputs that are not finite.

    Args:
        outputs: rows whose field ``finite`` is bool ``[n]``, or ``[n, parts]``.
        reference: those of the float network; None without.

    Raises:
        InvalidInputError: no row, or one that is not finite.
    """
    for rows, name in ((outputs, "outputs"), (reference, "outputs of the float network")):
        if rows is None:
            continue
        finite = rows["finite"]
        broken = int((~finite.all(axis=tuple(range(1, finite.ndim)))).sum())
        if not len(rows) or broken:
            raise InvalidInputError(
                f"{name} are finite, of one image at least",
                received=f"NaN or infinity on {broken} of {len(rows)} images",
                remedy="check the weights, and the range of float16 activations",
            )


def _check_finite(outputs: np.ndarray, name: str) -> None:
    import numpy as np

    if outputs.ndim < 2 or outputs.size == 0:
        raise InvalidInputError(
            f"{name} are [images, ...] with an image and a value at least",
            received=str(list(outputs.shape)),
            remedy="evaluate a network on some images",
        )
    broken = ~np.isfinite(outputs).all(axis=tuple(range(1, outputs.ndim)))
    if broken.any():
        raise InvalidInputError(
            f"{name} are finite",
            received=f"NaN or infinity on {int(broken.sum())} of {len(outputs)} images",
            remedy="check the weights, and the range of float16 activations",
        )
