"""Options that commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from edgequant.cli.option_types import CHANNELS, COUNT, NAME_OR_PATH, PATH, SEED, TEXT, Finite
from edgequant.cli.sections import Section, option

Command = TypeVar("Command", bound=Callable[..., Any])
_LONGEST_SHORT_SIDE = 8192
"""Pixels; a longer side takes memory and adds nothing that a network sees."""


def _together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for decorator in reversed(options):
            command = decorator(command)
        return command

    return decorate


common = _together(
    option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else."),
    option("--debug", is_flag=True, help="Show tracebacks and the output of the SDKs."),
)

columns_option = option(
    "--wide",
    is_flag=True,
    help="Show all columns of tables, which may be wider than 100 letters.",
)


def output_option(ending: str) -> Callable[[Command], Command]:
    """``--output``, whose default folder is named after the model and ends in ``ending``."""
    return option(
        "--output",
        type=PATH,
        metavar="FOLDER",
        section=Section.OUTPUT,
        help=f"Folder to write to; artifacts/MODEL-{ending} by default.",
    )


force_option = option(
    "--force",
    is_flag=True,
    section=Section.OUTPUT,
    help="Write all files again, and replace foreign files in the way instead of renaming them.",
)

seed_option = option(
    "--seed",
    type=SEED,
    metavar="N",
    default=0,
    show_default=True,
    section=Section.IMAGES,
    help="Seed for every random choice.",
)
trust_option = option(
    "--trust",
    "--trust-lambda",
    "trust",
    is_flag=True,
    section=Section.MODEL,
    help="Run whatever a foreign file holds: Lambda code, any operator, without a child process.",
)

time_option = option(
    "--time-limit",
    type=Finite(0, 86400, min_open=True),
    metavar="SECONDS",
    default=60.0,
    show_default=True,
    section=Section.LIMITS,
    help="Time that a file may take for one image before it is stopped.",
)

spec_options = _together(
    option(
        "--alpha",
        type=Finite(0, 8, min_open=True),
        metavar="FACTOR",
        section=Section.VARIANT,
        help="Width multiplier.",
    ),
    option(
        "--size",
        type=COUNT,
        metavar="PIXELS",
        section=Section.VARIANT,
        help="Height and width of the input.",
    ),
    option(
        "--classes",
        type=COUNT,
        metavar="N",
        section=Section.VARIANT,
        help="Number of outputs.",
    ),
    option(
        "--activation",
        type=click.Choice(["relu6", "relu", "swish", "hard_swish"]),
        section=Section.VARIANT,
        help="Activation function.",
    ),
    option(
        "--bottleneck",
        type=click.Choice(["linear", "non_linear"]),
        section=Section.VARIANT,
        help="Narrow ends of inverted residuals without or with an activation, for studies.",
    ),
    option(
        "--shortcut",
        type=click.Choice(["bottlenecks", "expansions", "none"]),
        section=Section.VARIANT,
        help="Tensors that the shortcuts of inverted residuals join, for studies.",
    ),
)

model_options = _together(
    option(
        "--model",
        type=NAME_OR_PATH,
        metavar="MODEL",
        default="mobilenet_v2_small",
        show_default=True,
        section=Section.MODEL,
        help="File (.keras, .h5, float .tflite), SavedModel folder, or a name from 'edgequant list "
        "models'.",
    ),
    option(
        "--weights",
        type=NAME_OR_PATH,
        metavar="NAME|FILE",
        section=Section.MODEL,
        help="Weights of a registered model: imagenet, coco, random[:SEED], a shipped checkpoint, "
        "a file (.h5, .keras, .tflite), or the folder of a TensorFlow.js model.",
    ),
    spec_options,
    trust_option,
)

channels_option = option(
    "--channels",
    type=CHANNELS,
    metavar="[rgb|bgr|grey|N|plain]",
    section=Section.PREPROCESSING,
    help="Channels of the input: colours in an order, grey, or a number of channels; plain: arrays "
    "of numbers that are no images.",
)

contract_options = _together(
    option(
        "--preprocessing",
        type=PATH,
        metavar="FILE",
        section=Section.PREPROCESSING,
        help="TOML file with the preprocessing contract.",
    ),
    option(
        "--mean",
        type=TEXT,
        metavar="NUMBERS",
        section=Section.PREPROCESSING,
        help="Mean of the pixels (0 to 255), or of the numbers of arrays: one, or one per channel "
        "with commas.",
    ),
    option(
        "--std",
        type=TEXT,
        metavar="NUMBERS",
        section=Section.PREPROCESSING,
        help="Standard deviation of the same: one number, or one per channel with commas.",
    ),
    option(
        "--crop",
        type=click.Choice(["center", "stretch", "letterbox", "pad", "exact"]),
        section=Section.PREPROCESSING,
        help="How an image gets the size of the input; pad and exact do not resize.",
    ),
    option(
        "--resize-short-side",
        type=click.IntRange(1, _LONGEST_SHORT_SIDE),
        metavar="PIXELS",
        section=Section.PREPROCESSING,
        help="Length of the short side before the centre crop.",
    ),
    option(
        "--interpolation",
        type=click.Choice(["nearest", "bilinear", "bicubic", "lanczos", "box", "tf1-bilinear"]),
        section=Section.PREPROCESSING,
        help="Filter for resizing.",
    ),
    channels_option,
    option(
        "--labels",
        type=PATH,
        metavar="FILE",
        section=Section.PREPROCESSING,
        help="Text file with one label per line, in the order of the outputs.",
    ),
    option(
        "--task",
        type=click.Choice(["classification", "binary", "multi-label", "regression", "embedding"]),
        section=Section.PREPROCESSING,
        help="What the output means; by default as the end of the network says: softmax, one "
        "sigmoid, several sigmoids. Detectors and segmenters have a table of their contract.",
    ),
    option(
        "--threshold",
        type=Finite(0, 1, min_open=True, max_open=True),
        metavar="PROBABILITY",
        section=Section.PREPROCESSING,
        help="Probability from which a binary or multi-label answer is yes; 0.5 by default.",
    ),
)

calibration_options = _together(
    option(
        "--calibration",
        type=NAME_OR_PATH,
        metavar="DATA",
        section=Section.IMAGES,
        help="Images to calibrate on: folder, file or name, with an optional :SPLIT; labels are "
        "not needed.",
    ),
    option(
        "--samples",
        type=COUNT,
        metavar="N",
        section=Section.IMAGES,
        help="Calibration images to draw at random; by default 1000, or all if there are fewer.",
    ),
    seed_option,
)


def data_option(text: str, *, required: bool = False) -> Callable[[Command], Command]:
    """``--data`` with a help text."""
    return option(
        "--data",
        type=NAME_OR_PATH,
        metavar="DATA",
        required=required,
        section=Section.IMAGES,
        help=text,
    )


def limit_option(text: str, default: int | None = None) -> Callable[[Command], Command]:
    """``--limit``, a number of images, with a help text."""
    return option(
        "--limit",
        type=COUNT,
        metavar="N",
        default=default,
        show_default=default is not None,
        section=Section.IMAGES,
        help=text,
    )


optimize_option = option(
    "--optimize",
    type=click.Choice(["converter", "fast", "default", "best", "qat"]),
    default="default",
    show_default=True,
    section=Section.QUANTIZATION,
    help="Effort put into the integers of int8 files: converter leaves them to the SDKs, qat "
    "trains the network.",
)
qat_options = _together(
    option(
        "--qat-epochs",
        type=COUNT,
        metavar="N",
        section=Section.QUANTIZATION,
        help="Epochs of --optimize qat; 6 by default.",
    ),
    option(
        "--qat-learning-rate",
        type=Finite(0, 10, min_open=True),
        metavar="RATE",
        section=Section.QUANTIZATION,
        help="Learning rate of --optimize qat, in steps of the integer weights; 0.01 by default.",
    ),
)

plan_options = _together(
    optimize_option,
    option(
        "--ranges",
        type=click.Choice(["min-max", "moving-average", "percentile", "entropy", "mse"]),
        default="min-max",
        show_default=True,
        section=Section.QUANTIZATION,
        help="Observer of activation ranges in int8 files (not with --optimize converter).",
    ),
    option(
        "--keep-float",
        type=TEXT,
        metavar="NAMES",
        section=Section.QUANTIZATION,
        help="Operators to leave in float32, with commas; 'edgequant sensitivity' names them.",
    ),
)

wide_option = option(
    "--keep-int16",
    type=TEXT,
    metavar="NAMES",
    section=Section.QUANTIZATION,
    help="Operators to give int8 weights and int16 activations in a .tflite, with commas.",
)

drop_option = option(
    "--max-drop",
    type=Finite(-1e9, 1e9),
    metavar="LOSS",
    section=Section.LIMITS,
    help="Loss above which the command exits with 1: percentage points of top-1, or the unit of "
    "another task's first metric.",
)

float_share_option = option(
    "--max-float-share",
    type=Finite(0, 1),
    metavar="SHARE",
    section=Section.LIMITS,
    help="Largest share of the multiply-adds outside int8: 0.05 by default for operators without "
    "an integer form, 0.5 for what a repair for --max-drop may move.",
)

repair_options = _together(
    option(
        "--max-size",
        type=COUNT,
        metavar="BYTES",
        section=Section.LIMITS,
        help="Largest file of tflite-int4: the weights that lose most in 4 bits stay in 8, as "
        "many as fit.",
    ),
    float_share_option,
    option(
        "--repair-with",
        type=click.Choice(["float32", "int16"]),
        default="float32",
        show_default=True,
        section=Section.LIMITS,
        help="Type of the operators that leave int8; int16 activations (.tflite alone) keep the "
        "file in integers.",
    ),
)

measure_options = _together(
    option(
        "--threads",
        type=click.IntRange(1),
        metavar="N",
        default=1,
        show_default=True,
        section=Section.MEASUREMENT,
        help="Threads of the session that is timed, at most one per core.",
    ),
    option(
        "--latency/--no-latency",
        default=True,
        show_default=True,
        section=Section.MEASUREMENT,
        help="Measure latency, for up to 3 s per file; without it, reports print '-'.",
    ),
    limit_option("Largest number of images to measure on."),
    drop_option,
)
