"""First half of a command: its images, its network and its contract, settled and ready to plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from calibration_data.calibration_set import CalibrationSet, refuse_role
from calibration_data.conversions import conversion_remarks
from calibration_data.datasets.base import Dataset, open_dataset
from calibration_data.overlap import refuse_equal_images, refuse_shared_images
from calibration_data.preprocessing import Preprocessing
from calibration_data.splits import calibration_beside
from calibration_data.stream import require_fit
from calibration_data.task_choice import Output
from edgequant.artifacts import data_digest
from edgequant.cli.terminal import Terminal
from edgequant.loading import contract_of, load, own_contract, refuse_non_finite_outputs
from edgequant.outputs import check_labels_and_limit, model_outputs, settled_contract
from edgequant.planning import Planner
from edgequant.requests import QuantizeRequest
from export.postprocess import require_postprocess
from foundation.errors import InvalidInputError, UnsupportedError
from models.loading.request import LoadedModel
from quantize.islands import MOST_FLOAT
from quantize.qat.exchange import QatSettings
from quantize.ranges.parts import PartRunner

MOST_SAMPLES = 1000
"""Calibration images that are drawn by default from a larger set."""

TRIED = 8
"""Calibration images that a model, or a file of a plan, is run on as a check."""


@dataclass(frozen=True)
class Inputs:
    """Images of a request, opened before any network is loaded.

    Attributes:
        calibration_text: DATA to calibrate on, stated or taken from beside the measured one.
        calibration: images to calibrate on; None if no recipe needs them and none were stated.
        measured: images to measure on; None if nothing is measured.
        runner: what runs the float network on the calibration images; None for this process.
    """

    calibration_text: str | None
    calibration: Dataset | None
    measured: Dataset | None
    runner: PartRunner | None = field(default=None, compare=False, repr=False)

    @cached_property
    def calibration_digest(self) -> str:
        """Hash of the calibration images (``data_digest``), made once for all files."""
        return data_digest(self.calibration_text)

    @property
    def named(self) -> Dataset | None:
        """First dataset whose class names give labels: calibration images, then measured ones."""
        candidates = (self.calibration, self.measured)
        return next((d for d in candidates if d is not None and d.class_names), None)

    @property
    def told(self) -> tuple[Any, ...]:
        """What the labels of the images may tell about the tasks of a network."""
        both = (self.measured, self.calibration)
        return tuple(
            (d.labels is not None, [(t.columns, t.output, t.values.dtype.kind) for t in d.targets])
            for d in both
            if d is not None
        )


@dataclass(frozen=True)
class Prepared:
    """Model with its contract and calibration images."""

    loaded: LoadedModel
    contract: Preprocessing
    calibration: CalibrationSet | None
    qat: QatSettings = field(default_factory=QatSettings)
    float_share: float = MOST_FLOAT
    runner: PartRunner | None = None

    @cached_property
    def outputs(self) -> tuple[Output, ...]:
        """Outputs of the model."""
        return model_outputs(self.loaded)

    @cached_property
    def tried(self) -> np.ndarray:
        """The first TRIED calibration images, decoded once for all files that they check."""
        assert self.calibration is not None
        return self.calibration.first(TRIED)

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """What decoding changes in the calibration images, see ``conversion_remarks``."""
        return () if self.calibration is None else conversion_remarks(self.calibration.dataset)

    def refused(self, request: QuantizeRequest) -> dict[str, UnsupportedError]:
        """Errors by name of the recipes whose files cannot hold the network."""
        return self.planner.refusals(request.recipes)

    @cached_property
    def planner(self) -> Planner:
        """Planner of the model, which makes each plan once for all files that render it."""
        return Planner(
            self.loaded,
            self.contract,
            self.calibration,
            self.qat,
            most_float=self.float_share,
            runner=self.runner,
        )


def open_inputs(request: QuantizeRequest) -> Inputs:
    """Open the images of a request.

    Raises:
        InvalidInputError: a recipe needs calibration images and there are none, or the split is
            not for calibration.
    """
    text = request.calibration.data
    needing = [recipe.name for recipe in request.recipes if recipe.needs_calibration]
    if text is None and any(recipe.takes_calibration for recipe in request.recipes):
        text = None if request.measure is None else calibration_beside(request.measure.data)
        if text is None and needing:
            raise InvalidInputError(
                f"{needing[0]} measures ranges on representative images",
                received="no --calibration",
                remedy="give --calibration DATA, a folder of images or a registered name",
            )
    calibration = None if text is None else open_dataset(text)
    if calibration is not None:
        refuse_role(calibration)
    measured = None if request.measure is None else open_dataset(request.measure.data)
    return Inputs(text, calibration, measured)


def prepare(request: QuantizeRequest, inputs: Inputs) -> Prepared:
    """Load the model, resolve its contract and draw its calibration images."""
    own, model_path = own_contract(request.model)
    loaded = load(request.model)
    contract = contract_of(loaded, request.contract, own=own, path=model_path)
    for images in (inputs.calibration, inputs.measured):
        if images is not None:
            require_fit(images, contract)
    outputs = model_outputs(loaded)
    told = (inputs.measured, inputs.calibration)
    contract = settled_contract(contract, outputs, told, measured=inputs.measured is not None)
    require_postprocess((recipe.postprocess for recipe in request.recipes), contract)
    if inputs.measured is not None:  # labels that do not fit are refused before any work
        check_labels_and_limit(inputs.measured, contract, outputs, request.max_drop)
    calibration = None
    if inputs.calibration is not None:
        asked = request.calibration
        samples = asked.samples
        if samples is None and len(inputs.calibration) > MOST_SAMPLES:
            samples = MOST_SAMPLES
        calibration = CalibrationSet.draw(inputs.calibration, contract, samples, asked.seed)
        refuse_equal_images(calibration.dataset)
        if inputs.measured is not None:
            refuse_shared_images(calibration.dataset, inputs.measured)
        if not all(r.planned for r in request.recipes if r.needs_calibration):
            refuse_non_finite_outputs(loaded, calibration.first(TRIED))  # a plan checks all images
    share, runner = request.float_share, inputs.runner
    return Prepared(loaded, contract, calibration, request.qat, share, runner)


def prepare_shown(request: QuantizeRequest, inputs: Inputs, terminal: Terminal) -> Prepared:
    """``prepare`` with a progress bar: loading the SDKs alone takes seconds."""
    with terminal.progress(f"load {request.model.name}", None):
        prepared = prepare(request, inputs)
        remarks = prepared.remarks
    for remark in prepared.loaded.remarks:
        terminal.note(f"{request.model.name}: {remark}")
    for remark in remarks:
        terminal.note(f"calibration: {remark}")
    return prepared
