"""Outputs of a network over a set of images, checked once for all metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, eq=False)
class Scores:
    """Outputs of one network over a set of images.

    Attributes:
        outputs: float32 ``[n, classes]``, logits or probabilities.
        labels: true classes, integers ``[n]``; None for images without labels.
        reference: outputs of the float network on the same images, same shape; None without one.

    Raises:
        InvalidInputError: shapes that do not fit, no image, a single class, a label that is not a
            class, or an output that is NaN or infinite.
    """

    outputs: np.ndarray
    labels: np.ndarray | None
    reference: np.ndarray | None = None

    def __post_init__(self) -> None:
        _check_outputs(self.outputs, "outputs")
        n, classes = self.outputs.shape
        if self.labels is not None:
            _check_labels(self.labels, n, classes)
        if self.reference is not None:
            _check_outputs(self.reference, "outputs of the float network")
            if self.reference.shape != self.outputs.shape:
                raise InvalidInputError(
                    "both networks score the same images and classes",
                    received=f"{list(self.reference.shape)} and {list(self.outputs.shape)}",
                    remedy="compare files of one model on one set of images",
                )

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
        """True classes, integers ``[n]``.

        Raises:
            InvalidInputError: images without labels.
        """
        if self.labels is None:
            raise InvalidInputError(
                "this metric compares with the true classes",
                received="images without labels",
                remedy="give labelled images",
            )
        return self.labels

    @property
    def required_reference(self) -> np.ndarray:
        """Outputs of the float network.

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


def _check_labels(labels: np.ndarray, n: int, classes: int) -> None:
    if labels.shape != (n,) or labels.min() < 0 or labels.max() >= classes:
        raise InvalidInputError(
            f"each image has one label from 0 to {classes - 1}",
            received=f"{list(labels.shape)} labels from {labels.min(initial=0)} "
            f"to {labels.max(initial=0)} for {n} images",
            remedy="use the label list that the network was trained with",
        )


def _check_outputs(outputs: np.ndarray, name: str) -> None:
    import numpy as np

    if outputs.ndim != 2 or len(outputs) == 0 or outputs.shape[1] < 2:
        raise InvalidInputError(
            f"{name} are [images, classes] with an image and two classes at least",
            received=str(list(outputs.shape)),
            remedy="evaluate a classifier on some images",
        )
    broken = ~np.isfinite(outputs).all(axis=1)
    if broken.any():
        raise InvalidInputError(
            f"{name} are finite",
            received=f"NaN or infinity on {int(broken.sum())} of {len(outputs)} images",
            remedy="check the weights, and the range of float16 activations",
        )
