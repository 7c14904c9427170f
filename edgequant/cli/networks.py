"""Commands about networks before any quantization: ``list``, ``cost`` and ``train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgequant.cli.option_types import COUNT, NAME_OR_PATH, PATH, SEED, TEXT, Finite
from edgequant.cli.options import (
    channels_option,
    columns_option,
    common,
    data_option,
    model_options,
    output_option,
    spec_options,
)
from edgequant.cli.sections import Section, SectionedCommand, option
from edgequant.cli.terminal import terminal_of
from edgequant.cli.values import model_request


@click.command("list", cls=SectionedCommand)
@click.argument(
    "what",
    type=click.Choice(["models", "recipes", "datasets", "runtimes", "targets", "tasks"]),
)
@columns_option
@common
def list_command(what: str, **values: Any) -> None:
    """List models, recipes, datasets, runtimes, targets or tasks."""
    with terminal_of(values) as terminal:
        from edgequant.commands.listing import show

        show(what, terminal)


@click.command(cls=SectionedCommand)
@model_options
@option(
    "--bytes",
    "element_bytes",
    type=click.IntRange(1, 8),
    metavar="N",
    default=1,
    show_default=True,
    section=Section.MEASUREMENT,
    help="Bytes per activation: 1 for int8, 2 for float16, 4 for float32.",
)
@option(
    "--split",
    type=click.IntRange(1, 4096),
    metavar="GROUPS",
    default=1,
    show_default=True,
    section=Section.MEASUREMENT,
    help="Groups in which the inner tensor of each inverted residual is computed.",
)
@option("--layers", is_flag=True, section=Section.OUTPUT, help="Show every layer.")
@option(
    "--plan",
    is_flag=True,
    section=Section.OUTPUT,
    help="Show the memory plan of the C sources: which tensor lies where in the arena, and when.",
)
@option(
    "--patches",
    type=TEXT,
    metavar="none|auto|N",
    default="none",
    show_default=True,
    section=Section.OUTPUT,
    help="With --plan: cut the largest stages into N x N patches; auto finds the least memory with "
    "at most 10 % more multiply-adds.",
)
@option(
    "--html",
    is_flag=True,
    section=Section.OUTPUT,
    help="Write a page with every layer, and its JSON.",
)
@option(
    "--grid",
    is_flag=True,
    section=Section.MEASUREMENT,
    help="Count at all --alphas and --sizes; write CSV, plots and a page.",
)
@option(
    "--alphas",
    type=TEXT,
    metavar="NUMBERS",
    default="0.35,0.5,0.75,1,1.3,1.4",
    show_default=True,
    section=Section.MEASUREMENT,
    help="Width multipliers of the grid, with commas.",
)
@option(
    "--sizes",
    type=TEXT,
    metavar="NUMBERS",
    default="96,128,160,192,224",
    show_default=True,
    section=Section.MEASUREMENT,
    help="Input sizes of the grid in pixels, with commas.",
)
@output_option("cost")
@columns_option
@common
def cost(**values: Any) -> None:
    """Count parameters, multiply-adds and peak activation memory.

    Counts one image in one network, or in a registered model at many widths and sizes (--grid). The
    peak is the least over all execution orders.
    """
    with terminal_of(values) as terminal:
        from edgequant.commands.cost import run

        run(model_request(values), values, terminal)


@click.command(cls=SectionedCommand)
@option(
    "--model",
    type=NAME_OR_PATH,
    metavar="NAME",
    default="mobilenet_v2_small",
    show_default=True,
    section=Section.MODEL,
    help="Registered model; 'edgequant list models' names them.",
)
@spec_options
@channels_option
@data_option("Training images, such as keras/cifar10:train.", required=True)
@option(
    "--epochs",
    type=COUNT,
    metavar="N",
    section=Section.TRAINING,
    help="Passes over the training images; 30 by default.",
)
@option(
    "--batch-size",
    type=click.IntRange(1, 65_536),
    metavar="N",
    section=Section.TRAINING,
    help="Images per step; 128 by default.",
)
@option(
    "--learning-rate",
    type=Finite(0, 10, min_open=True),
    metavar="RATE",
    section=Section.TRAINING,
    help="Peak learning rate, after the warm-up; 0.1 by default.",
)
@option(
    "--holdout",
    type=COUNT,
    metavar="N",
    section=Section.IMAGES,
    help="Training images, from the end, that are set aside for development; 5000 by default.",
)
@option(
    "--seed",
    type=SEED,
    metavar="N",
    section=Section.TRAINING,
    help="Seed for initial weights, order and augmentation; 1 by default.",
)
@option(
    "--output",
    type=PATH,
    metavar="FOLDER",
    default=Path("train"),
    show_default=True,
    section=Section.OUTPUT,
    help="Folder for weights, model card and training state.",
)
@option("--force", is_flag=True, section=Section.OUTPUT, help="Replace existing weights.")
@common
def train(**values: Any) -> None:
    """Train a registered model, or continue an interrupted run.

    The weights are those of the epoch with the best score on the development images: top-1, AP50 of
    a detector, mIOU of a segmenter. Defaults named below are a classifier's; detectors and
    segmenters have others, which their card states. A loss that is not finite ends the run with
    exit code 1.
    """
    with terminal_of(values) as terminal:
        from edgequant.commands.measured import train_command

        train_command(model_request(values), values, terminal)
