"""Options of ``ship`` and ``verify``, and how their values become a request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgequant.cli.option_types import COUNT, TEXT, Finite
from edgequant.cli.options import contract_request, model_request

if TYPE_CHECKING:
    from edgequant.commands.ship import ShipRequest

Command = TypeVar("Command", bound=Callable[..., Any])

runtime_option = click.option(
    "--runtime",
    "runtimes",
    type=TEXT,
    multiple=True,
    metavar="NAME=PATH",
    help="Python interpreter, or folder with node_modules, that has a runtime; may be repeated.",
)
_OPTIONS = (
    click.option("--vectors", type=COUNT, default=32, show_default=True, help="Test images."),
    click.option("--accelerators", type=TEXT, help="Ethos-U configurations, with commas."),
    click.option("--min-npu", type=Finite(0, 100), help="Exit with 1 if less % is on the NPU."),
    click.option("--max-flash", type=TEXT, help="Exit with 1 if a model takes more, such as 1M."),
    click.option("--max-sram", type=TEXT, help="Exit with 1 if a model takes more, such as 256K."),
    runtime_option,
)


def ship_options(command: Command) -> Command:
    """Add the options of ``ship`` that no other command has."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def ship_request(values: dict[str, Any]) -> ShipRequest:
    """The request that the options make.

    Raises:
        InvalidInputError: a value that breaks a rule.
    """
    from calibration_data.splits import calibration_beside
    from edgequant.commands.ship import ShipRequest
    from edgequant.requests import CalibrationRequest, QuantizeRequest
    from edgequant.ship.gates import Gates, size_in_bytes
    from evaluation.proofs.proof import runtime_paths
    from export.bundles.ethos_u import accelerators

    model = model_request(values)
    output = values["output"] or Path("artifacts") / f"{model.name}-ship"
    text = values["calibration"]
    if text is None and values["data"] is not None:
        text = calibration_beside(values["data"])
    base = QuantizeRequest(
        model=model,
        contract=contract_request(values),
        recipes=(),
        calibration=CalibrationRequest(text, values["samples"], values["seed"]),
        output=output,
    )
    return ShipRequest(
        base=base,
        targets=tuple(name.strip() for name in values["targets"].split(",")),
        output=output,
        data=values["data"],
        vectors=values["vectors"],
        accelerators=accelerators(values["accelerators"]),
        gates=Gates(
            min_npu=values["min_npu"],
            max_flash=size_in_bytes("--max-flash", values["max_flash"]),
            max_sram=size_in_bytes("--max-sram", values["max_sram"]),
        ),
        runtimes=runtime_paths(values["runtimes"]),
        force=values["force"],
    )
