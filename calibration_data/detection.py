"""The part of a contract that turns the outputs of a detector into boxes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from calibration_data.anchors import AnchorLevel, BoxCoding
from foundation.errors import InvalidInputError
from foundation.foreign import printable

if TYPE_CHECKING:
    import numpy as np


DETECTIONS = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")
"""Outputs of a file with post-processing inside, by the names of tensorflow/models' detectors."""


class ScoreEnd(StrEnum):
    """Function that turns a score output into probabilities."""

    SIGMOID = "sigmoid"
    """One sigmoid for each class."""
    SOFTMAX = "softmax"
    """Softmax over the ground and the classes."""
    NONE = "none"
    """The outputs are probabilities."""


@dataclass(frozen=True)
class Detector:
    """Anchors, coding and thresholds of a single-shot detector.

    Attributes:
        boxes: names of the outputs with codes of boxes, ``[b, rows, columns, k 4]`` or
            ``[b, anchors, 4]``, in the order of ``levels``.
        scores: names of the outputs with scores, ``[b, rows, columns, k classes]`` or
            ``[b, anchors, classes]``, in the order of ``levels``.
        levels: anchors of each feature map.
        coding: coding of boxes against anchors.
        end: function from a score to a probability.
        ground: whether the first score of an anchor is the ground's, that is, no object.
        score_threshold: smallest probability of a detection.
        iou_threshold: overlap above which the weaker of two boxes of one class is dropped.
        most: largest number of detections of a photo.

    Raises:
        InvalidInputError: no level, another number of outputs than levels, or a threshold that is
            no probability.
    """

    boxes: tuple[str, ...]
    scores: tuple[str, ...]
    levels: tuple[AnchorLevel, ...]
    coding: BoxCoding = field(default_factory=BoxCoding)
    end: ScoreEnd = ScoreEnd.SIGMOID
    ground: bool = True
    score_threshold: float = 0.3
    iou_threshold: float = 0.6
    most: int = 100

    def __post_init__(self) -> None:
        count = len(self.levels)
        if not count or {len(self.boxes), len(self.scores)} - {count, 1}:
            _refuse(
                "a detector has a box output and a score output for each level of anchors, or one "
                "of each for all",
                f"{len(self.boxes)} and {len(self.scores)} outputs for {count} levels",
            )
        for name, value in (("score_threshold", self.score_threshold),
                            ("iou_threshold", self.iou_threshold)):  # fmt: skip
            if not 0 <= value <= 1:
                _refuse(f"{name} is a number from 0 to 1", value)
        if not 1 <= self.most <= 10_000:
            _refuse("a detector gives 1 to 10,000 detections at most", self.most)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all outputs: boxes, then scores."""
        return self.boxes + self.scores

    @property
    def count(self) -> int:
        """Number of anchors."""
        return sum(level.count for level in self.levels)

    @cached_property
    def anchors(self) -> np.ndarray:
        """Anchors of all levels, float32 ``[count, 4]``: centre y, centre x, height, width."""
        import numpy as np

        return np.concatenate([level.boxes() for level in self.levels])

    def to_dict(self) -> dict[str, Any]:
        """Plain values of the table ``[detection]``, readable by ``from_dict``."""
        return {
            "boxes": list(self.boxes),
            "scores": list(self.scores),
            "levels": [
                {"rows": x.rows, "columns": x.columns, "shapes": [list(s) for s in x.shapes]}
                for x in self.levels
            ],
            "factors": list(self.coding.factors),
            "end": self.end.value,
            "ground": self.ground,
            "score_threshold": self.score_threshold,
            "iou_threshold": self.iou_threshold,
            "most": self.most,
        }

    @classmethod
    def from_dict(cls, values: Any) -> Detector:
        """Read the table ``[detection]`` of a contract.

        Raises:
            InvalidInputError: a missing or unknown key, or a value that breaks a rule.
            TypeError, ValueError: a value of the wrong type.
        """
        needed = {"boxes", "scores", "levels"}
        known = needed | {
            "factors", "end", "ground", "score_threshold", "iou_threshold", "most",
        }  # fmt: skip
        if not isinstance(values, dict) or not needed <= set(values) <= known:
            _refuse(
                f"[detection] has {', '.join(sorted(needed))}, and may have "
                f"{', '.join(sorted(known - needed))}",
                ", ".join(sorted(values)) if isinstance(values, dict) else values,
            )
        more: dict[str, Any] = {
            key: values[key] for key in ("score_threshold", "iou_threshold") if key in values
        }
        factors = tuple(float(x) for x in values.get("factors", BoxCoding().factors))
        if len(factors) != 4:
            _refuse("factors are four numbers: of y, x, height and width", list(factors))
        return cls(
            _names(values["boxes"]),
            _names(values["scores"]),
            tuple(_level(level) for level in values["levels"]),
            BoxCoding((factors[0], factors[1], factors[2], factors[3])),
            ScoreEnd(values.get("end", ScoreEnd.SIGMOID.value)),
            bool(values.get("ground", True)),
            most=int(values.get("most", 100)),
            **{key: float(value) for key, value in more.items()},
        )


def _names(values: Any) -> tuple[str, ...]:
    names = [values] if isinstance(values, str) else values
    if not isinstance(names, list | tuple) or not all(isinstance(x, str) for x in names):
        raise TypeError(f"{values!r} where names of outputs belong")
    return tuple(names)


def _level(values: Any) -> AnchorLevel:
    if not isinstance(values, dict) or set(values) != {"rows", "columns", "shapes"}:
        raise TypeError(f"{values!r} where a level with rows, columns and shapes belongs")
    shapes = tuple((float(height), float(width)) for height, width in values["shapes"])
    rows, columns = int(values["rows"]), int(values["columns"])
    if rows < 1 or columns < 1 or not shapes or min(min(shape) for shape in shapes) <= 0:
        raise ValueError(f"a level of {rows}x{columns} cells with {len(shapes)} shapes")
    return AnchorLevel(rows, columns, shapes)


def _refuse(rule: str, received: object) -> None:
    raise InvalidInputError(
        rule, received=printable(received)[:200], remedy="correct [detection] in the contract"
    )
