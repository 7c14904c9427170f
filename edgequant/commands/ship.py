"""``edgequant ship``: a folder and zip with files for each platform, tested in its runtime."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from calibration_data.task import Task
from edgequant.artifacts import SUMS, data_digest, key_of, read_json, versions
from edgequant.cli.terminal import Terminal
from edgequant.pipeline import Inputs, Prepared, artifact_key, open_inputs, prepare_shown
from edgequant.ship.building import Builder
from edgequant.ship.bundle import (
    MANIFEST,
    changed_files,
    is_packed,
    pack,
    recover,
    refuse_foreign_beside,
    refuse_occupied,
    write_bundle,
    zip_path,
)
from edgequant.ship.gates import check_applicable, check_gates
from edgequant.ship.pages import write_ship_page
from edgequant.ship.proving import Proven, show_proofs
from edgequant.ship.request import ShipRequest
from evaluation.machine import PACKAGES
from export.bundles.labels import check_labels
from export.bundles.target import (
    ShipTarget,
    is_classifier,
    is_yes_or_no,
    ship_target,
    ship_targets,
)
from foundation.digests import sha256_of
from foundation.errors import UnsupportedError
from foundation.extras import PAGES
from foundation.scratch import require_writable

_RUNTIMES = ("mediapipe", "tflite_micro", "ethosu")
"""Modules of the platforms' runtimes; a bundle is made again when another one is installed."""


def ship_command(request: ShipRequest, terminal: Terminal) -> None:
    """Write the bundle, run its proofs, and check its limits."""
    PAGES.require()
    targets = [ship_target(name) for name in dict.fromkeys(request.targets)]
    check_applicable(request.gates, request.targets)
    recipes = tuple(file.recipe for target in targets for file in target.files)
    request = replace(request, base=replace(request.base, recipes=recipes))
    inputs = open_inputs(request.base)
    key = _key(request, inputs)
    recover(request.output)
    if not request.force and _is_current(request.output, key):
        refuse_foreign_beside(request.output)
        if not is_packed(request.output):
            pack(request.output, zip_path(request.output))
        terminal.say("unchanged since the last run:")
    else:
        _write(request, targets, inputs, key, terminal)
        terminal.say("written:")
    manifest = read_json(request.output / MANIFEST)
    _show(request, manifest, terminal)
    check_gates(request.gates, request.output, manifest)


def _write(
    request: ShipRequest, targets: list[ShipTarget], inputs: Inputs, key: str, terminal: Terminal
) -> None:
    """Write the bundle; whatever its targets cannot hold is refused first."""
    refuse_occupied(request.output, force=request.force)
    prepared = prepare_shown(request.base, inputs, terminal)
    prepared = _with_labels_of_values(prepared)
    _check_outputs(prepared, targets)
    for target in targets:
        target.check(prepared.contract)
        if target.check_graph is not None:
            target.check_graph(prepared.planner.graph, prepared.loaded.name)
    require_writable(request.output.parent)
    builder = Builder(request, prepared, inputs, key, terminal)
    write_bundle(request.output, lambda folder: builder.build(targets, folder))


def _with_labels_of_values(prepared: Prepared) -> Prepared:
    """Model whose labels name values of its output: of a binary one, yes alone and not no."""
    contract = prepared.contract
    if contract.tasks.only.known is not Task.BINARY or len(contract.labels) != 2:
        return prepared
    return replace(prepared, contract=contract.with_labels(contract.labels[1:]))


def _check_outputs(prepared: Prepared, targets: list[ShipTarget]) -> None:
    """Refuse labels that do not fit, and targets that take only the scores of classes."""
    outputs, contract = prepared.loaded.outputs, prepared.contract
    given = [output.shape for output in outputs]
    lacking = [target.name for target in targets if not target.takes_outputs(given, contract)]
    if is_classifier(given, contract) or (lacking and is_yes_or_no(given, contract)):
        check_labels(contract, prepared.loaded.classes)
        return
    if contract.labels:
        check_labels(contract, len(contract.labels))
    if lacking:
        able = ", ".join(name for name, target in ship_targets().items() if target.any_outputs)
        shapes = ", ".join(f"{output.name} {list(output.shape)}" for output in outputs)
        task = "" if contract.tasks.named else f" for {contract.tasks.only.known}"
        raise UnsupportedError(
            f"a bundle for {', '.join(lacking)} holds a network with one output, scores of labels, "
            "or a detector, or a segmenter of 2 to 255 classes",
            received=shapes + task,
            remedy=f"give --for {able}, or ship the file of 'edgequant quantize'",
        )


def _show(request: ShipRequest, manifest: dict[str, Any], terminal: Terminal) -> None:
    """Write the page, and print paths, digests and proofs of the bundle."""
    archive = zip_path(request.output)
    digests = {"zip": sha256_of(archive), "sums": sha256_of(request.output / SUMS)}
    terminal.say(f"  {request.output}\n  {archive}")
    terminal.say(
        f"sha256, for verify --sha256\n  {digests['zip']}  {archive.name}\n"
        f"  {digests['sums']}  {request.output.name}/{SUMS}"
    )
    page = write_ship_page(request.output, manifest, request.gates)
    terminal.say(f"page  {page}")
    for name, values in manifest["targets"].items():
        show_proofs(name, [Proven.from_dict(proof) for proof in values["proofs"]], terminal)
    terminal.result(
        {
            "bundle": str(request.output),
            "zip": str(archive),
            "page": str(page),
            "sha256": digests,
            **manifest,
        }
    )


def _key(request: ShipRequest, inputs: Inputs) -> str:
    """Hash of everything that the bundle is made from."""
    base = request.base
    return key_of(
        {
            "artifacts": [artifact_key(base, recipe, inputs) for recipe in base.recipes],
            "targets": request.targets,
            "vectors": (request.data, data_digest(request.data), request.vectors),
            "accelerators": request.accelerators,
            "prefix": request.prefix,
            "runtimes": {name: str(path) for name, path in request.runtimes.items()},
            "versions": versions(PACKAGES),
            "installed": [name for name in _RUNTIMES if find_spec(name)],
        }
    )


def _is_current(folder: Path, key: str) -> bool:
    return read_json(folder / MANIFEST).get("key") == key and not changed_files(folder)
