"""A foreign model with the images on which it is checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from calibration_data.preprocessing import Preprocessing
from evaluation.child.policy import OURS, Isolation
from evaluation.lint.hypotheses import Evidence
from network.inspection import Inspection

if TYPE_CHECKING:
    import numpy as np


class ScoreKind(StrEnum):
    """Kind of outputs that the caller needs."""

    ANY = "any"
    PROBABILITIES = "probabilities"


@dataclass(frozen=True, eq=False)
class Subject:
    """Model, images and answers that the checks look at.

    Attributes:
        path: path of the file.
        shape: shape of its input, None for a free axis.
        inspection: tensors and operators of the file; None for a Keras model.
        contract: stated preprocessing.
        pixels: ``[n, *shape]`` as ``Preprocessing.pixels`` returns them: uint8, colours as RGB.
        labels: indices of outputs, from 0, int64 ``[n]``; None for images without labels.
        evidence: answers under every hypothesis; None where the file has no fixed size.
        scores: kind of outputs that the caller needs.
        unjudged: reason why right and wrong answers cannot be distinguished; empty where they can.
        isolation: how the file may be run.
        output: number of the output whose answers these are.
        output_name: name of that output; empty for a network with one.
    """

    path: Path
    shape: tuple[int | None, ...]
    inspection: Inspection | None
    contract: Preprocessing
    pixels: np.ndarray = field(repr=False)
    labels: np.ndarray | None = field(repr=False)
    evidence: Evidence | None = field(repr=False)
    scores: ScoreKind = ScoreKind.ANY
    unjudged: str = ""
    isolation: Isolation = OURS
    output: int = 0
    output_name: str = ""

    @property
    def measured(self) -> Evidence:
        """Evidence, for checks that need it; raises ValueError without one."""
        if self.evidence is None:
            raise ValueError("no image was run")
        return self.evidence
