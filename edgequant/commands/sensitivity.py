"""``edgequant sensitivity``: layers ranked by the loss when only one is quantized."""

from __future__ import annotations

from dataclasses import replace

from edgequant.artifacts import write_json, write_text
from edgequant.cli.invocation import command_line
from edgequant.cli.terminal import Terminal
from edgequant.preparing import open_inputs, prepare_shown
from edgequant.repair.heldout import halves
from edgequant.repair.verdicts import scores_of
from edgequant.requests import QuantizeRequest
from foundation.atomic import write_whole
from foundation.errors import InvalidInputError
from foundation.extras import PAGES
from quantize.effort import EFFORTS, ranged_images
from quantize.engine import settled
from quantize.sensitivity.ranking import sensitivity
from reports import sensitivity as report_of
from reports.html import write_page
from reports.sensitivity_page import page

SHOWN = 30
"""Rows on the screen; all of them are in the files."""


def sensitivity_command(request: QuantizeRequest, limit: int, terminal: Terminal) -> None:
    """Measure every layer and write the ranking.

    Args:
        request: request with one int8 recipe that the engine plans.
        limit: largest number of images to judge on.
        terminal: shows the ranking.

    Raises:
        InvalidInputError: another recipe.
    """
    PAGES.require()
    (recipe,) = request.recipes
    if not recipe.plans_integers:
        raise InvalidInputError(
            "sensitivity is measured for an int8 recipe that the engine plans",
            received=f"{recipe.name}, --optimize {recipe.settings.optimization.value}",
            remedy="give --recipe tflite-int8 or onnx-int8, without --optimize converter",
        )
    prepared = prepare_shown(request, open_inputs(request), terminal)
    assert prepared.calibration is not None
    images = halves(prepared.calibration, prepared.outputs, limit)
    prepared.planner.require_writable(recipe)
    asked = prepared.planner.completed(recipe).settings
    graph = prepared.planner.graph
    total = images.fitting.count + len(graph.ops) + images.judged.count
    with terminal.progress("layers", total) as advance:
        decided = settled(graph, images.fitting, prepared.contract, asked, advance)
        told = scores_of(graph, images, prepared.contract, prepared.outputs)
        judged = images.judged if told is None else replace(images.judged, scores=told[0])
        ranking = sensitivity(decided, asked, judged, advance)
    report = report_of.document(
        ranking,
        model=request.model.name,
        recipe=recipe.name,
        optimization=recipe.settings.optimization.value,
        data=prepared.calibration.dataset.name,
        labelled=images.labelled,
        ranged=min(images.fitting.count, ranged_images(graph, EFFORTS[asked.optimization])),
        metric="top-1" if told is None else told[1],
    )
    stem = request.output / f"{request.model.name}-sensitivity"
    json_path, csv_path, plot_path, html_path = (stem.parent / f"{stem.name}{e}" for e in _ENDINGS)
    write_json(json_path, report)
    write_text(csv_path, report_of.csv_table(report))
    write_whole(plot_path, lambda part: report_of.plot(report, part))
    terminal.table(report_of.screen_table(report, SHOWN))
    for line in report_of.conditions(report):
        terminal.say(line)
    if len(ranking.layers) > SHOWN:
        terminal.say(f"and {len(ranking.layers) - SHOWN} layers that lose less")
    for path in (json_path, csv_path, plot_path):
        terminal.say(f"  {path}")
    data = (("JSON", json_path.name), ("CSV", csv_path.name))
    write_page(page(report, command_line(), data), html_path)
    terminal.say(f"page  {html_path}")
    terminal.result(report)


_ENDINGS = (".json", ".csv", ".png", ".html")
