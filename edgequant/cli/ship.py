"""``edgequant ship`` and ``edgequant verify``, their options, and the request of ``ship``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgequant.cli.option_types import COUNT, PATH, TEXT, Finite
from edgequant.cli.options import (
    calibration_options,
    common,
    contract_options,
    data_option,
    float_share_option,
    model_options,
    output_option,
)
from edgequant.cli.sections import Section, SectionedCommand, list_option, option
from edgequant.cli.terminal import terminal_of
from edgequant.cli.values import contract_request, model_request

if TYPE_CHECKING:
    from edgequant.ship.request import ShipRequest

_runtime_option = option(
    "--runtime",
    "runtimes",
    type=TEXT,
    multiple=True,
    metavar="NAME=PATH",
    section=Section.PLATFORMS,
    help="Python interpreter, or folder with node_modules, that has a platform's runtime; may be "
    "repeated.",
)
_cmsis_nn_option = option(
    "--cmsis-nn",
    type=PATH,
    metavar="DIR",
    section=Section.PLATFORMS,
    help="Folder with the sources of Arm's CMSIS-NN 4.0, with which the C sources are run too.",
)


@click.command(cls=SectionedCommand)
@model_options
@contract_options
@list_option(
    "--for",
    "targets",
    type=TEXT,
    metavar="PLATFORMS",
    required=True,
    section=Section.PLATFORMS,
    help="Platforms, with commas: android, c, ethos-u, microcontroller, onnx-mobile.",
)
@option(
    "--prefix",
    type=TEXT,
    metavar="NAME",
    default="net",
    show_default=True,
    section=Section.PLATFORMS,
    help="Prefix of every symbol and file of the C sources, for several networks in one firmware.",
)
@option(
    "--patches",
    type=TEXT,
    metavar="none|auto|N",
    section=Section.PLATFORMS,
    help="Patches of the C sources: the largest stages in N x N tiles, whose edges are computed "
    "twice; auto cuts as --max-sram needs, or for the least memory with at most 10 % more "
    "multiply-adds; by default auto with --max-sram, else none.",
)
@option(
    "--accelerators",
    type=TEXT,
    metavar="NAMES",
    section=Section.PLATFORMS,
    help="Ethos-U configurations to compile for, with commas.",
)
@_runtime_option
@_cmsis_nn_option
@calibration_options
@data_option("Images to draw test vectors from and to measure on; calibration images by default.")
@option(
    "--vectors",
    type=COUNT,
    metavar="N",
    default=32,
    show_default=True,
    section=Section.IMAGES,
    help="Number of test vectors.",
)
@option(
    "--min-npu",
    type=Finite(0, 100),
    metavar="PERCENT",
    section=Section.LIMITS,
    help="Share of operators on the NPU below which the command exits with 1.",
)
@option(
    "--max-flash",
    type=TEXT,
    metavar="SIZE",
    section=Section.LIMITS,
    help="Flash of a model, such as 1M, above which the command exits with 1.",
)
@option(
    "--max-sram",
    type=TEXT,
    metavar="SIZE",
    section=Section.LIMITS,
    help="SRAM of a model, such as 256K, above which the command exits with 1.",
)
@option(
    "--max-instructions",
    type=COUNT,
    metavar="N",
    section=Section.LIMITS,
    help="Instructions an image on the emulated Cortex-M4, of C sources, above which the command "
    "exits with 1.",
)
@float_share_option
@output_option("ship")
@option("--force", is_flag=True, section=Section.OUTPUT, help="Replace an existing bundle.")
@common
def ship(**values: Any) -> None:
    """Write a bundle for several platforms, tested in their runtimes.

    A bundle is a folder and a .zip of it. A runtime that is not installed is named as not run, and
    the files are written all the same. The exit code is 1 if a limit is exceeded or a test in a
    runtime fails.
    """
    with terminal_of(values) as terminal:
        from edgequant.commands.ship import ship_command

        ship_command(ship_request(values), terminal)


@click.command(cls=SectionedCommand)
@click.argument("bundle", type=PATH)
@option(
    "--sha256",
    metavar="HEX",
    help="Expected digest, as 'ship' printed it: of the .zip, or of SHA256SUMS in the folder.",
)
@_runtime_option
@_cmsis_nn_option
@common
def verify(bundle: Path, sha256: str | None, **values: Any) -> None:
    """Check a bundle: digests, generated files, installed runtimes.

    BUNDLE is a folder or a .zip that 'edgequant ship' wrote. Nothing in it is compiled or executed:
    sources are generated again from its models, and models run in child processes. Without
    --sha256, files are compared with the bundle's own list, which does not prove who made it.
    """
    with terminal_of(values) as terminal:
        from edgequant.commands.verify import VerifyRequest, verify_command

        verify_command(VerifyRequest(bundle, sha256, _runtimes(values)), terminal)


def ship_request(values: dict[str, Any]) -> ShipRequest:
    """Request of ``ship`` from its parsed options.

    Raises:
        InvalidInputError: a value that breaks a rule.
    """
    from calibration_data.splits import calibration_beside
    from edgequant.requests import CalibrationRequest, QuantizeRequest
    from edgequant.ship.gates import Gates, size_in_bytes
    from edgequant.ship.request import ShipRequest
    from export.bundles.ethos_u import accelerators
    from export.c.names import Prefix
    from export.c.patches import Patches
    from foundation.errors import InvalidInputError
    from quantize.islands import MOST_FLOAT

    model = model_request(values)
    output = values["output"] or Path("artifacts") / f"{model.name}-ship"
    text = values["calibration"]
    if text is None and values["data"] is not None:
        text = calibration_beside(values["data"])
    sram = size_in_bytes("--max-sram", values["max_sram"])
    patches = Patches.asked(values["patches"], sram)
    targets = tuple(name.strip() for name in values["targets"].split(","))
    if values["patches"] is not None and "c" not in targets:
        raise InvalidInputError(
            "--patches is of C sources",
            received=f"--for {','.join(targets)}",
            remedy="add c to --for, or remove --patches",
        )
    base = QuantizeRequest(
        model=model,
        contract=contract_request(values),
        recipes=(),
        calibration=CalibrationRequest(text, values["samples"], values["seed"]),
        output=output,
        float_share=MOST_FLOAT if values["max_float_share"] is None else values["max_float_share"],
    )
    return ShipRequest(
        base=base,
        targets=targets,
        output=output,
        data=values["data"],
        vectors=values["vectors"],
        accelerators=accelerators(values["accelerators"]),
        gates=Gates(
            min_npu=values["min_npu"],
            max_flash=size_in_bytes("--max-flash", values["max_flash"]),
            max_sram=sram,
            max_instructions=values["max_instructions"],
        ),
        runtimes=_runtimes(values),
        force=values["force"],
        prefix=Prefix(values["prefix"]).text,
        patches=patches.text,
    )


def _runtimes(values: dict[str, Any]) -> dict[str, Path]:
    """Paths of the runtimes and of CMSIS-NN, by name.

    Raises:
        InvalidInputError: no such runtime, no such path, or a folder without CMSIS-NN's sources.
    """
    from evaluation.proofs.cmsis_nn import Library
    from evaluation.proofs.proof import runtime_paths
    from export.bundles.c import CMSIS_NN

    runtimes = runtime_paths(values["runtimes"])
    folder: Path | None = values["cmsis_nn"]
    if folder is None:
        return runtimes
    Library.open(folder)
    return {**runtimes, CMSIS_NN: folder.absolute()}
