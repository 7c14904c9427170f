"""``edgequant doctor``: what this installation and machine have, and what is missing."""

from __future__ import annotations

from textwrap import wrap

from edgequant.cli.terminal import Terminal, plain_table
from edgequant.doctor.findings import Finding, Group, findings
from edgequant.doctor.machine import Surroundings, surroundings
from foundation.errors import GateFailedError

_COLUMNS = 100
_INDENT = " " * 11


def doctor_command(terminal: Terminal) -> None:
    """Show machine, installation and every part that commands use.

    Raises:
        GateFailedError: a runtime that every installation has cannot be loaded.
    """
    around = surroundings()
    for line in around.lines():
        shown = wrap(line, _COLUMNS, subsequent_indent=_INDENT, break_on_hyphens=False)
        terminal.say("\n".join(shown))
    with terminal.progress("look for runtimes and tools", None):
        found = findings()
    terminal.table(
        plain_table(
            [{"part": f.name, "found": f.found or "missing", "for": f.serves} for f in found]
        )
    )
    missing = [finding for finding in found if not finding.found]
    for line in _missing(missing, around):
        terminal.say(line)
    terminal.result({**around.to_dict(), "parts": [finding.to_dict() for finding in found]})
    broken = [finding for finding in missing if finding.group is Group.RUNTIME]
    if broken:
        raise GateFailedError(
            "the runtimes of an installation can be loaded",
            received=", ".join(finding.name for finding in broken),
            remedy=broken[0].remedy,
        )


def _missing(missing: list[Finding], around: Surroundings) -> list[str]:
    """One line for each thing that is missing, with the command that needs it."""
    lines = [f"{finding.serves}: {finding.name}: {finding.remedy}" for finding in missing]
    lines += [
        f"--model {name.split()[0]} --weights {name.split()[1]}: make coco-weights in a checkout"
        for name in around.weights.absent
    ]
    if not lines:
        return ["nothing is missing"]
    return ["missing, for those who need it:", *(f"  {line}" for line in lines)]
