"""``edgequant ship``: a folder and zip with files for each platform, tested in its runtime."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from calibration_data.task import Task
from edgequant.artifacts import SUMS, data_digest, key_of, read_json, versions
from edgequant.cli.terminal import Terminal
from edgequant.pipeline import artifact_key
from edgequant.preparing import Inputs, Prepared, open_inputs, prepare_shown
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
from edgequant.ship.gates import Advise, check_applicable, check_gates
from edgequant.ship.pages import write_ship_page
from edgequant.ship.proving import Proven, show_proofs
from edgequant.ship.request import ShipRequest
from edgequant.ship.smaller import Advisor, require_arena
from evaluation.machine import PACKAGES
from export.bundles.c import patches_in
from export.bundles.labels import check_labels
from export.bundles.target import (
    ShipTarget,
    is_classifier,
    is_yes_or_no,
    ship_target,
    ship_targets,
)
from export.c.patches import Patches
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
    if not request.force and _is_current(request, key):
        refuse_foreign_beside(request.output)
        if not is_packed(request.output):
            pack(request.output, zip_path(request.output))
        terminal.say("unchanged since the last run:")
    else:
        _write(request, targets, inputs, key, terminal)
        terminal.say("written:")
    manifest = read_json(request.output / MANIFEST)
    advisor = Advisor.of(request)

    def advise(part: str, measured: int, limit: int) -> str:
        with terminal.progress("plan smaller networks", None):
            return advisor.remedy(part, measured, limit)

    _show(request, manifest, advise, terminal)
    check_gates(request.gates, request.output, manifest, advise)


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
    if request.gates.max_sram is not None and "c" in request.targets:
        with terminal.progress("plan the memory", None):
            require_arena(request, prepared.planner.graph)
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


def _show(
    request: ShipRequest, manifest: dict[str, Any], advise: Advise, terminal: Terminal
) -> None:
    """Write the page, and print paths, digests and proofs of the bundle."""
    archive = zip_path(request.output)
    digests = {"zip": sha256_of(archive), "sums": sha256_of(request.output / SUMS)}
    terminal.say(f"  {request.output}\n  {archive}")
    terminal.say(
        f"sha256, for verify --sha256\n  {digests['zip']}  {archive.name}\n"
        f"  {digests['sums']}  {request.output.name}/{SUMS}"
    )
    page = write_ship_page(request.output, manifest, request.gates, advise)
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
            "patches": "none" if _for_limit(request.patches) else request.patches,
            "runtimes": {name: str(path) for name, path in request.runtimes.items()},
            "versions": versions(PACKAGES),
            "installed": [name for name in _RUNTIMES if find_spec(name)],
        }
    )


def _is_current(request: ShipRequest, key: str) -> bool:
    folder = request.output
    if read_json(folder / MANIFEST).get("key") != key or changed_files(folder):
        return False
    if "c" not in request.targets:
        return True
    cut = patches_in(folder / "c").text  # for another limit, other patches are right
    return not _for_limit(cut) or cut == request.patches


def _for_limit(patches: str) -> bool:
    return bool(Patches.of(patches).most_bytes)
