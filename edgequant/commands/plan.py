"""``edgequant plan``: print a plan, compare two, and write files from one without calibration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from calibration_data.contract import ContractRequest
from edgequant.artifacts import Artifact, Making, check_folder, deliver, key_of, versions
from edgequant.cli.terminal import Terminal, plain_table
from edgequant.commands.written import artifact_row, say_artifact, say_kept, say_remarks
from edgequant.loading import contract_of, graph_read, load, own_contract
from edgequant.outputs import model_outputs, settled_contract
from edgequant.planning import Planner
from export.target import ExportRequest, export_targets
from foundation.digests import sha256_of
from foundation.errors import GateFailedError, InvalidInputError
from foundation.scratch import require_writable
from models.loading.request import LoadedModel, ModelRequest
from network.affine import QuantParams
from quantize.plans.check import check_fits
from quantize.plans.diff import differences
from quantize.plans.plan import PlannedNetwork, QuantizationPlan
from quantize.recipes import Recipe
from quantize.recipes import recipe as recipe_of
from quantize.settings import IoType, Precision

_SHOWN = 40
"""Differences on the screen; all of them are in the JSON."""


def show_command(path: Path, terminal: Terminal) -> None:
    """Print tensors, settings and notes of a plan."""
    plan = QuantizationPlan.load(path)
    rows = _tensors(plan)
    terminal.table(plain_table(rows, ("tensor", "what", "type", "scales", "scale", "zero point")))
    settings = plan.settings
    terminal.say(f"graph         {plan.graph}")
    terminal.say(
        f"granularity   {settings.granularity.value}, weights {settings.weight_range.value}"
    )
    terminal.say(f"in float32    {', '.join(plan.settings.float_ops) or 'nothing'}")
    terminal.say(f"in int16x8    {', '.join(plan.settings.wide_ops) or 'nothing'}")
    terminal.say(f"in 4 bits     {', '.join(plan.settings.narrow_ops) or 'nothing'}")
    for name, value in plan.described.items():
        terminal.say(f"{name:<20} {value}")
    for note in plan.notes:
        terminal.say(f"note: {note}")
    terminal.result(
        {
            "plan": str(path),
            "sha256": sha256_of(path),
            "graph": plan.graph,
            "granularity": plan.settings.granularity.value,
            "weight_range": plan.settings.weight_range.value,
            "float_ops": list(plan.settings.float_ops),
            "wide_ops": list(plan.settings.wide_ops),
            "narrow_ops": list(plan.settings.narrow_ops),
            "settings": plan.described,
            "notes": list(plan.notes),
            "tensors": rows,
        }
    )


def diff_command(first: Path, second: Path, terminal: Terminal) -> None:
    """Print where two plans differ.

    Raises:
        GateFailedError: they differ.
    """
    diffs = differences(QuantizationPlan.load(first), QuantizationPlan.load(second))
    rows: list[dict[str, Any]] = [difference.to_dict() for difference in diffs]
    if not diffs:
        terminal.say("the same parameters and integers in both plans")
    else:
        terminal.table(plain_table(rows[:_SHOWN], ("name", "part", "detail")))
        if len(rows) > _SHOWN:
            terminal.say(f"and {len(rows) - _SHOWN} more (--json lists all)")
    terminal.result(
        {"first": str(first), "second": str(second), "same": not diffs, "differences": rows}
    )
    if diffs:
        raise GateFailedError(
            "both plans hold the same parameters and integers",
            received=f"{len(diffs)} differences",
            remedy="make both from the same model, calibration images and options",
        )


@dataclass(frozen=True)
class ApplyRequest:
    """Files to write from a plan.

    Attributes:
        plan: path of the plan.
        model: model that the plan was made for.
        contract: preprocessing that the user states.
        recipes: recipes of the int8 files.
        output: folder for the files of one recipe; with several, each gets a folder inside it.
    """

    plan: Path
    model: ModelRequest
    contract: ContractRequest
    recipes: tuple[Recipe, ...]
    output: Path


def apply_request(plan: Path, values: dict[str, Any]) -> ApplyRequest:
    """Request of ``edgequant plan apply`` from its parsed options."""
    from edgequant.cli.values import contract_request, model_request

    model = model_request(values)
    io = IoType(values["io"]) if values["io"] else None
    recipes = tuple(recipe_of(name.strip()).with_io(io) for name in values["recipes"].split(","))
    ending = "+".join(recipe.name for recipe in recipes)
    output = values["output"] or Path("artifacts") / f"{model.name}-{ending}"
    return ApplyRequest(plan, model, contract_request(values), recipes, output)


def apply_command(request: ApplyRequest, terminal: Terminal) -> None:
    """Write the files of a plan.

    Raises:
        InvalidInputError: the plan is damaged, or was made for another network or other numbers
            than the recipe's.
    """
    plan = QuantizationPlan.load(request.plan)
    recipes = tuple(_checked(recipe, plan) for recipe in request.recipes)
    for target in (_path(request, recipe) for recipe in recipes):
        say_kept(check_folder(target.parent, target.stem, target.suffix), terminal)
    with terminal.progress(f"load {request.model.name}", None):
        loaded = load(request.model)
        own, path = own_contract(request.model)
        contract = contract_of(loaded, request.contract, own=own, path=path)
        contract = settled_contract(contract, model_outputs(loaded), (), measured=False)
        graph = Planner(loaded, contract, None).graph
        plan.check_graph(graph)
        check_fits(plan, graph)
        planned = PlannedNetwork(plan.network(graph), plan)
    model = loaded.model if graph_read(loaded) is None else None
    artifacts = []
    for recipe in recipes:
        require_writable(_path(request, recipe).parent)
        export = ExportRequest(model, recipe, contract, planned=planned)
        artifacts.append(_written(request, export, loaded))
        say_artifact(artifacts[-1], terminal)
    say_remarks(artifacts, terminal)
    rows = [artifact_row(artifact) for artifact in artifacts]
    terminal.result({"artifacts": rows} if len(rows) > 1 else rows[0])


def _checked(recipe: Recipe, plan: QuantizationPlan) -> Recipe:
    """Recipe with the settings of the plan."""
    wanted, made = recipe.settings, plan.settings
    if made.int16:
        fits, rule = recipe.precision is Precision.INT16X8, "tflite-int16x8, which it was made for"
    elif made.floating is not None:
        fits = recipe.precision is made.floating
        rule = f"recipes of {made.floating.value}, which it was made for"
    elif made.narrow_ops or recipe.precision is Precision.INT4:
        fits = bool(made.narrow_ops) and recipe.precision is Precision.INT4
        rule = "tflite-int4, which it was made for" if made.narrow_ops else "recipes of int8"
    else:
        alike = (wanted.granularity, wanted.weight_range) == (made.granularity, made.weight_range)
        fits = recipe.plans_integers and alike
        rule = (
            "int8 recipes of its granularity and weight range, "
            f"{made.granularity.value} and {made.weight_range.value}"
        )
    if not fits:
        raise InvalidInputError(
            f"a plan is applied in {rule}",
            received=recipe.name,
            remedy="choose another recipe, or make a plan with edgequant quantize",
        )
    return replace(recipe, settings=plan.settings)


def _path(request: ApplyRequest, recipe: Recipe) -> Path:
    """Path of the file of a recipe."""
    several = len(request.recipes) > 1
    folder = request.output / recipe.name if several else request.output
    suffix = export_targets()[recipe.target].suffix
    return folder / f"{request.model.name}-{recipe.name}{suffix}"


def _written(request: ApplyRequest, export: ExportRequest, loaded: LoadedModel) -> Artifact:
    """Write one file with labels, plan and record."""
    recipe, planned = export.recipe, export.planned
    assert planned is not None
    target = export_targets()[recipe.target]
    path = _path(request, recipe)
    digest = sha256_of(request.plan)
    origin: dict[str, Any] = {
        "model": {"name": loaded.name, "sha256": request.model.digest()},
        "calibration": None,
        "plan": {"file": request.plan.name, "sha256": digest},
        "versions": versions(target.packages),
        "remarks": list(planned.plan.notes),
    }
    key = key_of({"plan": digest, "model": request.model.digest(), "recipe": recipe.to_dict()})
    made = Making(path, recipe, key, export.preprocessing, origin, planned.plan)
    return deliver(made, lambda part: target.write(export, part))


def _tensors(plan: QuantizationPlan) -> list[dict[str, Any]]:
    rows = [_row(name, "activation", params) for name, params in plan.activations.items()]
    rows += [
        _row(name, f"constant {'x'.join(map(str, c.integers.shape))}", c.params)
        for name, c in plan.constants.items()
    ]
    return rows


def _row(name: str, what: str, params: QuantParams) -> dict[str, Any]:
    low, high = min(params.scale), max(params.scale)
    zeros = sorted(set(params.zero_point))
    several = params.axis is not None
    return {
        "tensor": name,
        "what": what,
        "type": params.dtype.value,
        "scales": f"{len(params.scale)}, axis {params.axis}" if several else "1",
        "scale": f"{low:.6g}" if low == high else f"{low:.4g} to {high:.4g}",
        "zero point": str(zeros[0]) if len(zeros) == 1 else f"{zeros[0]} to {zeros[-1]}",
    }
