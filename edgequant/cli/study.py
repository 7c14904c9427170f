"""``edgequant study`` and its commands; parsing alone, as in edgequant.cli.main."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgequant.cli.option_types import MOST, NAME_OR_PATH, PATH
from edgequant.cli.options import common
from edgequant.cli.terminal import terminal_of


@click.group()
def study() -> None:
    """Answer a question with this project's own measurements, and write a page about it."""


@study.command()
@click.option("--output", type=PATH, default=Path("artifacts/relu6"), show_default=True)
@click.option("--retrain", is_flag=True, help="Train the networks again (hours), then measure.")
@click.option(
    "--data",
    type=NAME_OR_PATH,
    default="keras/fashion_mnist:train",
    show_default=True,
    help="Training split, with --retrain.",
)
@click.option(
    "--test-images", type=click.IntRange(50, MOST), help="How many to measure on, at most."
)
@click.option("--update", is_flag=True, help="Also write the CSV files that the docs are made of.")
@common
def relu6(**values: Any) -> None:
    """Why does ReLU6 quantize well? Measured on eighteen small networks that are shipped."""
    with terminal_of(values) as terminal:
        from edgequant.commands.study import Relu6Request, relu6_command

        relu6_command(Relu6Request(**values), terminal)
