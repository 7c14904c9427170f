"""Outputs of a model as they are shown: what a number of each is, and the task that it is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from calibration_data.preprocessing import Preprocessing
from calibration_data.task import End, Task
from calibration_data.task_choice import Output, likely_task
from edgequant.outputs import model_outputs
from models.loading.request import LoadedModel
from models.output_ends import output_ends

UNTOLD = f"not told by the network: --task states it ({', '.join(Task)})"
"""Task of an output that can mean several things."""


@dataclass(frozen=True)
class OutputView:
    """An output of a model.

    Attributes:
        name: name of the output in every file.
        shape: shape for one input, without the batch.
        scores: what its numbers are, from the last function before it.
        task: task that it is for; None where neither the contract nor the network tells.
    """

    name: str
    shape: tuple[int, ...]
    scores: str
    task: Task | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "shape": list(self.shape)}

    @property
    def task_text(self) -> str:
        """Task in words."""
        return UNTOLD if self.task is None else str(self.task)


def output_views(loaded: LoadedModel, contract: Preprocessing | None) -> tuple[OutputView, ...]:
    """Outputs of a model, in its order.

    Args:
        loaded: the model.
        contract: contract that may state tasks; None without one.
    """
    outputs = model_outputs(loaded)
    ends = output_ends(loaded.model)
    alone = len(outputs) == 1
    return tuple(
        OutputView(
            output.name,
            output.shape,
            numbers_of(Output(output.name, output.shape, end)),
            _task(output, contract, alone=alone),
        )
        for output, end in zip(outputs, ends, strict=True)
    )


def _task(output: Output, contract: Preprocessing | None, *, alone: bool) -> Task | None:
    if contract is None:
        return likely_task(output, (), (), alone=alone)
    named = contract.tasks.named
    name = named[0][0] if alone and len(named) == 1 else output.name
    given = contract.tasks.of(name, contract.labels if alone else ())
    return given.task or likely_task(output, given.labels, (), alone=alone)


def numbers_of(output: Output) -> str:
    """What the numbers of an output are, in words."""
    if output.is_map:
        functions = {End.SOFTMAX: ", softmax", End.SIGMOID: ", sigmoid"}
        return f"a map of {output.width} for each place" + functions.get(output.end, "")
    if output.end is End.SOFTMAX:
        return f"{output.width} probabilities (softmax)"
    if output.end is End.SIGMOID:
        several = output.width > 1
        each = "probabilities (one sigmoid each)" if several else "probability (sigmoid)"
        return f"{output.width} {each}"
    if output.end is End.UNIT_NORM:
        return f"a vector of length one, of {output.width} numbers"
    numbers = f"{output.width} number{'s' * (output.width > 1)}"
    return f"{numbers} (linear)" if output.end is End.LINEAR else numbers
