"""Work of a call from Python, in a process of its own: a command of the command line, recorded."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any, TextIO

import click

from edgequant.api.exchange import Job, Outcome, read_job, write_error, write_outcome
from edgequant.api.recorder import Recorder, Tell
from edgequant.cli.failures import check_surroundings, out_of_memory, shortened, system_error
from edgequant.cli.main import cli
from foundation.confinement import die_with_parent
from foundation.errors import EdgequantError, InvalidInputError


def main(folder: Path) -> None:
    """Do the job in a folder; events are lines of JSON on standard output."""
    die_with_parent()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # the SDKs write to both from C++: standard error is a log
    try:
        outcome = run(read_job(folder), _teller(events))
    except EdgequantError as error:
        write_error(folder, error)
        return
    write_outcome(folder, outcome)


def run(job: Job, tell: Tell) -> Outcome:
    """Run a command.

    Args:
        job: words of the command.
        tell: takes the events of its progress.

    Raises:
        EdgequantError: as the command raises it.
    """
    recorder = Recorder(tell, job.call)
    words = [*job.words, *_plain(job)]
    try:
        check_surroundings(words)
        cli.main(words, prog_name="edgequant", standalone_mode=False, obj=recorder)
    except click.ClickException as error:
        raise InvalidInputError(
            "an argument has a value of its type and range",
            received=error.format_message().rstrip("."),
            remedy="correct it; docs/commands.md has every argument",
        ) from error
    except MemoryError as error:
        sentence = shortened(out_of_memory(error, words, cli))
        rule, _, rest = sentence.partition("; received ")
        received, _, remedy = rest.rstrip(".").partition(": ")
        raise InvalidInputError(rule, received=received, remedy=remedy) from error
    except OSError as error:
        raise system_error(error) from error
    return Outcome(
        recorder.values, recorder.tables, recorder.lines, recorder.remarks, recorder.files
    )


def _plain(job: Job) -> list[str]:
    """``--channels plain`` for arrays, if nothing says how the model's input is made of images."""
    if job.fed is None:
        return []
    from calibration_data.contract import ContractRequest, stated_contract
    from edgequant.loading import own_contract
    from export.target import target_of
    from models.loading.request import ModelRequest

    path = Path(job.fed)
    if path.suffix == ".onnx" and path.is_file():
        card = target_of(path).read_card(path)
        return [] if card is not None else ["--channels", "plain"]
    own, model_path = own_contract(ModelRequest(job.fed))
    stated = stated_contract(ContractRequest(), own=own, model_path=model_path)
    return [] if stated is not None else ["--channels", "plain"]


def _teller(events: TextIO) -> Tell:
    def tell(event: dict[str, Any]) -> None:
        try:
            events.write(json.dumps(event) + "\n")
        except BrokenPipeError:  # the program that asked has ended
            sys.exit(1)

    return tell
