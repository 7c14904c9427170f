"""``edgequant inspect``: one screen about a model before anything is made, or about a file."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calibration_data.contract import ContractRequest
from calibration_data.preprocessing import ChannelOrder, Preprocessing
from edgequant.cli.terminal import Terminal, plain_table
from edgequant.model_view.view import ModelView, view_of
from foundation.errors import InvalidInputError
from models.loading.request import ModelRequest
from quantize.islands import MOST_FLOAT, percent

_ROWS = 14
"""Kinds of operators on the screen; all of them are in the JSON."""

_WIDTH = 100
"""Columns of the screen."""


@dataclass(frozen=True)
class InspectRequest:
    """What to look at.

    Attributes:
        model: model file or registered name; or a .tflite or .onnx.
        contract: preprocessing that the user states for a model.
        tensors: list every tensor of a .tflite or .onnx.
        target: accelerator whose operators are named; None for the screen.
    """

    model: ModelRequest
    contract: ContractRequest = field(default_factory=ContractRequest)
    tensors: bool = False
    target: str | None = None

    @property
    def artifact(self) -> Path | None:
        """Path of a .tflite or .onnx; None for a model."""
        path = Path(self.model.reference)
        return path if path.suffix in (".tflite", ".onnx") else None


def inspect_command(request: InspectRequest, terminal: Terminal) -> None:
    """Show a model, or operators, types, scales and sizes of a file.

    Raises:
        InvalidInputError: options for files with a model, or the other way round.
    """
    from edgequant.commands.listing import show_inspection

    artifact = request.artifact
    if artifact is None:
        if request.tensors or request.target is not None:
            raise InvalidInputError(
                "--tensors and --for are about a .tflite or .onnx",
                received=request.model.reference,
                remedy="quantize the model first, or leave them out",
            )
        show_model(request, terminal)
        return
    if request.contract != ContractRequest():
        raise InvalidInputError(
            "preprocessing is stated for a model; a file has its own",
            received=f"options of it with {artifact}",
            remedy="leave them out",
        )
    if request.target is None:
        inspection = show_inspection(artifact, terminal, all_tensors=request.tensors)
        if artifact.suffix == ".tflite" and inspection.is_float:
            terminal.say(f"next  edgequant quantize --model {shlex.quote(str(artifact))} \\")
            terminal.say("        --recipe tflite-int8,onnx-int8 --calibration DATA")
        else:
            terminal.say(f"next  edgequant evaluate {shlex.quote(str(artifact))} --data DATA")
        return
    from edgequant.commands.delegate import show_delegate

    show_delegate(artifact, request.target, terminal)


def show_model(request: InspectRequest, terminal: Terminal) -> None:
    """Show a model before anything is made from it."""
    with terminal.progress(f"look at {request.model.name}", None):
        view = view_of(request.model, request.contract)
    following = next_command(request, view)
    for sentence in _head(view):
        for line in _wrapped(sentence):
            terminal.say(line)
    rows = [row.cells() for row in view.operators]
    terminal.table(plain_table(rows[:_ROWS], right=("MACs",)))
    if len(rows) > _ROWS:
        terminal.say(f"and {len(rows) - _ROWS} more kinds (--json lists all)")
    for line in _foot(view):
        terminal.say(line)
    for line in _command(following):
        terminal.say(line)
    terminal.result({**view.to_dict(), "next": following})


def _head(view: ModelView) -> Iterator[str]:
    yield (
        f"{view.name}: {view.origin}, {view.layers} layers, {view.params:,} parameters, "
        f"{_millions(view.macs)} multiply-adds"
    )
    yield f"input      {_shape(view.input)} float32: {_reading(view)}"
    alone = len(view.outputs) == 1
    for output in view.outputs:
        name = "" if alone else f"{output.name} "
        yield f"output     {name}{_shape(output.shape)} float32: {output.scores}"
        yield f"task       {output.task_text}"


def _reading(view: ModelView) -> str:
    contract = view.contract
    if contract is None:
        return "no contract says how pixels become these numbers (see next)"
    if contract.plain:
        return f"arrays of numbers, {_formula(contract)}"
    height, width = contract.size
    channels = contract.channels
    named = channels.value if isinstance(channels, ChannelOrder) else f"{channels} channels"
    return f"images of {height}x{width}, {contract.crop.value}, {named}, {_formula(contract)}"


def _formula(contract: Preprocessing) -> str:
    mean, std = (
        f"{values[0]:g}" if len(set(values)) == 1 else ",".join(f"{v:g}" for v in values)
        for values in (contract.mean, contract.std)
    )
    if (mean, std) == ("0", "1"):
        return "as they are"
    return f"({'value' if contract.plain else 'pixel'} - {mean}) / {std}"


def _foot(view: ModelView) -> Iterator[str]:
    for name, operators in view.in_float.items():
        if operators:
            share = percent(sum(op.share for op in operators))
            count = f"{len(operators)} operator{'s' * (len(operators) > 1)}"
            yield f"float32    {name}: {count}, {share} of the multiply-adds"
    sizes = [f"{name} {size:,}" for name, size in view.sizes.items()]
    for number in range(0, len(sizes), 3):
        yield f"{'' if number else 'bytes':<10} {', '.join(sizes[number : number + 3])}"
    for sentence in dict.fromkeys((*view.refused.values(), *view.warnings)):
        yield from _wrapped(f"warning    {sentence}")


def next_command(request: InspectRequest, view: ModelView) -> str:
    """Command line that quantizes the model; DATA stands for a folder of the user's images."""
    recipes = [name for name in ("tflite-int8", "onnx-int8") if name not in view.refused]
    words = ["edgequant", "quantize", "--model", shlex.quote(request.model.reference)]
    words += ["--recipe", ",".join(recipes) or "tflite-float16"]
    words += ["--calibration", "DATA"] if recipes else []
    if request.contract.file is not None:
        words += ["--preprocessing", shlex.quote(str(request.contract.file))]
    if view.contract is None:
        normalizes = any("mean 0, std 1" in warning for warning in view.warnings)
        words += ["--mean", "0", "--std", "1"] if normalizes else ["--mean", "M", "--std", "S"]
    most = max((sum(op.share for op in ops) for ops in view.in_float.values()), default=0.0)
    if most > MOST_FLOAT:
        words += ["--max-float-share", f"{-(-most * 100 // 1) / 100:g}"]
    return " ".join(words)


def _command(text: str) -> Iterator[str]:
    """Lines of a command, which a shell takes as one."""
    from textwrap import wrap

    lines = wrap(
        f"next       {text}",
        _WIDTH - 2,
        subsequent_indent=" " * 13,
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield from (f"{line} \\" for line in lines[:-1])
    yield lines[-1]


def _wrapped(text: str) -> Iterator[str]:
    from textwrap import wrap

    yield from wrap(text, _WIDTH, subsequent_indent=" " * 11)


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "1"


def _millions(count: int) -> str:
    return f"{count / 1e6:,.1f} million" if count >= 100_000 else f"{count:,}"


def request_of(values: dict[str, Any]) -> InspectRequest:
    """Request of ``edgequant inspect`` from its parsed options."""
    from edgequant.cli.values import contract_request, model_request

    contract, model = contract_request(values), model_request(values)
    return InspectRequest(model, contract, values["tensors"], values["target"])
