"""Requests of the commands to the pipeline, as values."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from calibration_data.contract import ContractRequest
from evaluation.child.policy import TIME_LIMIT, Isolation
from foundation.errors import InvalidInputError
from foundation.threads import require_threads
from models.loading.request import ModelRequest
from quantize.islands import MOST_FLOAT
from quantize.qat.exchange import QatSettings
from quantize.recipes import Recipe, no_wide_onnx
from quantize.settings import RepairType

_LONGEST_NAME = 180
"""Bytes of a model's name: with -onnx-int8-full-range.recipe.json, a file name has at most 255."""


@dataclass(frozen=True)
class CalibrationRequest:
    """Images that activation ranges are measured on.

    Attributes:
        data: DATA text; None if no recipe needs images, or for the calibration split beside the
            evaluation data.
        samples: number of images to draw at random; None for 1,000, or all if there are fewer.
        seed: seed of the drawing.
    """

    data: str | None = None
    samples: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class MeasureRequest:
    """Images and settings for measuring accuracy and latency.

    Attributes:
        data: DATA text of the test images.
        runtime: registered name; None for the default runtime of the file.
        threads: threads of the session whose latency is measured.
        limit: largest number of images, drawn at random; None for all.
        seed: seed of the drawing.
        latency: whether latency is measured.
        time_limit: seconds that a foreign file may take for one image.

    Raises:
        InvalidInputError: more threads than cores, several threads without a latency, or a time
            limit out of its range.
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
                "--threads is a setting of the latency",
                received=f"--threads {self.threads} with --no-latency",
                remedy="remove one of the two",
            )


@dataclass(frozen=True)
class QuantizeRequest:
    """Artifacts of one model to write.

    Attributes:
        model: network to quantize.
        contract: preprocessing that the user states.
        recipes: recipes to write.
        calibration: images to calibrate on.
        output: folder for the files of one recipe; with several, each gets a folder inside it.
        measure: images to compare with the float model on; None to measure nothing.
        max_drop: largest loss, in the unit of the primary metric of the task; None for no gate.
        force: write files that are up to date again, and replace foreign files in the way.
        most_float: largest share of the multiply-adds that may leave int8 to keep ``max_drop``;
            None for a gate without repair.
        float_share: largest share of the multiply-adds that operators without an integer form may
            have.
        repair_with: type of the operators that leave int8.
        qat: settings of recipes with training.
        answers: where the float network's answers to the measured images lie, see
            ``sweeping.floats``; None to run it.
        max_size: largest number of bytes of a file, which chooses between weights in 4 and 8 bits;
            None for no limit. The file is then not repaired, which would make it larger.

    Raises:
        UnsupportedError: a repair with int16 activations in an .onnx.
        InvalidInputError: the model's name is too long for names of files.
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
    float_share: float = MOST_FLOAT
    repair_with: RepairType = RepairType.FLOAT32
    qat: QatSettings = field(default_factory=QatSettings)
    answers: str | None = None
    max_size: int | None = None

    def __post_init__(self) -> None:
        length = len(os.fsencode(self.model.name))
        if length > _LONGEST_NAME:
            raise InvalidInputError(
                f"names of files are made from a model's name of at most {_LONGEST_NAME} bytes",
                received=f"one of {length}",
                remedy="rename the model",
            )
        for recipe in self.recipes:
            planned = self.repairs and recipe.plans_integers
            if planned and self.repair_with is RepairType.INT16 and recipe.target != "tflite":
                raise no_wide_onnx(recipe.name)

    @cached_property
    def model_digest(self) -> str:
        """Hash of the model (``ModelRequest.digest``), read once for all files of the request."""
        return self.model.digest()

    @property
    def repairs(self) -> bool:
        """Whether a plan that exceeds the gate is repaired."""
        limited = self.max_drop is not None and self.most_float is not None
        return limited and self.max_size is None

    def folder(self, recipe: Recipe) -> Path:
        """Folder of the artifact of a recipe."""
        return self.output if len(self.recipes) == 1 else self.output / recipe.name


@dataclass(frozen=True)
class EvaluateRequest:
    """Artifact to measure.

    Attributes:
        artifact: path of the file.
        measure: images and settings.
        reference: model or artifact to compare with; None for no comparison.
        contract: preprocessing for a file without a contract.
        max_drop: largest loss, in the unit of the primary metric of the task; None for no gate.
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
