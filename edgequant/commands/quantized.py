"""The command that writes quantized files; what measures them is imported where it is asked for."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from edgequant.cli.terminal import Terminal
from edgequant.commands.written import artifact_row, say_artifact, say_remarks
from edgequant.outputs import check_answered
from edgequant.pipeline import quantize, raise_refused
from edgequant.preparing import Inputs, open_inputs, prepare_shown
from edgequant.requests import QuantizeRequest
from foundation.heap import keep_freed_memory

if TYPE_CHECKING:
    from edgequant.sweeping.parts import Sharding
    from reports import tables


def quantize_command(
    request: QuantizeRequest, terminal: Terminal, sharding: Sharding | None = None
) -> None:
    """Write artifacts, measure them on --data, and print their paths.

    Args:
        request: models, recipes, images and settings.
        terminal: where they are shown.
        sharding: workers that run the float network on parts of the calibration images; None to
            run it here.
    """
    keep_freed_memory()
    if request.max_drop is not None:
        from edgequant.measuring import check_limit

        check_limit(request.max_drop, has_reference=request.measure is not None)
    inputs = open_inputs(request)
    if inputs.measured is not None:
        check_answered(inputs.measured, request.max_drop)
    with _on_workers(request, inputs, sharding, terminal) as spread:
        artifacts, prepared = quantize(request, spread, terminal)
    rows: list[dict[str, Any]] = []
    reports: list[tables.Document] = []
    for artifact in artifacts:
        report: tables.Document | None = None
        if request.measure is not None:
            from edgequant.commands.measured import (
                measure_artifact,
                report_key,
                show_report,
                stored_report,
            )

            key = report_key(artifact, request.measure)
            report = None if request.force else stored_report(artifact.beside(".report.json"), key)
            if report is None:
                prepared = prepared or prepare_shown(request, inputs, terminal)
                report = measure_artifact(artifact, prepared, request, terminal)
            show_report(report, terminal)
            reports.append(report)
        say_artifact(artifact, terminal)
        rows.append({**artifact_row(artifact), **({"report": report} if report else {})})
    if request.measure is None or terminal.machine_readable:  # a shown report has its remarks
        say_remarks(artifacts, terminal)
    terminal.result({"artifacts": rows} if len(rows) > 1 else rows[0])
    if reports:
        from edgequant.measuring import check_gate

        check_gate(reports, request.max_drop)
    raise_refused(request, prepared)


def _on_workers(
    request: QuantizeRequest, inputs: Inputs, sharding: Sharding | None, terminal: Terminal
) -> AbstractContextManager[Inputs]:
    """Images of a request whose float passes workers run, or this process."""
    if sharding is None:
        return nullcontext(inputs)
    from edgequant.sweeping.calibrating import on_workers

    return on_workers(request, inputs, sharding, terminal)
