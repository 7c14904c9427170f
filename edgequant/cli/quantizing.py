"""Commands that quantize a model: ``quantize``, ``compare`` and ``sensitivity``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgequant.cli.cluster_options import cluster_option, store_option, workers_option
from edgequant.cli.option_types import TEXT
from edgequant.cli.options import (
    calibration_options,
    columns_option,
    common,
    contract_options,
    data_option,
    float_share_option,
    force_option,
    limit_option,
    measure_options,
    model_options,
    optimize_option,
    output_option,
    plan_options,
    qat_options,
    repair_options,
    wide_option,
)
from edgequant.cli.sections import Section, SectionedCommand, list_option, option
from edgequant.cli.terminal import terminal_of
from quantize.recipes import RECIPES

if TYPE_CHECKING:
    from edgequant.sweeping.parts import Sharding

_OF_WORKERS = ("cluster", "workers", "store")
_RECIPE_NAMES = ", ".join(recipe.name for recipe in RECIPES)

io_option = option(
    "--io",
    type=click.Choice(["int8", "uint8", "float32"]),
    section=Section.RECIPE,
    help="Type of input and output of an int8 .tflite.",
)


@click.command(cls=SectionedCommand)
@model_options
@contract_options
@list_option(
    "--recipe",
    "recipes",
    type=TEXT,
    metavar="RECIPES",
    required=True,
    section=Section.RECIPE,
    help=f"One recipe, or several with commas: {_RECIPE_NAMES}.",
)
@io_option
@option(
    "--layout",
    type=click.Choice(["nhwc", "nchw"]),
    section=Section.RECIPE,
    help="Axes of the input of an .onnx.",
)
@option(
    "--batch",
    type=click.Choice(["one", "named"]),
    section=Section.RECIPE,
    help="Batch axis of an .onnx: one image, or any number.",
)
@option(
    "--postprocess",
    type=click.Choice(["none", "tflite", "onnx", "argmax"]),
    default="none",
    show_default=True,
    section=Section.RECIPE,
    help="Operators behind the outputs: tflite and onnx give the boxes, classes and scores of a "
    "detector after non-maximum suppression, in a file of that format; argmax gives the class of "
    "each place of a segmenter's map, at the size of the map, in place of the scores.",
)
@plan_options
@wide_option
@qat_options
@calibration_options
@data_option("Test images to measure float against quantized on; a report is written.")
@measure_options
@repair_options
@cluster_option
@workers_option
@store_option("parts that are done; artifacts/calibrations by default")
@option("--float-answers", type=TEXT, hidden=True, section=Section.WORKERS)
@output_option("RECIPE")
@force_option
@columns_option
@common
def quantize(**values: Any) -> None:
    """Write quantized files of a model and measure their accuracy.

    A file that is up to date is not written again. Without --calibration, the calibration split
    beside --data is taken. With --max-drop, an int8 file that loses more on held-out calibration
    images is repaired: first with more effort, then with the fewest operators in float32 or int16.

    With --workers or --cluster, the passes of the float network over all calibration images are
    run in parts on many workers, and a run that was killed goes on: the file has the same bytes.
    Rounding, narrower ranges (--optimize best), training and repairs look at few images, layer
    after layer, and stay in this process (docs/sweeps.md).
    """
    with terminal_of(values) as terminal:
        from edgequant.cli.request_options import quantize_request
        from edgequant.commands.quantized import quantize_command

        sharding = _sharding(values)
        quantize_command(quantize_request(values), terminal, sharding)


def _sharding(values: dict[str, Any]) -> Sharding | None:
    """Workers that the options ask for; takes the options out of ``values``."""
    if all(values[name] is None for name in _OF_WORKERS):
        for name in _OF_WORKERS:
            del values[name]
        return None
    from edgequant.sweeping.calibrating import sharding_of

    return sharding_of(values)


@click.command(cls=SectionedCommand)
@model_options
@contract_options
@list_option(
    "--recipes",
    type=TEXT,
    metavar="RECIPES",
    section=Section.RECIPE,
    help=f"Recipes with commas; all by default: {_RECIPE_NAMES}.",
)
@option("--postprocess", type=TEXT, hidden=True, section=Section.RECIPE)
@optimize_option
@qat_options
@calibration_options
@data_option("Test images to measure on.", required=True)
@measure_options
@float_share_option
@output_option("compare")
@force_option
@columns_option
@common
def compare(**values: Any) -> None:
    """Measure the float model and every recipe side by side.

    All run on the same tensors; the results are a table, CSV, JSON and a page. Without
    --calibration, the calibration split beside --data is taken.
    """
    with terminal_of(values) as terminal:
        from edgequant.cli.request_options import compare_request
        from edgequant.commands.measured import compare_command

        compare_command(compare_request(values), terminal)


@click.command(cls=SectionedCommand)
@model_options
@contract_options
@option(
    "--recipe",
    type=TEXT,
    metavar="RECIPE",
    default="onnx-int8",
    show_default=True,
    section=Section.RECIPE,
    help="Recipe of an int8 file.",
)
@plan_options
@calibration_options
@limit_option("Largest number of images to judge on.", default=64)
@float_share_option
@output_option("sensitivity")
@columns_option
@common
def sensitivity(**values: Any) -> None:
    """Rank layers by the loss when only one is quantized.

    Weights and activations are quantized separately. Writes CSV, JSON, a plot and a page.
    """
    with terminal_of(values) as terminal:
        from edgequant.cli.request_options import sensitivity_request
        from edgequant.commands.sensitivity import sensitivity_command

        sensitivity_command(sensitivity_request(values), values["limit"], terminal)
