"""``edgequant plan`` and its commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgequant.cli.option_types import PATH, TEXT
from edgequant.cli.options import (
    columns_option,
    common,
    contract_options,
    model_options,
    output_option,
)
from edgequant.cli.quantizing import io_option
from edgequant.cli.sections import OrderedGroup, Section, list_option
from edgequant.cli.terminal import terminal_of


@click.group(cls=OrderedGroup)
def plan() -> None:
    """Print, compare and apply quantization plans.

    A plan holds every scale, zero point and integer of a network; it lies beside each int8 file as
    NAME.plan (not with --optimize converter).
    """


@plan.command()
@click.argument("plan", type=PATH)
@columns_option
@common
def show(plan: Path, **values: Any) -> None:
    """Print a plan: tensors with scales and zero points, settings, notes."""
    with terminal_of(values) as terminal:
        from edgequant.commands.plan import show_command

        show_command(plan, terminal)


@plan.command()
@click.argument("first", type=PATH)
@click.argument("second", type=PATH)
@columns_option
@common
def diff(first: Path, second: Path, **values: Any) -> None:
    """Compare two plans tensor by tensor; exit with 1 if they differ."""
    with terminal_of(values) as terminal:
        from edgequant.commands.plan import diff_command

        diff_command(first, second, terminal)


@plan.command()
@click.argument("plan", type=PATH)
@model_options
@contract_options
@list_option(
    "--recipe",
    "recipes",
    type=TEXT,
    metavar="RECIPES",
    required=True,
    section=Section.RECIPE,
    help="One int8 recipe of the plan's granularity and weight range, or several with commas.",
)
@io_option
@output_option("RECIPE")
@common
def apply(plan: Path, **values: Any) -> None:
    """Write the files of a plan for its model, without calibration."""
    with terminal_of(values) as terminal:
        from edgequant.commands.plan import apply_command, apply_request

        apply_command(apply_request(plan, values), terminal)
