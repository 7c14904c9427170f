"""Outputs of a plan beside those of the float network on held-out images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration_data.preprocessing import Preprocessing
from calibration_data.stream import Batch, stream
from calibration_data.task_choice import Output
from edgequant.outputs import Answer
from edgequant.repair.heldout import Halves
from evaluation.runner import Reduction
from network.graph import Graph
from network.run_tensorflow import run_outputs
from quantize.plans.plan import PlannedNetwork
from quantize.plans.simulate import simulated_outputs

_BATCH = 32
_REDUCED_BATCH = 8


@dataclass(frozen=True, eq=False)
class Compared:
    """What a plan is judged by, in the form of the task's ``scores``.

    Attributes:
        outputs: of the plan, ``[n, ...]``.
        exact: of the float network, same shape.
        targets: true values; None where the float network's answers count as right.
    """

    outputs: np.ndarray
    exact: np.ndarray
    targets: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Part:
    """An answer of the network as it is compared.

    Attributes:
        places: places of its outputs among those of the network.
        reduction: what is kept of them; None to compare the only one value by value.
        targets: true values, or those that the float network's answers stand for; None without.
    """

    places: tuple[int, ...]
    reduction: Reduction | None
    targets: np.ndarray | None


_Run = tuple[Batch, tuple[np.ndarray, ...]]
"""A batch with the outputs of the float network."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Comparison of some answers of a network on held-out images.

    Attributes:
        runs: images with the float network's outputs.
        parts: answers that are compared.
    """

    runs: tuple[_Run, ...]
    parts: tuple[Part, ...]

    @classmethod
    def of(
        cls,
        graph: Graph,
        held: Halves,
        contract: Preprocessing,
        outputs: Sequence[Output],
        judged: Sequence[Answer],
        batch_size: int | None = None,
    ) -> Comparison:
        """Comparison on the judged images.

        Args:
            graph: float network.
            held: judged images.
            contract: contract of the network.
            outputs: outputs of the network.
            judged: answers that are compared.
            batch_size: images in a batch; None for as many as fit the answers.
        """
        reduced = any(answer.kind.reduction is not None for answer in judged)
        size = batch_size or (_REDUCED_BATCH if reduced else _BATCH)
        batches = stream(held.dataset, contract, batch_size=size)
        runs = tuple((batch, run_outputs(graph, batch.images)) for batch in batches)
        return cls(runs, tuple(_part(answer, runs, held, contract, outputs) for answer in judged))

    def __call__(self, planned: PlannedNetwork) -> tuple[Compared, ...]:
        """Run a plan on the images: a comparison of each answer."""
        found = [simulated_outputs(planned, batch.images) for batch, _ in self.runs]
        return tuple(self._compared(part, found) for part in self.parts)

    def _compared(self, part: Part, found: list[tuple[np.ndarray, ...]]) -> Compared:
        rows = []
        for (batch, exact), outputs in zip(self.runs, found, strict=True):
            both = {"float": _at(exact, part.places), "plan": _at(outputs, part.places)}
            if part.reduction is None:
                rows.append({name: array for name, (array,) in both.items()})
            else:
                rows.append(dict(part.reduction(both, batch)))
        joined = {n: np.concatenate([row[n] for row in rows]) for n in ("plan", "float")}
        return Compared(joined["plan"], joined["float"], part.targets)


def _part(
    answer: Answer,
    runs: tuple[_Run, ...],
    held: Halves,
    contract: Preprocessing,
    outputs: Sequence[Output],
) -> Part:
    """An answer; without true values of a reduced one, what the float network says is taken."""
    places = tuple(outputs.index(output) for output in answer.outputs)
    kind, targets = answer.kind, held.targets.get(answer.name)
    if kind.reduction is None:
        return Part(places, None, targets)
    dataset = held.dataset
    if targets is None and kind.assumed is not None:
        dataset = kind.assumed(
            dataset, contract, tuple((batch, _at(exact, places)) for batch, exact in runs)
        )
        targets = None if kind.annotated is None else kind.annotated(dataset, contract)
    names = tuple(output.name for output in answer.outputs)
    return Part(places, kind.reduction(dataset, contract, names), targets)


def _at(arrays: tuple[np.ndarray, ...], places: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    return tuple(arrays[place] for place in places)
