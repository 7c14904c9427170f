"""The command line: commands in the order of the help page, and the way from errors to exit codes.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import gc
import sys

import click

from edgequant.cli.failures import (
    check_surroundings,
    out_of_memory,
    report_bug,
    report_failure,
    show_usage,
    system_error,
)
from edgequant.cli.files import evaluate, inspect, lint, parity
from edgequant.cli.networks import cost, list_command, train
from edgequant.cli.plan import plan
from edgequant.cli.quantizing import compare, quantize, sensitivity
from edgequant.cli.sections import HELP_NAMES, OrderedGroup
from edgequant.cli.ship import ship, verify
from edgequant.cli.streams import EX_PIPE, say_error, standard_streams
from edgequant.cli.study import study
from edgequant.cli.surroundings import completion, doctor
from edgequant.cli.sweep import sweep
from edgequant.cli.welcome import WELCOME
from edgequant.repeatable import one_order_of_sums
from foundation.errors import EdgequantError

_NOTES = {
    "Arguments": {
        "MODEL": ".keras or .h5 file, SavedModel folder, or a name from 'edgequant list models'.",
        "DATA": "Folder of class folders or of images, file (.npz, .npy, .txt, .csv, .json), or a "
        "name from 'edgequant list datasets', with an optional :SPLIT.",
        "RECIPE": "TARGET-PRECISION, such as tflite-int8; see 'edgequant list recipes'.",
    },
    "Exit codes": {
        "0": "Done.",
        "1": "A limit is exceeded, or a check failed or could not be judged.",
        "2": "Bad input.",
        "70": "A bug; please report it.",
        "130": "Interrupted.",
        "141": "Standard output was closed by its reader.",
    },
}

_ANY_ORDER = (study.name, doctor.name, completion.name)
"""Commands whose bytes need not repeat: a study trains, the others compute nothing."""


@click.group(
    cls=OrderedGroup,
    notes=_NOTES,
    invoke_without_command=True,
    context_settings={"help_option_names": [*HELP_NAMES], "max_content_width": 100},
)
@click.version_option(package_name="edgequant")
@click.pass_context
def cli(context: click.Context) -> None:
    """Quantize vision networks for mobile devices: Keras in, TFLite and ONNX out, measured."""
    if context.invoked_subcommand is None:
        click.echo(WELCOME)
    elif context.invoked_subcommand not in _ANY_ORDER:
        one_order_of_sums()


for _command in (
    *(list_command, quantize, compare, evaluate, sweep, inspect, lint),
    *(parity, sensitivity, plan, ship, verify, cost, train, study, doctor, completion),
):
    cli.add_command(_command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    own = arguments is None
    if arguments is None:
        arguments = sys.argv[1:]
        sys.excepthook = report_bug
    try:
        with standard_streams():
            code = _run(arguments)
    except EdgequantError as error:  # standard output took nothing, or not all
        if error.exit_code != EX_PIPE:
            say_error(f"edgequant: {error}")
        code = error.exit_code
    if own:
        gc.freeze()  # Python's end would look through all objects of TensorFlow, for a second
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    """Exit code of a command that is run here; an error is reported."""
    try:
        check_surroundings(arguments)
        cli.main(arguments, prog_name="edgequant", standalone_mode=False)
    except EdgequantError as error:
        return report_failure(str(error), error.exit_code, arguments)
    except click.ClickException as error:
        return show_usage(error)
    except (click.Abort, KeyboardInterrupt):
        message = (
            "interrupted; the unfinished file was discarded and finished files are intact: "
            "run the command again."
        )
        return report_failure(message, 130, arguments)
    except MemoryError as error:
        return report_failure(out_of_memory(error, arguments, cli), 2, arguments)
    except OSError as error:
        return report_failure(str(system_error(error)), 2, arguments)
    return 0
