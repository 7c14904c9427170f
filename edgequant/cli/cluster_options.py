"""Options of commands that run on many processes or machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from edgequant.cli.option_types import MOST, TEXT
from edgequant.cli.sections import Section, option

Command = TypeVar("Command", bound=Callable[..., Any])

cluster_option = option(
    "--cluster",
    type=TEXT,
    metavar="ADDRESS",
    section=Section.WORKERS,
    help="Scheduler of a Dask cluster, such as tcp://host:8786; processes of this machine by "
    "default.",
)
workers_option = option(
    "--workers",
    type=click.IntRange(1, MOST),
    metavar="N",
    section=Section.WORKERS,
    help="Processes of this machine; by default one per core.",
)


def store_option(what: str) -> Callable[[Command], Command]:
    """``--store``, for what it holds."""
    return option(
        "--store",
        type=TEXT,
        metavar="FOLDER|URL",
        section=Section.WORKERS,
        help=f"Folder or fsspec address (s3, gs) that all workers reach, for {what}.",
    )
