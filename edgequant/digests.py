"""Digests of what the shipped networks become, recorded beside their checkpoints, and who differs.

This module reads the record and ``edgequant.digest_record`` writes it. A digest is of numbers and
file bytes alone: neither keys nor our source nor how well zlib compressed a plan enter it.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from calibration_data.preprocessing import Preprocessing
from edgequant.repeatable import other_sums
from edgequant.requests import QuantizeRequest
from foundation.digests import sha256_of
from foundation.foreign import read_object
from models.spec import ModelSpec, model_specs
from models.weights.named import checkpoint_folder, checkpoint_path, shipped_weights
from quantize.plans.plan import QuantizationPlan
from quantize.recipes import RECIPES, Optimization, Recipe, recipe

EFFORTS = (Optimization.FAST, Optimization.DEFAULT, Optimization.BEST)
"""Levels of work whose results are recorded; training repeats on one kind of CPU alone."""

PACKAGES = (
    "ai-edge-litert", "flatbuffers", "keras", "numpy", "onnx", "onnxruntime", "scipy",
    "tensorflow", "tf2onnx",
)  # fmt: skip
"""Distributions that shape a plan or a file."""

_SUFFIX = ".digests.json"


@dataclass(frozen=True)
class Digests:
    """Hashes of one rendering of a plan.

    Attributes:
        plan: of its numbers, see ``plan_digest``.
        file: sha256 of the .tflite or .onnx.
    """

    plan: str
    file: str


@dataclass(frozen=True)
class DigestRecord:
    """What a shipped network becomes with the defaults of every option but the effort.

    Attributes:
        weights: sha256 of the checkpoint.
        data: name of the calibration images, all of which are taken.
        images: their number.
        preprocessing: contract, as plain values.
        versions: of PACKAGES.
        digests: by effort and recipe.
    """

    weights: str
    data: str
    images: int
    preprocessing: Mapping[str, Any]
    versions: Mapping[str, str]
    digests: Mapping[str, Mapping[str, Digests]] = field(repr=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DigestRecord:
        """Read back what ``to_dict`` gave."""
        digests = {
            effort: {name: Digests(**row) for name, row in rows.items()}
            for effort, rows in values["digests"].items()
        }
        return cls(**{**values, "digests": digests})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **vars(self),
            "digests": {
                effort: {name: vars(row) for name, row in sorted(rows.items())}
                for effort, rows in self.digests.items()
            },
        }

    @property
    def is_comparable(self) -> bool:
        """Whether it was written with the installed versions."""
        return dict(self.versions) == installed_versions()


def record_path(spec: ModelSpec, weights: str) -> Path:
    """Where the record of a shipped checkpoint is."""
    return checkpoint_folder() / f"{spec.name}.{weights}{_SUFFIX}"


def read_record(spec: ModelSpec, weights: str) -> DigestRecord | None:
    """The record of a shipped checkpoint; None where there is none for these weights."""
    path = record_path(spec, weights)
    if not path.is_file():
        return None
    values = read_object(path, "a record of digests is a JSON object", "run make digests")
    record = DigestRecord.from_dict(values)
    return record if record.weights == sha256_of(checkpoint_path(spec, weights)) else None


def shipped_networks() -> tuple[tuple[ModelSpec, str], ...]:
    """Every network with a checkpoint of ours, and the name of its weights."""
    specs = model_specs().values()
    return tuple((spec, weights) for spec in specs for weights in shipped_weights(spec))


def recorded_recipes(effort: Optimization) -> tuple[Recipe, ...]:
    """The recipes that render a plan, with that much work put into it."""
    recipes = (known.with_effort(effort) for known in RECIPES)
    return tuple(known for known in recipes if known.planned)


def plan_digest(plan: QuantizationPlan) -> str:
    """SHA-256 of the numbers of a plan: scales, zero points, integers and float constants."""
    found = hashlib.sha256(plan.graph.encode())
    for name, params in sorted(plan.activations.items()):
        found.update(_text(name, params.to_dict()))
    for name, constant in sorted(plan.constants.items()):
        found.update(_text(name, constant.params.to_dict()))
        found.update(_array(constant.integers))
    for name, value in sorted(plan.floats.items()):
        found.update(_text(name, {}))
        found.update(_array(value))
    return found.hexdigest()


def _text(name: str, values: Mapping[str, Any]) -> bytes:
    return json.dumps([name, values], sort_keys=True).encode()


def _array(values: np.ndarray) -> bytes:
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return f"{values.dtype.name} {values.shape}".encode() + little.tobytes()


def installed_versions() -> dict[str, str]:
    """Versions of PACKAGES; an empty one for what is not installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def remark_on(
    request: QuantizeRequest,
    made: Recipe,
    contract: Preprocessing,
    images: str,
    digests: Digests,
) -> str | None:
    """What to tell the user where recorded and own bytes differ.

    Args:
        request: what was asked for.
        made: recipe of the file.
        contract: of the network.
        images: name of the calibration images.
        digests: of the file and its plan.

    Returns:
        A sentence; None for equal bytes, and where nothing was recorded for exactly these settings
        and versions.
    """
    record = _record_of(request, made, contract, images)
    if record is None or not record.is_comparable:
        return None
    recorded = record.digests.get(made.settings.optimization.value, {}).get(made.name)
    if recorded is None or recorded.file == digests.file:
        return None
    what = "the file differs" if recorded.plan == digests.plan else "plan and file differ"
    why = other_sums(platform.machine()) or "another kind of CPU, or other code"
    return (
        f"{what} from what was recorded for these settings and versions (a file of sha256 "
        f"{recorded.file[:12]}...): {why}"
    )


def _record_of(
    request: QuantizeRequest, made: Recipe, contract: Preprocessing, images: str
) -> DigestRecord | None:
    """The record that holds for a request: a shipped network, and defaults but for the effort."""
    model = request.model
    if model.is_file or request.calibration.samples is not None or request.repairs:
        return None
    plain = recipe(made.name).with_effort(made.settings.optimization)
    if not plain.planned or plain.to_dict() != made.to_dict():
        return None
    spec = model_specs()[model.reference]
    weights = model.weights or spec.weights
    if weights not in shipped_weights(spec) or model.spec() != spec:
        return None
    record = read_record(spec, weights)
    same = record is not None and (
        record.data == images and record.preprocessing == json.loads(json.dumps(contract.to_dict()))
    )
    return record if same else None
