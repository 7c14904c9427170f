"""``edgequant plan`` and its commands; parsing alone, as in edgequant.cli.main."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgequant.cli.option_types import PATH, TEXT
from edgequant.cli.options import common, contract_options, model_options
from edgequant.cli.terminal import terminal_of


@click.group()
def plan() -> None:
    """Print, compare and apply quantization plans (NAME.plan beside each planned int8 file)."""


@plan.command()
@click.argument("plan", type=PATH)
@common
def show(plan: Path, **values: Any) -> None:
    """Print a plan: tensors with scales and zero points, settings, notes."""
    with terminal_of(values) as terminal:
        from edgequant.commands.plan import show_command

        show_command(plan, terminal)


@plan.command()
@click.argument("first", type=PATH)
@click.argument("second", type=PATH)
@common
def diff(first: Path, second: Path, **values: Any) -> None:
    """Say tensor by tensor where two plans differ; exit with 1 if they do."""
    with terminal_of(values) as terminal:
        from edgequant.commands.plan import diff_command

        diff_command(first, second, terminal)


@plan.command()
@click.argument("plan", type=PATH)
@model_options
@contract_options
@click.option("--recipe", "recipes", type=TEXT, required=True, help="One, or several with commas.")
@click.option("--io", type=click.Choice(["int8", "uint8", "float32"]), help="Of a .tflite.")
@click.option("--output", type=PATH, help="Folder; artifacts/MODEL-RECIPE unless given.")
@common
def apply(plan: Path, **values: Any) -> None:
    """Write files of the network that a plan was made for, without calibration."""
    with terminal_of(values) as terminal:
        from edgequant.commands.plan import apply_command, apply_request

        apply_command(apply_request(plan, values), terminal)
