"""``edgequant study`` and its commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgequant.cli.option_types import MOST, NAME_OR_PATH, PATH
from edgequant.cli.options import common
from edgequant.cli.sections import OrderedGroup, option
from edgequant.cli.terminal import terminal_of


@click.group(cls=OrderedGroup)
def study() -> None:
    """Repeat a study of this project, and write a page about it."""


@study.command()
@option(
    "--output",
    type=PATH,
    metavar="FOLDER",
    default=Path("artifacts/relu6"),
    show_default=True,
    help="Folder for the page, its data and unfinished steps.",
)
@option("--retrain", is_flag=True, help="Train the networks again (hours), then measure.")
@option(
    "--data",
    type=NAME_OR_PATH,
    metavar="DATA",
    default="keras/fashion_mnist:train",
    show_default=True,
    help="Training images for --retrain.",
)
@option(
    "--test-images",
    type=click.IntRange(50, MOST),
    metavar="N",
    help="Largest number of test images, 50 at least.",
)
@option("--update", is_flag=True, help="Also write the CSV files that the docs are made from.")
@common
def relu6(**values: Any) -> None:
    """Measure why ReLU6 quantizes well, on eighteen small networks that are shipped."""
    with terminal_of(values) as terminal:
        from edgequant.commands.study import Relu6Request, relu6_command

        relu6_command(Relu6Request(**values), terminal)
