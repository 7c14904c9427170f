"""Help pages in sections: options are listed by their subject, in one order for all commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

import click
from click.types import OptionHelpExtra

from edgequant.cli.option_types import LARGEST_SEED, MOST

Command = TypeVar("Command", bound=Callable[..., Any])
_UNSAID = (MOST, LARGEST_SEED)
"""Upper bounds that are limits of the number's type: help texts leave such ranges out."""

HELP_NAMES = ("-h", "--help")
"""Names of the help option. click keeps it with a command from its first context on, so that every
context of a command needs them."""


class Section(StrEnum):
    """Titles of the sections, in the order of a help page."""

    MODEL = "Model"
    RECIPE = "Recipe"
    PLATFORMS = "Platforms"
    IMAGES = "Images"
    TRAINING = "Training"
    QUANTIZATION = "Quantization"
    MEASUREMENT = "Measurement"
    LIMITS = "Limits"
    WORKERS = "Workers"
    PREPROCESSING = "Preprocessing"
    VARIANT = "Variants of registered models"
    OUTPUT = "Output"
    OTHER = "Options"


class SectionedOption(click.Option):
    """Option with the section of the help page that it is listed in.

    Attributes:
        section: title of the section.
    """

    def __init__(self, *args: Any, section: Section = Section.OTHER, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.section = section

    def get_help_extra(self, ctx: click.Context) -> OptionHelpExtra:
        """Default, range and whether the option is required."""
        extra = super().get_help_extra(ctx)
        if getattr(self.type, "max", None) in _UNSAID:
            extra.pop("range", None)
        return extra


class SectionedCommand(click.Command):
    """Command whose help page lists its options in sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section."""
        rows: dict[Section, list[tuple[str, str]]] = {section: [] for section in Section}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                rows[getattr(parameter, "section", Section.OTHER)].append(record)
        for section, records in rows.items():
            if records:
                with formatter.section(section.value):
                    formatter.write_dl(records, col_max=34)


class OrderedGroup(click.Group):
    """Group whose help page lists its commands in the order in which they were added.

    Attributes:
        notes: tables at the end of the help page, by title: text by term.
    """

    command_class = SectionedCommand

    def __init__(
        self, *args: Any, notes: Mapping[str, Mapping[str, str]] | None = None, **settings: Any
    ) -> None:
        super().__init__(*args, **settings)
        self.notes = notes or {}

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the tables of notes."""
        super().format_epilog(ctx, formatter)
        for title, texts in self.notes.items():
            with formatter.section(title):
                formatter.write_dl(list(texts.items()))

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names of the commands."""
        return list(self.commands)


def option(
    *declarations: str, section: Section = Section.OTHER, **settings: Any
) -> Callable[[Command], Command]:
    """Declare an option in a section of the help page, as ``click.option`` does."""
    return click.option(*declarations, cls=SectionedOption, section=section, **settings)


def list_option(
    *declarations: str, section: Section = Section.OTHER, **settings: Any
) -> Callable[[Command], Command]:
    """Declare an option for texts with commas, which may be given several times."""
    return option(*declarations, section=section, multiple=True, callback=_joined, **settings)


def _joined(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> str | None:
    """The texts of all occurrences as one."""
    return ",".join(values) or None
