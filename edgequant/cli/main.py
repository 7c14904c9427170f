"""The command line: parse, call the pipeline, map errors to exit codes.

Exit codes: 0 done, 1 a gate failed, 2 bad input. Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from edgequant.cli.failures import (
    check_surroundings,
    out_of_memory,
    report_bug,
    show_usage,
    system_error,
    told,
)
from edgequant.cli.option_types import COUNT, NAME_OR_PATH, PATH, SEED, TEXT, Finite
from edgequant.cli.options import (
    calibration_options,
    common,
    contract_options,
    contract_request,
    isolation_of,
    measure_options,
    model_options,
    model_request,
    optimize_option,
    plan_options,
    qat_options,
    repair_options,
    seed_option,
    spec_options,
    time_option,
    trust_option,
    wide_option,
)
from edgequant.cli.plan import plan
from edgequant.cli.ship_options import runtime_option, ship_options
from edgequant.cli.streams import EX_PIPE, say_error, standard_streams
from edgequant.cli.study import study
from edgequant.cli.terminal import terminal_of
from edgequant.repeatable import one_order_of_sums
from foundation.errors import EdgequantError
from quantize.recipes import RECIPES

_RECIPE_NAMES = ", ".join(recipe.name for recipe in RECIPES)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="edgequant")
@click.pass_context
def cli(context: click.Context) -> None:
    """Quantize mobile vision networks: Keras in, int8 and float16 TFLite and ONNX out, measured.

    MODEL is a .keras, an .h5, a SavedModel folder or a registered name. DATA is a folder of class
    folders or of images, a file (.npz, .npy, .txt, .csv, .json) or a registered name, with an
    optional :split. A recipe is named TARGET-PRECISION.
    """
    if context.invoked_subcommand != study.name:  # which trains
        one_order_of_sums()


@cli.command("list")
@click.argument("what", type=click.Choice(["models", "recipes", "datasets", "runtimes", "targets"]))
@common
def list_command(what: str, **values: Any) -> None:
    """List what is registered: models, recipes, datasets, runtimes or targets."""
    with terminal_of(values) as terminal:
        from edgequant.commands.listing import show

        show(what, terminal)


@cli.command()
@model_options
@contract_options
@click.option(
    "--recipe",
    "recipes",
    type=TEXT,
    required=True,
    help=f"One, or several with commas: {_RECIPE_NAMES}.",
)
@click.option(
    "--io", type=click.Choice(["int8", "uint8", "float32"]), help="Type of input and output."
)
@click.option("--layout", type=click.Choice(["nhwc", "nchw"]), help="Axes of the input (ONNX).")
@click.option(
    "--batch", type=click.Choice(["one", "named"]), help="First axis of the input (ONNX)."
)
@plan_options
@wide_option
@qat_options
@calibration_options
@click.option(
    "--data", type=NAME_OR_PATH, help="DATA to measure float against quantized on; writes a report."
)
@measure_options
@repair_options
@click.option("--output", type=PATH, help="Folder; artifacts/MODEL-RECIPE unless given.")
@click.option("--force", is_flag=True, help="Write again what is already there.")
@common
def quantize(**values: Any) -> None:
    """Write quantized files of a model, with what they were made from.

    With --max-drop, an int8 file that loses more on held-out calibration images is repaired: by
    more work first, then with the fewest operators in float32 or int16.
    """
    with terminal_of(values) as terminal:
        from edgequant.cli.request_options import quantize_request
        from edgequant.commands.measured import quantize_command

        quantize_command(quantize_request(values), terminal)


@cli.command()
@click.argument("artifact", type=PATH)
@click.option("--data", type=NAME_OR_PATH, required=True, help="DATA to measure on.")
@click.option(
    "--reference",
    type=NAME_OR_PATH,
    help="Model or artifact to compare with, such as the float one.",
)
@click.option(
    "--runtime", type=TEXT, help="See 'edgequant list runtimes'; default by the file's ending."
)
@measure_options
@seed_option
@contract_options
@trust_option
@time_option
@common
def evaluate(**values: Any) -> None:
    """Measure a .tflite, .onnx or .keras: accuracy, drop against a reference, latency."""
    with terminal_of(values) as terminal:
        from edgequant.cli.request_options import evaluate_request
        from edgequant.commands.measured import evaluate_command

        evaluate_command(evaluate_request(values), terminal)


@cli.command()
@model_options
@contract_options
@click.option("--recipes", type=TEXT, help=f"With commas; all unless given: {_RECIPE_NAMES}.")
@optimize_option
@qat_options
@calibration_options
@click.option("--data", type=NAME_OR_PATH, required=True, help="DATA to measure on.")
@measure_options
@click.option("--output", type=PATH, help="Folder; artifacts/MODEL-compare unless given.")
@click.option("--force", is_flag=True, help="Write again what is already there.")
@common
def compare(**values: Any) -> None:
    """Measure Keras float and every recipe on the same tensors, in one table."""
    with terminal_of(values) as terminal:
        from edgequant.cli.request_options import compare_request
        from edgequant.commands.measured import compare_command

        compare_command(compare_request(values), terminal)


@cli.command()
@click.option(
    "--model",
    type=NAME_OR_PATH,
    default="mobilenet_v2_small",
    show_default=True,
    help="Registered name.",
)
@spec_options
@click.option(
    "--data",
    type=NAME_OR_PATH,
    required=True,
    help="DATA with the training images, such as keras/cifar10:train.",
)
@click.option("--epochs", type=COUNT)
@click.option("--batch-size", type=click.IntRange(1, 65_536))
@click.option("--learning-rate", type=Finite(0, 10, min_open=True))
@click.option("--holdout", type=COUNT, help="Last training images, kept for development.")
@click.option("--seed", type=SEED)
@click.option("--output", type=PATH, default=Path("train"), show_default=True)
@click.option("--force", is_flag=True, help="Replace weights that are already there.")
@common
def train(**values: Any) -> None:
    """Train a registered network; a run that was killed goes on where it was.

    The weights are those of the epoch that is best on the development part. A loss that is not
    finite ends the run with exit code 1.
    """
    with terminal_of(values) as terminal:
        from edgequant.commands.measured import train_command

        train_command(model_request(values), values, terminal)


@cli.command()
@model_options
@click.option(
    "--bytes",
    "element_bytes",
    type=click.IntRange(1, 8),
    default=1,
    show_default=True,
    help="Of one activation: 1 for int8, 2 for float16, 4 for float32.",
)
@click.option(
    "--split",
    type=click.IntRange(1, 4096),
    default=1,
    show_default=True,
    help="Compute the inner tensor of each inverted residual in so many groups.",
)
@click.option("--layers", is_flag=True, help="Show every layer.")
@click.option("--html", is_flag=True, help="Write a page with every layer, and its JSON.")
@click.option(
    "--grid", is_flag=True, help="Count all --alphas and --sizes; write CSV, plots, page."
)
@click.option(
    "--alphas", type=TEXT, default="0.35,0.5,0.75,1,1.3,1.4", show_default=True, help="Of the grid."
)
@click.option(
    "--sizes", type=TEXT, default="96,128,160,192,224", show_default=True, help="Of the grid."
)
@click.option("--output", type=PATH, help="Folder; artifacts/MODEL-cost unless given.")
@common
def cost(**values: Any) -> None:
    """Count params, multiply-adds and peak activation memory, by layer or over a grid."""
    with terminal_of(values) as terminal:
        from edgequant.commands.cost import run

        run(model_request(values), values, terminal)


@cli.command()
@click.argument("artifact", type=PATH)
@click.option("--tensors", is_flag=True, help="List every tensor with its scale and zero point.")
@click.option(
    "--for",
    "target",
    type=click.Choice(["edge-tpu", "gpu", "nnapi", "coreml"]),
    help="Name what this delegate or accelerator would leave to the CPU.",
)
@common
def inspect(artifact: Path, tensors: bool, target: str | None, **values: Any) -> None:
    """Take a .tflite or .onnx apart: operators, types, scales, ends, size by part."""
    with terminal_of(values) as terminal:
        from edgequant.commands.listing import show_inspection

        if target is None:
            show_inspection(artifact, terminal, all_tensors=tensors)
        else:
            from edgequant.commands.delegate import show_delegate

            show_delegate(artifact, target, terminal)


@cli.command()
@model_options
@contract_options
@click.option(
    "--for", "targets", type=TEXT, required=True, help="Platforms, with commas: see the README."
)
@calibration_options
@click.option(
    "--data",
    type=NAME_OR_PATH,
    help="DATA to draw test vectors from; calibration images unless given.",
)
@ship_options
@click.option("--output", type=PATH, help="Folder; artifacts/MODEL-ship unless given.")
@click.option("--force", is_flag=True, help="Replace a bundle that is already there.")
@common
def ship(**values: Any) -> None:
    """Write one bundle (folder and .zip) for several platforms, proven by their runtimes."""
    with terminal_of(values) as terminal:
        from edgequant.cli.ship_options import ship_request
        from edgequant.commands.ship import ship_command

        ship_command(ship_request(values), terminal)


@cli.command()
@click.argument("bundle", type=PATH)
@click.option(
    "--sha256",
    metavar="HEX",
    help="Digest that 'ship' printed: of the .zip, or of SHA256SUMS in the folder.",
)
@runtime_option
@common
def verify(bundle: Path, sha256: str | None, **values: Any) -> None:
    """Check a bundle again: digests, generated files, and every runtime that is installed.

    BUNDLE is a folder or a .zip that 'edgequant ship' wrote. Nothing in it is compiled or executed:
    sources are generated again from its models, and models run in processes of their own. Without
    --sha256 a bundle is held against its own list, which says nothing of who made it.
    """
    with terminal_of(values) as terminal:
        from edgequant.commands.verify import VerifyRequest, verify_command
        from evaluation.proofs.proof import runtime_paths

        runtimes = runtime_paths(values["runtimes"])
        verify_command(VerifyRequest(bundle, sha256, runtimes), terminal)


@cli.command()
@click.argument("tflite", type=PATH)
@click.argument("onnx", type=PATH)
@click.option(
    "--data", type=NAME_OR_PATH, help="DATA to run both files on; random images unless given."
)
@click.option("--limit", type=COUNT, default=8, show_default=True, help="Images.")
@click.option("--strict", is_flag=True, help="Exit with 1 if the integers differ.")
@seed_option
@trust_option
@time_option
@common
def parity(**values: Any) -> None:
    """Compare an int8 .tflite and an int8 .onnx: integers, outputs, and where they first differ."""
    with terminal_of(values) as terminal:
        from edgequant.commands.parity import ParityRequest, parity_command

        isolation = isolation_of(values)
        parity_command(ParityRequest(isolation=isolation, **values), terminal)


@cli.command()
@model_options
@contract_options
@click.option(
    "--recipe", type=TEXT, default="onnx-int8", show_default=True, help="Of an int8 file."
)
@plan_options
@calibration_options
@click.option("--limit", type=COUNT, default=64, show_default=True, help="Images to judge on.")
@click.option("--output", type=PATH, help="Folder; artifacts/MODEL-sensitivity unless given.")
@common
def sensitivity(**values: Any) -> None:
    """Rank layers by what is lost when each alone is quantized, weights and activations apart."""
    with terminal_of(values) as terminal:
        from edgequant.cli.request_options import sensitivity_request
        from edgequant.commands.sensitivity import sensitivity_command

        sensitivity_command(sensitivity_request(values), values["limit"], terminal)


cli.add_command(plan)
cli.add_command(study)


@cli.command()
@click.argument("model", type=PATH)
@click.option(
    "--data",
    type=NAME_OR_PATH,
    required=True,
    help="DATA to measure on; without labels some checks are not judged.",
)
@click.option("--limit", type=COUNT, default=200, show_default=True, help="Images.")
@click.option(
    "--scores",
    type=click.Choice(["any", "probabilities"]),
    default="any",
    show_default=True,
    help="What the outputs are to be; probabilities makes a missing softmax a fault.",
)
@seed_option
@contract_options
@trust_option
@time_option
@common
def lint(**values: Any) -> None:
    """Say what is wrong with a foreign .tflite, .onnx or .keras; exit with 1 if anything is."""
    with terminal_of(values) as terminal:
        from edgequant.commands.lint import LintRequest, lint_command
        from evaluation.lint.subject import ScoreKind

        contract, scores = contract_request(values), ScoreKind(values.pop("scores"))
        isolation = isolation_of(values)
        request = LintRequest(contract=contract, scores=scores, isolation=isolation, **values)
        lint_command(request, terminal)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    if arguments is None:
        arguments = sys.argv[1:]
        sys.excepthook = report_bug
    try:
        with standard_streams():
            code = _run(arguments)
    except EdgequantError as error:  # standard output took nothing, or not all
        if error.exit_code != EX_PIPE:
            say_error(f"edgequant: {error}")
        code = error.exit_code
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    """Run a command, say what went wrong, and give the exit code."""
    try:
        check_surroundings(arguments)
        cli.main(arguments, prog_name="edgequant", standalone_mode=False)
    except EdgequantError as error:
        return told(str(error), error.exit_code, arguments)
    except click.ClickException as error:
        return show_usage(error)
    except (click.Abort, KeyboardInterrupt):
        message = (
            "stopped: what was being written is not there, and what was written before is whole."
        )
        return told(message, 130, arguments)
    except MemoryError as error:
        return told(out_of_memory(error, arguments, cli), 2, arguments)
    except OSError as error:
        return told(str(system_error(error)), 2, arguments)
    return 0
