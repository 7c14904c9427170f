"""Detections of a network over a set of photos, one row for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from calibration_data.annotations import Boxes
from evaluation.average_precision import ClassRecords, class_records
from evaluation.box_matching import AREAS, same_detections
from evaluation.scores import Outputs, check_finite_rows
from foundation.errors import InvalidInputError


def row_type(most: int) -> np.dtype:
    """Row of one photo with room for some detections.

    ``size`` is the photo's height and width in pixels; ``boxes`` are in them, the surest first;
    ``count`` are there, of which the first ``shown`` keep the contract's thresholds; ``right`` and
    ``ignored`` are as in ``box_matching.Matches``; ``signal`` and ``noise`` are sums of squares of
    the first network's raw boxes and scores, and of the differences to them; ``finite`` tells
    whether both are.
    """
    return np.dtype(
        [
            ("size", np.int32, (2,)),
            ("boxes", np.float32, (most, 4)),
            ("scores", np.float32, (most,)),
            ("classes", np.int32, (most,)),
            ("count", np.int32),
            ("shown", np.int32),
            ("right", np.uint16, (len(AREAS), most)),
            ("ignored", np.uint16, (len(AREAS), most)),
            ("signal", np.float64, (2,)),
            ("noise", np.float64, (2,)),
            ("finite", np.bool_, (2,)),
        ]
    )


@dataclass(frozen=True, eq=False)
class Detected(Outputs):
    """Detections of a network over a set of photos.

    Attributes:
        outputs: rows of ``row_type``, ``[n]``.
        targets: true boxes of each photo, objects ``[n]`` of the class ``Boxes``, in the network's
            class numbers; None without.
        reference: rows of the float network.

    Raises:
        InvalidInputError: as ``Outputs``.
    """

    def __post_init__(self) -> None:
        check_finite_rows(self.outputs, self.reference)
        if self.reference is not None and len(self.reference) != len(self.outputs):
            raise InvalidInputError(
                "both networks see the same images",
                received=f"{len(self.reference)} and {len(self.outputs)}",
                remedy="compare files of one model on one set of images",
            )
        if self.targets is not None and len(self.targets) != len(self.outputs):
            raise InvalidInputError(
                "each image has its targets",
                received=f"{len(self.targets)} targets for {len(self.outputs)} images",
                remedy="give the targets of these images",
            )

    @property
    def width(self) -> int:
        """Largest number of detections of a photo."""
        return int(self.outputs["scores"].shape[1])

    @cached_property
    def before(self) -> Detected:
        """The float network's detections as the subject, without a reference."""
        return Detected(self.required_reference, self.targets, None, self.threshold)

    @cached_property
    def _records(self) -> dict[str, tuple[ClassRecords, ...]]:
        truths = list(self.required_targets)
        return {area: class_records(self.outputs, truths, area) for area in AREAS}

    def records(self, area: str) -> tuple[ClassRecords, ...]:
        """Records of each class that has true boxes of a size, a key of ``AREAS``."""
        return self._records[area]

    @cached_property
    def _common(self) -> np.ndarray:
        """Number of detections that both networks show, int64 ``[n]``."""
        pairs = zip(self.outputs, self.required_reference, strict=True)
        return np.array(
            [same_detections(*_shown(reference)[:2], *_shown(row)[:2]) for row, reference in pairs],
            np.int64,
        )

    @property
    def shown_by_float(self) -> np.ndarray:
        """Number of detections that the float network shows, int ``[n]``."""
        shown: np.ndarray = self.required_reference["shown"]
        return shown

    @property
    def lost(self) -> np.ndarray:
        """Number of detections of each photo that only the float network shows, int ``[n]``."""
        lost: np.ndarray = self.shown_by_float - self._common
        return lost

    @property
    def gained(self) -> np.ndarray:
        """Number of detections of each photo that only the file shows, int ``[n]``."""
        gained: np.ndarray = self.outputs["shown"] - self._common
        return gained

    def changed_images(self, describe: Callable[[int], str], most: int) -> tuple[ChangedBoxes, ...]:
        """Photos with other detections than the float network's, the most changed first.

        Args:
            describe: index of an image -> its name.
            most: largest number of photos.
        """
        counts = self.lost + self.gained
        order = np.argsort(-counts, kind="stable")[: min(most, int((counts > 0).sum()))]
        return tuple(
            ChangedBoxes(
                int(i),
                describe(int(i)),
                int(self.lost[i]),
                int(self.gained[i]),
                self.required_reference[i],
                self.outputs[i],
                None if self.targets is None else self.targets[i],
            )
            for i in order
        )


@dataclass(frozen=True, eq=False)
class ChangedBoxes:
    """A photo on which a file shows other detections than the float network.

    Attributes:
        image: index of the image in the measured set.
        name: name of the image in the set.
        lost: number of detections that only the float network shows.
        gained: number of those that only the file shows.
        before: row of the float network.
        after: row of the file.
        truth: true boxes; None without.
    """

    image: int
    name: str
    lost: int
    gained: int
    before: np.ndarray
    after: np.ndarray
    truth: Boxes | None

    def to_dict(self, labels: tuple[str, ...] = ()) -> dict[str, Any]:
        """Plain values for JSON; boxes as ``[top, left, bottom, right]`` in pixels of the photo."""

        def named(number: int) -> str:
            return labels[number] if number < len(labels) else str(number)

        def listed(row: np.ndarray) -> list[dict[str, Any]]:
            boxes, classes, scores = _shown(row)
            return [
                {
                    "box": [round(float(edge), 1) for edge in box],
                    "class": named(int(label)),
                    "score": round(float(score), 4),
                }
                for box, label, score in zip(boxes, classes, scores, strict=True)
            ]

        values: dict[str, Any] = {
            "image": self.image,
            "name": self.name,
            "size": self.after["size"].tolist(),
            "lost": self.lost,
            "gained": self.gained,
            "before": listed(self.before),
            "after": listed(self.after),
        }
        if self.truth is not None:
            values["truth"] = [
                {"box": [round(float(edge), 1) for edge in box], "class": named(int(label))}
                for box, label in zip(self.truth.corners, self.truth.labels, strict=True)
            ]
        return values


def _shown(row: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes, classes and scores of the detections that a photo shows."""
    shown = row["shown"]
    return row["boxes"][:shown], row["classes"][:shown], row["scores"][:shown]
