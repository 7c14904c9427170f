"""Keyword arguments of the functions: the options of the commands, under their own names.

docs/commands.md says what each does; a test holds these names to those of the commands.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from foundation.errors import InvalidInputError


class Preprocessing(TypedDict, total=False):
    """How images become the numbers that a model takes; the keys of a contract file."""

    mean: float | Sequence[float]
    std: float | Sequence[float]
    crop: Literal["center", "stretch", "letterbox", "pad", "exact"]
    resize_short_side: int
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "tf1-bilinear"]
    channels: str | int
    labels: str | os.PathLike[str] | Sequence[str]
    task: Literal["classification", "binary", "multi-label", "regression", "embedding"]
    threshold: float


class MeasureOptions(TypedDict, total=False):
    """Settings of a measurement."""

    threads: int
    latency: bool
    limit: int
    max_drop: float
    seed: int
    trust: bool


class EvaluateOptions(MeasureOptions, total=False):
    """Options of ``edgequant evaluate``."""

    runtime: str
    time_limit: float
    cluster: str
    workers: int
    store: str | os.PathLike[str]


class VariantOptions(TypedDict, total=False):
    """Variant of a registered model."""

    weights: str | os.PathLike[str]
    alpha: float
    size: int
    classes: int
    activation: Literal["relu6", "relu", "swish", "hard_swish"]
    bottleneck: Literal["linear", "non_linear"]
    shortcut: Literal["bottlenecks", "expansions", "none"]


class CompareOptions(MeasureOptions, VariantOptions, total=False):
    """Options of ``edgequant compare``."""

    optimize: Literal["converter", "fast", "default", "best", "qat"]
    qat_epochs: int
    qat_learning_rate: float
    samples: int
    max_float_share: float
    force: bool


class QuantizeOptions(CompareOptions, total=False):
    """Options of ``edgequant quantize``."""

    ranges: Literal["min-max", "moving-average", "percentile", "entropy", "mse"]
    keep_float: Sequence[str]
    keep_int16: Sequence[str]
    io: Literal["int8", "uint8", "float32"]
    layout: Literal["nhwc", "nchw"]
    batch: Literal["one", "named"]
    postprocess: Literal["none", "tflite", "onnx", "argmax"]
    repair_with: Literal["float32", "int16"]
    cluster: str
    workers: int
    store: str | os.PathLike[str]
    max_size: int


class ApplyOptions(VariantOptions, total=False):
    """Options of ``edgequant plan apply``."""

    io: Literal["int8", "uint8", "float32"]
    trust: bool


class SweepOptions(TypedDict, total=False):
    """Options of ``edgequant sweep``."""

    cluster: str
    workers: int
    store: str | os.PathLike[str]
    retries: int
    max_tasks: int
    status: bool


def option_words(options: Mapping[str, Any], known: type, function: str) -> list[str]:
    """Words of the command line for keyword arguments; None is an option not given.

    Args:
        options: values by name.
        known: TypedDict of the names.
        function: name of the function, for errors.

    Raises:
        TypeError: a name that the function does not have.
    """
    names = _names(known)
    words: list[str] = []
    for name, value in options.items():
        if name not in names:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
        words += _words(name, value)
    return words


def preprocessing_words(
    preprocessing: str | os.PathLike[str] | Preprocessing | None, folder: Path
) -> list[str]:
    """Words for the preprocessing: a contract file, or single values.

    Args:
        preprocessing: path, values, or None.
        folder: private folder for a list of labels.

    Raises:
        InvalidInputError: a key that there is not.
    """
    if preprocessing is None:
        return []
    if isinstance(preprocessing, str | os.PathLike):
        return ["--preprocessing", os.fspath(preprocessing)]
    values: dict[str, Any] = dict(preprocessing)
    if unknown := sorted(set(values) - _names(Preprocessing)):
        raise InvalidInputError(
            f"keys of preprocessing are {', '.join(sorted(_names(Preprocessing)))}",
            received=", ".join(map(str, unknown)),
            remedy="correct the key, or give the path of a contract file",
        )
    labels = values.get("labels")
    if labels is not None and not isinstance(labels, str | os.PathLike):
        path = folder / "labels.txt"
        path.write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
        values["labels"] = path
    return [word for name, value in values.items() for word in _words(name, value)]


def _names(known: type) -> frozenset[str]:
    keys: frozenset[str] = getattr(known, "__optional_keys__")  # noqa: B009 - of a TypedDict
    return keys


def _words(name: str, value: Any) -> list[str]:
    """Words of one option, such as ``--keep-float conv1,conv2``."""
    option = name.replace("_", "-")
    if value is None or (value is False and name != "latency"):
        return []
    if isinstance(value, bool):
        return [f"--{option}"] if value else [f"--no-{option}"]
    if isinstance(value, str | os.PathLike):
        text = os.fspath(value)
    elif isinstance(value, Sequence) or hasattr(value, "tolist"):
        text = ",".join(map(str, value))
    else:
        text = str(value)
    # One word, so that a negative number is no option.
    return [f"--{option}={text}"]
