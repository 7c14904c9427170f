"""Rows of detections of photos from the outputs of a detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from calibration_data.annotations import Boxes
from calibration_data.detection import DETECTIONS, Detector
from evaluation.box_matching import coco_matches
from evaluation.decoding import Detections, decoded, joined
from evaluation.detected import row_type
from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    from calibration_data.preprocessing import Preprocessing

MOST = 100
"""Number of detections of a photo that COCO's metrics take."""
FLOOR = 0.001
"""Smallest score of a detection that COCO's metrics take here; a curve's tail below is empty."""


@dataclass(frozen=True, eq=False)
class Found:
    """Detections of a batch of one network.

    Attributes:
        detections: detections from ``FLOOR`` upwards, or those that a file gives.
        raw: codes of boxes and scores, ``[b, anchors, n]`` each; None for a file that has the
            decoding inside.
    """

    detections: Detections
    raw: tuple[np.ndarray, np.ndarray] | None


@dataclass(frozen=True, eq=False)
class RowMaker:
    """Decodes outputs and makes rows of them.

    Attributes:
        contract: contract of the network.
        detector: anchors and thresholds of the contract.
        wide: the same with thresholds of COCO's metrics.
        names: names that the detector has for the outputs, in the order of the network.
    """

    contract: Preprocessing
    detector: Detector
    wide: Detector
    names: tuple[str, ...]

    @classmethod
    def of(cls, contract: Preprocessing, names: tuple[str, ...]) -> RowMaker:
        """Maker for outputs in the order of ``names``; those of other names count by place.

        Raises:
            InvalidInputError: a contract without anchors.
        """
        detector = contract.detector
        if detector is None:
            raise InvalidInputError(
                "a detector's contract has a table [detection] with its anchors",
                received="none",
                remedy="write one, as docs/your-model.md shows",
            )
        wide = replace(
            detector,
            score_threshold=min(FLOOR, detector.score_threshold),
            most=max(MOST, detector.most),
        )
        known = set(names) in (set(detector.names), set(DETECTIONS))
        return cls(contract, detector, wide, names if known else detector.names)

    def found(self, arrays: tuple[np.ndarray, ...]) -> Found:
        """Detections of one network: of its raw outputs, or of a file that decodes them itself.

        Args:
            arrays: outputs in the order of ``names``, or of ``DETECTIONS``.
        """
        if len(arrays) == len(DETECTIONS) and min(array.ndim for array in arrays) == 1:
            names = self.names if set(self.names) == set(DETECTIONS) else DETECTIONS
            return Found(self._given(dict(zip(names, arrays, strict=True))), None)
        raw = dict(zip(self.names, arrays, strict=True))
        return Found(decoded(self.wide, raw), joined(self.wide, raw))

    def _given(self, outputs: Mapping[str, np.ndarray]) -> Detections:
        boxes, classes, scores, counts = (outputs[name] for name in DETECTIONS)
        spare = self.wide.most - scores.shape[1]
        return Detections(
            np.pad(boxes.astype(np.float32), ((0, 0), (0, spare), (0, 0))),
            np.pad(scores.astype(np.float32), ((0, 0), (0, spare))),
            np.pad(classes.astype(np.int64), ((0, 0), (0, spare))),
            counts.astype(np.int64),
        )

    def rows(
        self, found: Found, first: Found, sizes: np.ndarray, truths: Sequence[Boxes] | None
    ) -> np.ndarray:
        """Rows of a batch, of the type ``row_type``.

        Args:
            found: detections of a network.
            first: those of the network that it is compared with.
            sizes: height and width of each photo, ``[b, 2]``.
            truths: true boxes of each photo in the network's classes; None without any.
        """
        given = found.detections
        rows = np.zeros(len(sizes), row_type(self.wide.most))
        rows["count"], rows["scores"], rows["classes"] = given.counts, given.scores, given.classes
        there = np.arange(self.wide.most) < given.counts[:, None]
        above = there & (given.scores >= self.detector.score_threshold)
        rows["shown"] = np.minimum(above.sum(axis=1), self.detector.most)
        rows["size"] = sizes
        _compare(rows, found, first)
        for i, (height, width) in enumerate(sizes):
            n = int(given.counts[i])
            place = self.contract.placement(int(height), int(width))
            boxes = place.to_photo(given.boxes[i, :n])
            rows["boxes"][i, :n] = boxes
            if truths is not None:
                matches = coco_matches(truths[i], boxes, given.scores[i, :n], given.classes[i, :n])
                rows["right"][i, :, :n] = matches.right
                rows["ignored"][i, :, :n] = matches.ignored
        return rows


def _compare(rows: np.ndarray, found: Found, first: Found) -> None:
    """Write signal, noise and whether all is finite into rows."""
    if found.raw is None or first.raw is None:
        rows["signal"] = rows["noise"] = np.nan
        rows["finite"] = np.isfinite(found.detections.boxes).all(axis=(1, 2))[:, None]
        return
    for part, (mine, reference) in enumerate(zip(found.raw, first.raw, strict=True)):
        signal = reference.reshape(len(rows), -1).astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            noise = signal - mine.reshape(len(rows), -1)
            rows["signal"][:, part] = np.square(signal).sum(axis=1)
            rows["noise"][:, part] = np.square(noise).sum(axis=1)
        rows["finite"][:, part] = np.isfinite(mine).all(axis=(1, 2))
