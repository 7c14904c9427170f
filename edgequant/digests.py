"""Recorded digests of the files that shipped networks are quantized to, and differences from them.

This module reads the records beside the checkpoints; ``edgequant.digest_record`` writes them. A
digest covers numbers and file bytes alone: no keys, no source, and no compression of plans.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
from quantize.recipes import RECIPES, Recipe, recipe
from quantize.settings import Optimization

EFFORTS = (Optimization.FAST, Optimization.DEFAULT, Optimization.BEST)
"""Efforts whose results are recorded; training repeats only on one kind of CPU."""

PACKAGES = (
    "ai-edge-litert", "flatbuffers", "keras", "numpy", "onnx", "onnxruntime", "scipy",
    "tensorflow",
)  # fmt: skip
"""Distributions that a plan or a file depends on."""

_SUFFIX = ".digests.json"


@dataclass(frozen=True)
class Digests:
    """Digests of one file and its plan.

    Attributes:
        plan: digest of the plan's numbers (``plan_digest``).
        file: sha256 of the .tflite or .onnx.
    """

    plan: str
    file: str


@dataclass(frozen=True)
class DigestRecord:
    """Digests of a shipped network's files, with the defaults of all options but the effort.

    Attributes:
        weights: sha256 of the checkpoint.
        data: name of the calibration images, all of which are used.
        images: number of calibration images.
        preprocessing: contract as plain values.
        versions: versions of PACKAGES by name.
        digests: digests by effort and recipe.
    """

    weights: str
    data: str
    images: int
    preprocessing: Mapping[str, Any]
    versions: Mapping[str, str]
    digests: Mapping[str, Mapping[str, Digests]] = field(repr=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DigestRecord:
        """Record from the values of ``to_dict``."""
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
        """Whether the record was written with the installed versions."""
        return dict(self.versions) == installed_versions()


def record_path(spec: ModelSpec, weights: str) -> Path:
    """Path of the record of a shipped checkpoint."""
    return checkpoint_folder() / f"{spec.name}.{weights}{_SUFFIX}"


def read_record(spec: ModelSpec, weights: str) -> DigestRecord | None:
    """Record of a shipped checkpoint; None without a record of these weights."""
    path = record_path(spec, weights)
    if not path.is_file():
        return None
    values = read_object(path, "a record of digests is a JSON object", "run make digests")
    record = DigestRecord.from_dict(values)
    return record if record.weights == sha256_of(checkpoint_path(spec, weights)) else None


def shipped_networks() -> tuple[tuple[ModelSpec, str], ...]:
    """Networks with a shipped checkpoint, each with the name of its weights."""
    specs = model_specs().values()
    return tuple((spec, weights) for spec in specs for weights in shipped_weights(spec))


def recorded_recipes(effort: Optimization) -> tuple[Recipe, ...]:
    """Recipes that render a plan of this effort with integer activations.

    Weights in 4 bits are those of all operators that are worth it: no size and no drop chose them.
    """
    recipes = (known.with_effort(effort) for known in RECIPES)
    return tuple(known for known in recipes if known.plans_integers)


def plan_digest(plan: QuantizationPlan) -> str:
    """SHA-256 of the numbers of a plan: scales, zero points, integers and float constants."""
    digest = hashlib.sha256(plan.graph.encode())
    for name, params in sorted(plan.activations.items()):
        digest.update(_text(name, params.to_dict()))
    for name, constant in sorted(plan.constants.items()):
        digest.update(_text(name, constant.params.to_dict()))
        digest.update(_array(constant.integers))
    for name, value in sorted(plan.floats.items()):
        digest.update(_text(name, {}))
        digest.update(_array(value))
    return digest.hexdigest()


def _text(name: str, values: Mapping[str, Any]) -> bytes:
    return json.dumps([name, values], sort_keys=True).encode()


def _array(values: np.ndarray) -> bytes:
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return f"{values.dtype.name} {values.shape}".encode() + little.tobytes()


def installed_versions() -> dict[str, str]:
    """Versions of PACKAGES by name; an empty text for a package that is not installed."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = ""
    return versions


def remark_on(
    request: QuantizeRequest,
    made: Recipe,
    contract: Preprocessing,
    images: str,
    digests: Digests,
) -> str | None:
    """Remark for the user if a file differs from the recorded one.

    Args:
        request: request that the file was written for.
        made: recipe of the file.
        contract: preprocessing of the network.
        images: name of the calibration images.
        digests: digests of the file and its plan.

    Returns:
        A sentence; None for equal bytes, or without a record for exactly these settings and
        versions.
    """
    record = record_of(request, made, contract, images)
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


def record_of(
    request: QuantizeRequest, made: Recipe, contract: Preprocessing, images: str
) -> DigestRecord | None:
    """Record for a request of a shipped network with default options, whose effort may differ.

    None for any other request, before anything is hashed but a shipped checkpoint.
    """
    model = request.model
    if model.is_file or request.calibration.samples is not None or request.repairs:
        return None
    if request.max_size is not None or any(r.settings.narrow_ops for r in request.recipes):
        return None
    plain = recipe(made.name).with_effort(made.settings.optimization)
    named = replace(plain, settings=replace(plain.settings, narrow_ops=made.settings.narrow_ops))
    if not plain.plans_integers or named.to_dict() != made.to_dict():
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
