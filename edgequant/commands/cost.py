"""``edgequant cost``: parameters, multiply-adds and memory, by layer or over a grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from edgequant.artifacts import write_json, write_text
from edgequant.cli.invocation import command_line
from edgequant.cli.terminal import Terminal, plain_table
from edgequant.graph_layers import layer_graph
from edgequant.loading import load
from edgequant.memory_plan import planned
from export.c.patches import NONE, Patches
from foundation.errors import InvalidInputError
from foundation.extras import PAGES
from models.cost.bottlenecks import split_expansions
from models.cost.counting import Cost, cost_of, graph_cost, spec_cost
from models.loading.request import LoadedModel, ModelRequest
from models.spec import Knob
from network.wrapping import wrapped_graph
from reports import costs
from reports.cost_page import grid_page, layers_page
from reports.html import write_page

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class CostRequest:
    """Network to count.

    Attributes:
        model: network; its weights change no figure and are loaded only if they are named.
        element_bytes: bytes per activation: 1 for int8, 2 for float16, 4 for float32.
        ways: groups that the inner tensors of inverted residuals are split into; 1 for no split.
        layers: also show every layer.
        plan: also show the memory plan of the C sources.
        patches: patches that the plan may have.
        pages: folder for a page and its JSON; None for no page.
    """

    model: ModelRequest
    element_bytes: int = 1
    ways: int = 1
    layers: bool = False
    plan: bool = False
    patches: Patches = NONE
    pages: Path | None = None


@dataclass(frozen=True)
class GridRequest:
    """Registered network to count over a grid.

    Attributes:
        model: registered network; width and size come from the grid.
        alphas: width multipliers.
        sizes: sides of the square input, in pixels.
        element_bytes: bytes per activation.
        output: folder for table, plots and page.
    """

    model: ModelRequest
    alphas: tuple[float, ...]
    sizes: tuple[int, ...]
    element_bytes: int
    output: Path


def run(model: ModelRequest, values: dict[str, Any], terminal: Terminal) -> None:
    """Count one network, or a grid if ``values`` have --grid."""
    output = values["output"] or Path("artifacts") / f"{model.name}-cost"
    if values["plan"] and values["split"] != 1:
        raise InvalidInputError(
            "--plan plans the memory of a network that is not split",
            received=f"--split {values['split']}",
            remedy="remove --split, or remove --plan",
        )
    patches = Patches.of(values["patches"])
    if patches != NONE and not values["plan"]:
        raise InvalidInputError(
            "--patches is of the memory plan of the C sources",
            received=f"--patches {values['patches']} without --plan",
            remedy="add --plan, or remove --patches",
        )
    if values["grid"] or values["html"]:
        PAGES.require("leave out --html and --grid")
    if not values["grid"]:
        request = CostRequest(
            model,
            values["element_bytes"],
            values["split"],
            values["layers"],
            values["plan"],
            patches,
            output if values["html"] else None,
        )
        cost_command(request, terminal)
        return
    if values["split"] != 1 or values["layers"] or values["plan"] or values["html"]:
        raise InvalidInputError(
            "--split, --layers, --plan and --html are for one network; a grid always has its page",
            received="one of them with --grid",
            remedy="remove it, or remove --grid",
        )
    grid = GridRequest(
        model,
        alphas=_numbers("--alphas", values["alphas"], float),
        sizes=_numbers("--sizes", values["sizes"], int),
        element_bytes=values["element_bytes"],
        output=output,
    )
    grid_command(grid, terminal)


def _numbers(option: str, text: str, kind: Callable[[str], Number]) -> tuple[Number, ...]:
    try:
        return tuple(dict.fromkeys(kind(part) for part in text.split(",")))
    except ValueError as error:
        raise InvalidInputError(
            f"{option} takes numbers with commas between them",
            received=text,
            remedy=f"write for instance {option} 96,128",
        ) from error


def cost_command(request: CostRequest, terminal: Terminal) -> None:
    """Count one network and show it."""
    with terminal.progress(f"count {request.model.name}", None):
        network = _loaded(request)
        cost = _counted(request, network)
        size, patches = request.element_bytes, request.patches
        plan = planned(network, request.model, size, patches) if request.plan else None
    terminal.say(f"{request.model.name}{_split_in(request.ways)}, one image:")
    if request.layers:
        terminal.table(_layer_table(cost, request.element_bytes))
    for line in costs.totals(cost, request.element_bytes):
        terminal.say(f"  {line}")
    name = f"{request.model.name}{_split_in(request.ways)}"
    report = {"model": request.model.name, **cost.to_dict(request.element_bytes)}
    if plan is not None:
        terminal.say("memory plan of the C sources, input and outputs included:")
        terminal.say("\n".join(plan.lines()))
        report["plan"] = plan.to_dict()
    if request.pages is not None:
        stem = request.pages / f"{request.model.name}-cost"
        write_json(stem.with_name(f"{stem.name}.json"), report)
        path = stem.with_name(f"{stem.name}.html")
        data = (("JSON", f"{stem.name}.json"),)
        write_page(layers_page({**report, "model": name}, command_line(), data), path)
        terminal.say(f"page  {path}")
    terminal.result(report)


def grid_command(request: GridRequest, terminal: Terminal) -> None:
    """Count a registered network at every width and size; write table, plot and page."""
    name = request.model.reference
    if request.model.is_file:
        raise InvalidInputError(
            "--grid counts a registered model",
            received=name,
            remedy="give a name from 'edgequant list models', or remove --grid",
        )
    if request.model.alpha is not None or request.model.size is not None:
        raise InvalidInputError(
            "a grid takes its widths from --alphas and its sizes from --sizes",
            received="--alpha or --size with --grid",
            remedy="remove --alpha and --size",
        )
    if request.model.weights is not None:
        raise InvalidInputError(
            "a grid counts networks of many widths, and weights fit only one width",
            received=f"--weights {request.model.weights} with --grid",
            remedy="remove --weights",
        )
    spec = request.model.spec()
    alphas = request.alphas if Knob.ALPHA in spec.knobs else (spec.alpha,)
    points = []
    with terminal.progress(f"count {name}", len(alphas) * len(request.sizes)) as advance:
        for alpha in alphas:
            for size in request.sizes:
                cost = spec_cost(replace(request.model, alpha=alpha, size=size).spec())
                peak = cost.peak * request.element_bytes
                points.append(costs.Point(alpha, size, cost.folded_params, cost.macs, peak))
                advance(1)
    stem = request.output / f"{name}-grid"
    report = {
        "model": name,
        "element_bytes": request.element_bytes,
        "grid": [point.to_dict() for point in points],
    }
    write_text(stem.with_suffix(".csv"), costs.grid_csv(points))
    for suffix in (".svg", ".png"):
        costs.plot(name, points, stem.with_suffix(suffix))
    data = (("CSV", f"{stem.name}.csv"), ("plot", f"{stem.name}.png"))
    write_page(grid_page(report, command_line(), data), stem.with_suffix(".html"))
    terminal.table(_grid_table(points))
    terminal.say("written:")
    for suffix in (".csv", ".svg", ".png"):
        terminal.say(f"  {stem.with_suffix(suffix)}")
    terminal.say(f"page  {stem.with_suffix('.html')}")
    files = {"csv": ".csv", "plot": ".svg", "page": ".html"}
    named = {what: str(stem.with_suffix(suffix)) for what, suffix in files.items()}
    terminal.result({**report, **named})


def _loaded(request: CostRequest) -> LoadedModel:
    # Weights change no figure: unless they are named, none are loaded or downloaded.
    model = request.model
    if not model.is_file and model.weights is None:
        model = replace(model, weights="random")
    return load(model)


def _counted(request: CostRequest, loaded: LoadedModel) -> Cost:
    network = loaded.model
    graph = wrapped_graph(network)
    if graph is not None and request.ways == 1:
        return graph_cost(layer_graph(graph))
    return cost_of(network if request.ways == 1 else split_expansions(network, request.ways))


def _split_in(ways: int) -> str:
    return "" if ways == 1 else f" with inner tensors in {ways} groups"


def _layer_table(cost: Cost, element_bytes: int) -> Any:
    rows = [
        {
            "layer": layer.name,
            "kind": layer.kind,
            "output": "x".join(map(str, layer.shape)),
            "params": f"{layer.params:,}",
            "MACs": f"{layer.macs:,}",
            "live bytes": f"{layer.live * element_bytes:,}",
        }
        for layer in cost.layers
    ]
    return plain_table(rows, right=("params", "MACs", "live bytes"))


def _grid_table(points: list[costs.Point]) -> Any:
    rows = [
        {
            "alpha": f"{point.alpha:g}",
            "size": str(point.size),
            "params, M": f"{point.params / 1e6:.2f}",
            "MACs, M": f"{point.macs / 1e6:.1f}",
            "peak, kB": f"{point.peak_bytes / 1000:,.0f}",
        }
        for point in points
    ]
    return plain_table(rows, right=tuple(rows[0]))
