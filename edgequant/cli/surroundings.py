"""Commands about the installation: ``doctor`` and ``completion``."""

from __future__ import annotations

from typing import Any

import click

from edgequant.cli.options import columns_option, common
from edgequant.cli.sections import SectionedCommand
from edgequant.cli.terminal import terminal_of

VARIABLE = "_EDGEQUANT_COMPLETE"
"""Environment variable with which a shell's script asks for completions."""


@click.command(cls=SectionedCommand)
@columns_option
@common
def doctor(**values: Any) -> None:
    """Show versions, CPU features, runtimes, and what is missing.

    Each library is loaded once. The exit code is 1 if a runtime that every installation has cannot
    be loaded.
    """
    with terminal_of(values) as terminal:
        from edgequant.commands.doctor import doctor_command

        doctor_command(terminal)


@click.command(cls=SectionedCommand)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script with which a shell completes commands.

    For bash, add to ~/.bashrc: eval "$(edgequant completion bash)". For zsh, the same in ~/.zshrc
    with zsh. For fish: edgequant completion fish > ~/.config/fish/completions/edgequant.fish.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    group = context.find_root().command
    click.echo(kind(group, {}, "edgequant", VARIABLE).source())
