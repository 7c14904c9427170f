"""Writes the digests of the shipped networks' files: ``make digests``."""

# ruff: noqa: E402 - the order of sums is settled before NumPy is loaded

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import edgequant.process  # noqa: F401 - a process of ours
from edgequant.repeatable import one_order_of_sums

one_order_of_sums()

from calibration_data.contract import ContractRequest
from edgequant.digests import (
    EFFORTS,
    DigestRecord,
    Digests,
    installed_versions,
    plan_digest,
    record_path,
    recorded_recipes,
    shipped_networks,
)
from edgequant.pipeline import write_artifact
from edgequant.preparing import Prepared, open_inputs, prepare
from edgequant.requests import CalibrationRequest, QuantizeRequest
from foundation.atomic import write_whole
from foundation.digests import sha256_of
from models.loading.request import ModelRequest
from models.spec import ModelSpec
from models.weights.named import checkpoint_path
from quantize.plans.plan import SUFFIX, QuantizationPlan
from quantize.settings import Optimization


def default_request(
    spec: ModelSpec, weights: str, effort: Optimization, output: Path
) -> QuantizeRequest:
    """Request for all planned recipes of a shipped network, with default options."""
    return QuantizeRequest(
        ModelRequest(spec.name, weights=weights),
        ContractRequest(),
        recorded_recipes(effort),
        CalibrationRequest(f"{weights}:calibration"),
        output,
    )


def made_digests(request: QuantizeRequest, prepared: Prepared) -> dict[str, Digests]:
    """Digests of every file of a request, and of its plan, by recipe."""
    digests = {}
    for recipe in request.recipes:
        artifact = write_artifact(request, recipe, prepared, "", lambda _: None)
        plan = QuantizationPlan.load(artifact.beside(SUFFIX))
        digests[recipe.name] = Digests(plan_digest(plan), artifact.sha256)
    return digests


def made_record(spec: ModelSpec, weights: str, efforts: tuple[Optimization, ...]) -> DigestRecord:
    """Record of a shipped network, from files that are written to a temporary folder."""
    digests = {}
    with tempfile.TemporaryDirectory() as folder:
        requests = {e: default_request(spec, weights, e, Path(folder) / e.value) for e in efforts}
        first = requests[efforts[0]]
        prepared = prepare(first, open_inputs(first))
        for effort, request in requests.items():
            digests[effort.value] = made_digests(request, prepared)
    assert prepared.calibration is not None  # every planned recipe needs one
    return DigestRecord(
        weights=sha256_of(checkpoint_path(spec, weights)),
        data=prepared.calibration.dataset.name,
        images=len(prepared.calibration.dataset),
        preprocessing=prepared.contract.to_dict(),
        versions=installed_versions(),
        digests=digests,
    )


def write_record(spec: ModelSpec, weights: str) -> Path:
    """Write the record of one shipped network beside its checkpoint; returns its path."""
    text = json.dumps(made_record(spec, weights, EFFORTS).to_dict(), indent=2) + "\n"
    path = record_path(spec, weights)
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))
    return path


def main() -> None:
    """Write the record of every shipped network."""
    for spec, weights in shipped_networks():
        print(write_record(spec, weights))  # noqa: T201 - what the command made


if __name__ == "__main__":
    main()
