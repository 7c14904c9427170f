"""What a command asks of the pipeline, as values."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from calibration_data.contract import ContractRequest
from evaluation.child.policy import TIME_LIMIT, Isolation
from foundation.errors import InvalidInputError
from foundation.threads import require_threads
from models.loading.request import ModelRequest
from quantize.qat.exchange import QatSettings
from quantize.recipes import Recipe, RepairType, no_wide_onnx

_LONGEST_NAME = 180
"""Of the 255 that file systems take; endings such as -onnx-int8-full-range.recipe.json follow."""


@dataclass(frozen=True)
class CalibrationRequest:
    """Which images ranges are measured on.

    Attributes:
        data: DATA text; None when no recipe needs any, or to use the calibration split beside
            the evaluation data.
        samples: images drawn at random; None for 1,000, or all there are.
        seed: of the drawing.
    """

    data: str | None = None
    samples: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class MeasureRequest:
    """What accuracy and speed are measured on.

    Attributes:
        data: DATA text.
        runtime: registered name; None for the default of the file.
        threads: inside one session when latency is measured.
        limit: images at most, drawn at random with ``seed``; None for all.
        seed: of the drawing.
        latency: whether latency is measured.
        time_limit: seconds that a file of others may take for one image.

    Raises:
        InvalidInputError: more threads than cores, or several without a latency to measure with
            them; a time limit that is none.
    """

    data: str
    runtime: str | None = None
    threads: int = 1
    limit: int | None = None
    seed: int = 0
    latency: bool = True
    time_limit: float = field(default=TIME_LIMIT, repr=False)  # no result depends on it

    def __post_init__(self) -> None:
        require_threads(self.threads)
        Isolation(time_limit=self.time_limit)
        if self.threads != 1 and not self.latency:
            raise InvalidInputError(
                "--threads says how latency is measured",
                received=f"--threads {self.threads} with --no-latency",
                remedy="leave one of the two out",
            )


@dataclass(frozen=True)
class QuantizeRequest:
    """Write artifacts of one model.

    Attributes:
        model: which network.
        contract: what the user says of its preprocessing.
        recipes: what to write.
        calibration: on which images.
        output: folder; one recipe goes right into it, several into a folder each.
        measure: also compare with the float model on these images.
        max_drop: gate, in points of top-1 lost; None for no gate.
        force: write again what is already there.
        most_float: share of the multiply-adds that may leave int8 to keep ``max_drop``; None for a
            gate that repairs nothing.
        repair_with: what they leave it for.
        qat: how recipes with training are trained.

    Raises:
        UnsupportedError: a repair with int16 activations of an .onnx.
        InvalidInputError: a model's name that no file's can be made from.
    """

    model: ModelRequest
    contract: ContractRequest
    recipes: tuple[Recipe, ...]
    calibration: CalibrationRequest
    output: Path
    measure: MeasureRequest | None = None
    max_drop: float | None = None
    force: bool = False
    most_float: float | None = None
    repair_with: RepairType = RepairType.FLOAT32
    qat: QatSettings = field(default_factory=QatSettings)

    def __post_init__(self) -> None:
        length = len(os.fsencode(self.model.name))
        if length > _LONGEST_NAME:
            raise InvalidInputError(
                f"names of files are made from a model's name of at most {_LONGEST_NAME} bytes",
                received=f"one of {length}",
                remedy="rename the model",
            )
        for recipe in self.recipes:
            planned = self.repairs and recipe.planned
            if planned and self.repair_with is RepairType.INT16 and recipe.target != "tflite":
                raise no_wide_onnx(recipe.name)

    @property
    def repairs(self) -> bool:
        """Whether the gate is to be met by another plan, if need be."""
        return self.max_drop is not None and self.most_float is not None

    def folder(self, recipe: Recipe) -> Path:
        """Where the artifact of a recipe goes."""
        return self.output if len(self.recipes) == 1 else self.output / recipe.name


@dataclass(frozen=True)
class EvaluateRequest:
    """Measure one artifact.

    Attributes:
        artifact: file.
        measure: on what, and how.
        reference: model or artifact to compare with.
        contract: for a file that carries none.
        max_drop: gate, in points of top-1 lost; None for no gate.
        trust: run whatever the files hold, in this process.
    """

    artifact: Path
    measure: MeasureRequest
    reference: ModelRequest | None = None
    contract: ContractRequest = field(default_factory=ContractRequest)
    max_drop: float | None = None
    trust: bool = False

    @property
    def isolation(self) -> Isolation:
        """How the files that the user names may be run."""
        return Isolation(self.trust, self.measure.time_limit)
