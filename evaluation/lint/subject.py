"""A foreign model with the images that it is judged on."""

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
    """What the caller needs the outputs to be."""

    ANY = "any"
    PROBABILITIES = "probabilities"


@dataclass(frozen=True, eq=False)
class Subject:
    """What the checks look at.

    Attributes:
        path: of the file.
        shape: of its input, None for a free axis.
        inspection: the file taken apart; None for a Keras model.
        contract: stated preprocessing.
        pixels: uint8 ``[n, height, width, 3]``, RGB, resized and cropped.
        labels: int64 ``[n]``, counting the outputs from 0; None for images without labels.
        evidence: answers under every hypothesis; None where the file has no fixed size.
        scores: what the outputs are to be.
        unjudged: why right answers cannot be told from wrong ones; empty where they can.
        isolation: how the file may be run.
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

    @property
    def measured(self) -> Evidence:
        """The evidence, for checks that need it."""
        if self.evidence is None:
            raise ValueError("no image was run")
        return self.evidence
