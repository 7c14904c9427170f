"""Command lines with values that no option takes, made from the commands themselves."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from edgequant.cli.main import cli

LONG = "x" * 300
DIGITS = "9" * 400

EMPTY = ("", " ", "\t\n")
NOT_A_NUMBER = (*EMPTY, "x", "nan", "inf", "-inf", "1e400", "0x10", "1,2", "\u0662x", "--")
NOT_WHOLE = (*NOT_A_NUMBER, "1.5", "-1", "1e9", DIGITS, f"-{DIGITS}", "9" * 5000, str(2**63))
NOT_TEXT = (*EMPTY, "a\x1b[31m", "\udcff", "a\x00b", "a\nb")
NOT_A_PATH = (*NOT_TEXT, LONG, "a/" * 3000, "/dev/full", "/dev/null")

LONGEST_SENTENCE = 1500

CHOSEN: dict[str, tuple[str, ...]] = {
    "alpha": ("0", "-1", "9", "1e30"),
    "size": ("0", "1000000000"),
    "classes": ("0", "1", "1000000000"),
    "seed": ("4294967296",),
    "learning_rate": ("0", "-1", "1e9"),
    "qat_learning_rate": ("0", "-1", "1e9"),
    "max_float_share": ("-0.1", "1.1"),
    "min_npu": ("-1", "101"),
    "max_flash": (DIGITS, "0", "1T", "-1", "0.0001", "1e3"),
    "max_sram": (DIGITS, "0", "nan", f"0.{DIGITS}"),
    "mean": ("nan", "inf", "1,2", "1,2,3,4", ",", DIGITS),
    "std": ("nan", "0", "-1", "1,2", "1,,2", DIGITS),
    "resize_short_side": ("0", "1000000000"),
    "recipes": (",", "tflite-int4", "tflite-int8,,", LONG),
    "targets": (",", "nobody", LONG),
    "runtimes": ("nobody", "=", "nobody=/", LONG),
    "accelerators": (",", "nobody", LONG),
}
"""Values that parse as what they are and that nothing can be done with, by parameter."""

LONG_WORK = (("study", "relu6"), ("compare",), ("train",))
"""Commands that run for minutes where nothing is wrong."""

ODD: tuple[str, ...] = (
    "1", "0", "2", "7", "0.5", "mobilenet_v2_small", "random", "random:1", "random:4294967296",
    "random:-1", "random:", "fashion_mnist:test", "fashion_mnist:", ":", "::", "/", ".", "..",
    "/dev/null", "/dev/full", "/proc/self/mem", "tflite-int8", "onnx-int8", "tflite-float32",
    "imagenet-1k", "photos:nobody", "é", "\u202e", "100%", "%s", "{}", "-", "*", "~", "$HOME",
)  # fmt: skip
"""Values that may or may not mean something."""


@dataclass(frozen=True)
class Case:
    """One command line, and whether it must be refused."""

    arguments: tuple[str, ...]
    refused: bool


@dataclass(frozen=True)
class Files:
    """Small files that commands may be given.

    Attributes:
        model: a .keras of three classes.
        data: folder with the splits train and test.
        artifact: an int8 .tflite of the model, with its plan beside it.
        output: folder that may be written to.
    """

    model: Path
    data: Path
    artifact: Path
    output: Path

    def value(self, name: str, command: str) -> str | None:
        """A value that a required parameter takes."""
        tflite = str(self.artifact)
        return {
            "what": "recipes",
            "recipes": "tflite-int8",
            "data": f"{self.data}:test",
            "artifact": tflite,
            "tflite": tflite,
            "onnx": tflite,
            "bundle": str(self.data),
            "targets": "onnx-mobile",
            "model": tflite if command == "lint" else None,
            "plan": str(self.artifact.with_suffix(".plan")),
            "first": str(self.artifact.with_suffix(".plan")),
            "second": str(self.artifact.with_suffix(".plan")),
        }.get(name)


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command, those of groups inside included."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


def command_of(words: tuple[str, ...]) -> click.Command:
    """The command of these words."""
    command: click.Command = cli
    for word in words:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    return command


def refused_values(parameter: click.Parameter) -> tuple[str, ...]:
    """Values that the parameter must refuse before any work."""
    own = CHOSEN.get(parameter.name or "", ())
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return ()
    if parameter.name == "threads":  # how many there may be depends on the machine
        return (*NOT_A_NUMBER, "0", "-1", "1.5")
    kind = parameter.type
    if isinstance(kind, click.Choice):
        return ("", "nobody", LONG, "\udcff")
    if isinstance(kind, click.types.IntParamType):
        return (*NOT_WHOLE, *own)
    if isinstance(kind, click.types.FloatParamType):
        return (*NOT_A_NUMBER, DIGITS, *own)
    if isinstance(kind, click.Path) or parameter.name in ("model", "weights", "data", "reference"):
        return NOT_A_PATH
    return (*NOT_TEXT, *own)


def refused_cases(files: Files) -> Iterator[Case]:
    """Every value that must be refused, in a command line that is sound apart from it."""
    for words in commands():
        for parameter in command_of(words).params:
            for value in refused_values(parameter):
                yield Case(_line(words, files, {parameter.name or "": value}), refused=True)


def mixed_cases(files: Files, seed: int, count: int) -> Iterator[Case]:
    """Command lines with up to three odd values each, which may even work."""
    rng = random.Random(seed)
    every = tuple(words for words in commands() if words not in LONG_WORK)
    for _ in range(count):
        words = rng.choice(every)
        parameters = [p for p in command_of(words).params if p.name != "debug"]  # has tracebacks
        odd = {p.name or "": str(files.model) for p in parameters if p.name == "model"}
        for parameter in rng.sample(parameters, min(len(parameters), rng.randint(1, 3))):
            pool = (*refused_values(parameter), *ODD)
            odd[parameter.name or ""] = rng.choice(pool)
        yield Case(_line(words, files, odd), refused=False)


def _line(words: tuple[str, ...], files: Files, odd: dict[str, str]) -> tuple[str, ...]:
    """The words of a command with the values of ``odd``, and what is required besides."""
    line = list(words)
    given = {p.name for p in command_of(words).params}
    options: list[str] = []
    values: list[str] = []
    for parameter in command_of(words).params:
        name = parameter.name or ""
        value = odd.get(name, files.value(name, words[-1]) if parameter.required else None)
        if name == "output" and value is None:
            value = str(files.output)
        if value is None:
            continue
        if isinstance(parameter, click.Argument):
            values.append(value)
        elif isinstance(parameter, click.Option) and parameter.is_flag:
            options.append(parameter.opts[0])
        else:
            options.append(f"{parameter.opts[-1]}={value}")
    if "weights" in given and "weights" not in odd and "model" not in odd:
        options.append("--weights=random")
    return (*line, *options, "--", *values)
