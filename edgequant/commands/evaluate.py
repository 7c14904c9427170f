"""``edgequant evaluate``: measure one file, here or in parts on many workers."""

from __future__ import annotations

from edgequant.cli.terminal import Terminal
from edgequant.commands.measured import show_report
from edgequant.evaluating import open_evaluated
from edgequant.measuring import check_gate, measure
from edgequant.requests import EvaluateRequest
from edgequant.sweeping.parts import Sharding
from edgequant.sweeping.shards import predictions_of_shards
from reports import tables
from reports.task_rows import by_output


def evaluate_command(
    request: EvaluateRequest, terminal: Terminal, sharding: Sharding | None = None
) -> None:
    """Measure one artifact and show its row.

    Args:
        request: artifact, images and settings.
        terminal: where it is shown.
        sharding: workers that run the networks on parts of the images; None to run them here.
    """
    subject = open_evaluated(request)
    found = None
    if sharding is not None:
        found = predictions_of_shards(request, subject, sharding, terminal)
    measurement = measure(
        [subject.candidate],
        subject.reference,
        subject.dataset,
        subject.contract,
        request.measure,
        terminal,
        found,
    )
    report = tables.document(measurement)
    show_report(report, terminal)
    rows = [part["rows"][-1] for part in by_output(report)]  # the reference stands first
    more = {"artifact": str(request.artifact), "machine": report["machine"]}
    terminal.result({**rows[0], **more} if len(rows) == 1 else {**more, "outputs": rows})
    check_gate([report], request.max_drop)
