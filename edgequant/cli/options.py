"""Options that commands share, and how their values become requests."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgequant.cli.option_types import COUNT, NAME_OR_PATH, PATH, SEED, TEXT, Finite

if TYPE_CHECKING:
    from calibration_data.contract import ContractRequest
    from evaluation.child.policy import Isolation
    from models.loading.request import ModelRequest
    from quantize.qat.exchange import QatSettings

Command = TypeVar("Command", bound=Callable[..., Any])
_LONGEST_SHORT_SIDE = 8192
"""Pixels that an image is resized to at most: beyond is memory, not vision."""


def _together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


common = _together(
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object, nothing else."),
    click.option("--debug", is_flag=True, help="Show tracebacks and what the SDKs print."),
)

seed_option = click.option(
    "--seed", type=SEED, default=0, show_default=True, help="Seed for every random choice."
)
trust_option = click.option(
    "--trust",
    "--trust-lambda",
    "trust_lambda",
    is_flag=True,
    help="Run whatever a file of others holds: Lambda code, any operator, no child process.",
)

time_option = click.option(
    "--time-limit",
    type=Finite(0, 86400, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds that a file may take for one image before it is stopped.",
)

spec_options = _together(
    click.option(
        "--alpha", type=Finite(0, 8, min_open=True), help="Width multiplier of a registered model."
    ),
    click.option(
        "--size",
        type=COUNT,
        help="Side of the square input of a registered model.",
    ),
    click.option(
        "--classes",
        type=COUNT,
        help="Number of outputs of a registered model.",
    ),
    click.option(
        "--activation",
        type=click.Choice(["relu6", "relu", "swish", "hard_swish"]),
        help="Non-linearity of a registered model.",
    ),
    click.option(
        "--bottleneck",
        type=click.Choice(["linear", "non_linear"]),
        help="Narrow ends of inverted residuals, for studies.",
    ),
    click.option(
        "--shortcut",
        type=click.Choice(["bottlenecks", "expansions", "none"]),
        help="What the shortcuts of inverted residuals join, for studies.",
    ),
)

model_options = _together(
    click.option(
        "--model",
        type=NAME_OR_PATH,
        default="mobilenet_v2_small",
        show_default=True,
        help="A .keras, an .h5, a SavedModel folder, or a name from 'edgequant list models'.",
    ),
    click.option(
        "--weights",
        type=NAME_OR_PATH,
        help="Checkpoint name, imagenet, random[:SEED], or a file.",
    ),
    spec_options,
    trust_option,
)

contract_options = _together(
    click.option("--preprocessing", type=PATH, help="TOML file with the preprocessing contract."),
    click.option("--mean", type=TEXT, help="Of pixels 0..255: one number, or three with commas."),
    click.option("--std", type=TEXT, help="Likewise."),
    click.option("--crop", type=click.Choice(["center", "stretch", "pad", "exact"])),
    click.option(
        "--resize-short-side",
        type=click.IntRange(1, _LONGEST_SHORT_SIDE),
        help="Pixels, before a centre crop.",
    ),
    click.option(
        "--interpolation",
        type=click.Choice(["nearest", "bilinear", "bicubic", "lanczos", "box"]),
    ),
    click.option("--channels", type=click.Choice(["rgb", "bgr"])),
    click.option("--labels", type=PATH, help="Text file with one label a line."),
)

calibration_options = _together(
    click.option(
        "--calibration",
        type=NAME_OR_PATH,
        help="DATA to calibrate on: folder, file or name, [:split]; labels are not needed.",
    ),
    click.option(
        "--samples",
        type=COUNT,
        help="Calibration images, drawn at random; 1000 or all there are unless given.",
    ),
    seed_option,
)

optimize_option = click.option(
    "--optimize",
    type=click.Choice(["converter", "fast", "default", "best", "qat"]),
    default="default",
    show_default=True,
    help="Work put into the integers of int8 files; converter leaves them to the SDKs.",
)
qat_options = _together(
    click.option("--qat-epochs", type=COUNT, help="Of --optimize qat; 6 unless given."),
    click.option(
        "--qat-learning-rate",
        type=Finite(0, 10, min_open=True),
        help="Of --optimize qat, in steps of the integer weights; 0.01 unless given.",
    ),
)

plan_options = _together(
    optimize_option,
    click.option(
        "--ranges",
        type=click.Choice(["min-max", "moving-average", "percentile", "entropy", "mse"]),
        default="min-max",
        show_default=True,
        help="How activation ranges are read in planned int8 files.",
    ),
    click.option(
        "--keep-float",
        type=TEXT,
        metavar="NAMES",
        help="Operators that stay in float32, with commas; 'edgequant sensitivity' names them.",
    ),
)

wide_option = click.option(
    "--keep-int16",
    type=TEXT,
    metavar="NAMES",
    help="Operators with int8 weights and int16 activations in a .tflite, with commas.",
)

repair_options = _together(
    click.option(
        "--max-float-share",
        type=Finite(0, 1),
        default=0.5,
        show_default=True,
        help="Of the multiply-adds, that may leave int8 to keep --max-drop.",
    ),
    click.option(
        "--repair-with",
        type=click.Choice(["float32", "int16"]),
        default="float32",
        show_default=True,
        help="What they leave it for; int16 activations, in a .tflite, keep the file in integers.",
    ),
)

measure_options = _together(
    click.option(
        "--threads",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Threads of the session that is timed, as many as there are cores at most.",
    ),
    click.option(
        "--latency/--no-latency",
        default=True,
        show_default=True,
        help="Measure latency, for up to 3 s a file; reports print '-' without it.",
    ),
    click.option("--limit", type=COUNT, help="Measure on so many images at most."),
    click.option(
        "--max-drop",
        type=Finite(-100, 100),
        help="Exit with 1 if top-1 falls by more points.",
    ),
)


def model_request(values: dict[str, Any]) -> ModelRequest:
    """Take the options of ``model_options`` out of ``values``."""
    from models.blocks import Activation, Bottleneck, Shortcut
    from models.loading.request import ModelRequest

    activation, bottleneck, shortcut = (
        values.pop(name) for name in ("activation", "bottleneck", "shortcut")
    )
    return ModelRequest(
        reference=values.pop("model"),
        weights=values.pop("weights", None),
        alpha=values.pop("alpha"),
        size=values.pop("size"),
        classes=values.pop("classes"),
        activation=None if activation is None else Activation(activation),
        bottleneck=None if bottleneck is None else Bottleneck(bottleneck),
        shortcut=None if shortcut is None else Shortcut(shortcut),
        trust_lambda=values.pop("trust_lambda", False),
    )


def isolation_of(values: dict[str, Any]) -> Isolation:
    """Take the options of ``trust_option`` and ``time_option`` out of ``values``."""
    from evaluation.child.policy import Isolation

    return Isolation(values.pop("trust_lambda"), values.pop("time_limit"))


def qat_settings(values: dict[str, Any]) -> QatSettings:
    """Take the options of ``qat_options`` out of ``values``."""
    from foundation.errors import InvalidInputError
    from quantize.qat.exchange import QatSettings

    names = ("epochs", "learning_rate")
    given = {n: v for n in names if (v := values.pop(f"qat_{n}", None)) is not None}
    if given and values["optimize"] != "qat":
        raise InvalidInputError(
            "--qat-epochs and --qat-learning-rate go with --optimize qat",
            received=f"--optimize {values['optimize']}",
            remedy="add --optimize qat, or leave them out",
        )
    return QatSettings(**given, seed=values["seed"])


def contract_request(values: dict[str, Any]) -> ContractRequest:
    """Take the options of ``contract_options`` out of ``values``."""
    from calibration_data.contract import ContractRequest
    from calibration_data.preprocessing import ChannelOrder, Crop, Interpolation

    crop, interpolation, channels = (
        values.pop(name) for name in ("crop", "interpolation", "channels")
    )
    return ContractRequest(
        file=values.pop("preprocessing"),
        mean=_numbers("--mean", values.pop("mean")),
        std=_numbers("--std", values.pop("std")),
        crop=None if crop is None else Crop(crop),
        resize_short_side=values.pop("resize_short_side"),
        interpolation=None if interpolation is None else Interpolation(interpolation),
        channels=None if channels is None else ChannelOrder(channels),
        labels=values.pop("labels"),
    )


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    from foundation.errors import InvalidInputError

    if text is None:
        return None
    try:
        numbers = tuple(float(part) for part in text.split(","))
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError("not finite")
        return numbers
    except ValueError as error:
        raise InvalidInputError(
            f"{option} takes one finite number, or three with commas",
            received=text,
            remedy=f"write for instance {option} 127.5",
        ) from error


def names(text: str | None) -> tuple[str, ...]:
    """Names that were given with commas, in the order of the alphabet."""
    parts = (text or "").split(",")
    return tuple(sorted({part.strip() for part in parts if part.strip()}))
