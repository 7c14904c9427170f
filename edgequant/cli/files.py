"""Commands about existing files: ``evaluate``, ``inspect``, ``lint`` and ``parity``."""

from __future__ import annotations

from typing import Any

import click

from edgequant.cli.cluster_options import cluster_option, store_option, workers_option
from edgequant.cli.option_types import NAME_OR_PATH, PATH, TEXT
from edgequant.cli.options import (
    columns_option,
    common,
    contract_options,
    data_option,
    limit_option,
    measure_options,
    seed_option,
    spec_options,
    time_option,
    trust_option,
)
from edgequant.cli.sections import Section, SectionedCommand, option
from edgequant.cli.terminal import terminal_of
from edgequant.cli.values import contract_request, isolation_of


@click.command(cls=SectionedCommand)
@click.argument("artifact", type=PATH)
@data_option("Images to measure on; accuracy needs labels.", required=True)
@option(
    "--reference",
    type=NAME_OR_PATH,
    metavar="MODEL|FILE",
    section=Section.MEASUREMENT,
    help="Model or artifact to compare with, such as the float model.",
)
@option(
    "--runtime",
    type=TEXT,
    metavar="NAME",
    section=Section.MEASUREMENT,
    help="Runtime from 'edgequant list runtimes'; by default that of the file's suffix.",
)
@measure_options
@seed_option
@contract_options
@trust_option
@time_option
@cluster_option
@workers_option
@store_option("parts that are done; artifacts/evaluations by default")
@columns_option
@common
def evaluate(**values: Any) -> None:
    """Measure a file: accuracy, drop against a reference, latency.

    ARTIFACT is a .tflite, .onnx, .keras or .h5, or a SavedModel folder. With --workers or
    --cluster, parts of the images are run on many workers, and a run that was killed goes on: the
    report is the same for every number of them (docs/sweeps.md).
    """
    with terminal_of(values) as terminal:
        from edgequant.cli.request_options import evaluate_request
        from edgequant.commands.evaluate import evaluate_command
        from edgequant.sweeping.shards import sharding_of

        sharding = sharding_of(values)
        evaluate_command(evaluate_request(values), terminal, sharding)


@click.command(cls=SectionedCommand)
@click.argument("model", type=NAME_OR_PATH, metavar="MODEL|FILE")
@option("--tensors", is_flag=True, help="List every tensor of a file with its scale.")
@option(
    "--for",
    "target",
    type=click.Choice(["edge-tpu", "gpu", "nnapi", "coreml"]),
    help="Name the operators that this delegate or accelerator would leave to the CPU.",
)
@spec_options
@contract_options
@trust_option
@columns_option
@common
def inspect(**values: Any) -> None:
    """Show what a model is and would become, or what a file holds.

    For a MODEL, before anything is made: input, task, operators that will be int8, int16 or
    float32 and why, expected bytes, and the command to run next. For a FILE (.tflite, .onnx):
    operators, types, scales and sizes.
    """
    with terminal_of(values) as terminal:
        from edgequant.commands.inspect import inspect_command, request_of

        inspect_command(request_of(values), terminal)


@click.command(cls=SectionedCommand)
@click.argument("model", type=PATH)
@data_option("Images to measure on; without labels some checks are not judged.", required=True)
@limit_option("Largest number of images.", default=200)
@option(
    "--scores",
    type=click.Choice(["any", "probabilities"]),
    default="any",
    show_default=True,
    section=Section.MEASUREMENT,
    help="Expected outputs; with probabilities, a missing softmax is a fault.",
)
@seed_option
@contract_options
@trust_option
@time_option
@common
def lint(**values: Any) -> None:
    """Find faults of a foreign model file by measurements.

    MODEL is a .tflite, .onnx, .keras or .h5, or a SavedModel folder. The exit code is 1 if a fault
    is found, or if a check could not be judged.
    """
    with terminal_of(values) as terminal:
        from edgequant.commands.lint import LintRequest, lint_command
        from evaluation.lint.subject import ScoreKind

        contract, scores = contract_request(values), ScoreKind(values.pop("scores"))
        isolation = isolation_of(values)
        request = LintRequest(contract=contract, scores=scores, isolation=isolation, **values)
        lint_command(request, terminal)


@click.command(cls=SectionedCommand)
@click.argument("tflite", type=PATH)
@click.argument("onnx", type=PATH)
@data_option("Images to run both files on; random ones by default.")
@limit_option("Number of images.", default=8)
@option(
    "--strict",
    is_flag=True,
    section=Section.LIMITS,
    help="Exit with 1 if the stored integers differ.",
)
@seed_option
@trust_option
@time_option
@columns_option
@common
def parity(**values: Any) -> None:
    """Compare the integers and outputs of a .tflite and an .onnx.

    Both are int8 files. Names the layer where their values first differ.
    """
    with terminal_of(values) as terminal:
        from edgequant.commands.parity import ParityRequest, parity_command

        isolation = isolation_of(values)
        parity_command(ParityRequest(isolation=isolation, **values), terminal)
