"""``edgequant sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgequant.cli.cluster_options import cluster_option, store_option, workers_option
from edgequant.cli.option_types import MOST, PATH
from edgequant.cli.options import columns_option, common
from edgequant.cli.sections import Section, SectionedCommand, option
from edgequant.cli.terminal import terminal_of


@click.command(cls=SectionedCommand)
@click.argument("plan", type=PATH)
@cluster_option
@workers_option
@store_option("finished tasks; by default a folder inside --output")
@option(
    "--retries",
    type=click.IntRange(0, 100),
    metavar="N",
    default=2,
    show_default=True,
    section=Section.WORKERS,
    help="Attempts after the first one that failed, before a task is set aside.",
)
@option(
    "--max-tasks",
    type=click.IntRange(1, MOST),
    metavar="N",
    default=1000,
    show_default=True,
    section=Section.LIMITS,
    help="Largest number of tasks; a larger grid is refused.",
)
@option(
    "--status",
    is_flag=True,
    section=Section.OUTPUT,
    help="Print what is done, what runs where and what failed, and end.",
)
@option(
    "--output",
    type=PATH,
    metavar="FOLDER",
    section=Section.OUTPUT,
    help="Folder to write to; artifacts/PLAN-sweep by default.",
)
@columns_option
@common
def sweep(plan: Path, **values: Any) -> None:
    """Make and measure every file of a grid, on many cores.

    PLAN is a TOML file that names models, recipes, settings, images and gates (docs/sweeps.md). A
    task is done once: a sweep that was killed goes on where it was. Writes a table, CSV, JSON and a
    page with the fronts of accuracy against size, latency, multiply-adds and memory. The exit code
    is 1 if a task was set aside or no file keeps the gates.
    """
    with terminal_of(values) as terminal:
        from edgequant.commands.sweep import SweepRequest, sweep_command

        values["output"] = values["output"] or Path("artifacts") / f"{plan.stem}-sweep"
        sweep_command(SweepRequest(plan, **values), terminal)
