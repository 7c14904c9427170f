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
from network.run_tensorflow import run, run_outputs
from quantize.plans.plan import PlannedNetwork
from quantize.plans.simulate import simulated, simulated_outputs

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
class Whole:
    """Comparison of the first output, value by value.

    Attributes:
        images: float32 ``[n, *shape]``.
        exact: output of the float network, float32 ``[n, ...]``.
        targets: true values; None without any.
    """

    images: np.ndarray
    exact: np.ndarray
    targets: np.ndarray | None

    @classmethod
    def of(cls, graph: Graph, held: Halves) -> Whole:
        """Comparison on the judged images."""
        images = np.concatenate([images for images, _ in held.judged.batches()])
        exact = np.concatenate(
            [run(graph, images[i : i + _BATCH]) for i in range(0, len(images), _BATCH)]
        )
        return cls(images, exact, held.targets)

    def __call__(self, planned: PlannedNetwork) -> Compared:
        """Run a plan on the images."""
        outputs = np.concatenate(
            [
                simulated(planned, self.images[i : i + _BATCH])
                for i in range(0, len(self.images), _BATCH)
            ]
        )
        return Compared(outputs, self.exact, self.targets)


@dataclass(frozen=True, eq=False)
class Reduced:
    """Comparison of what a task keeps of its outputs.

    Attributes:
        batches: images with the float network's outputs that are one answer.
        places: their places among the outputs of the network.
        reduction: what is kept of them.
        targets: true values, or those that the float network's answers stand for.
    """

    batches: tuple[tuple[Batch, tuple[np.ndarray, ...]], ...]
    places: tuple[int, ...]
    reduction: Reduction
    targets: np.ndarray | None

    @classmethod
    def of(
        cls,
        graph: Graph,
        held: Halves,
        contract: Preprocessing,
        outputs: Sequence[Output],
        answer: Answer,
    ) -> Reduced:
        """Comparison on the judged images; without true values, float's answers are taken as true.

        Args:
            graph: float network.
            held: judged images.
            contract: contract of the network.
            outputs: outputs of the network.
            answer: outputs that are judged, of a task with a reduction.
        """
        names = tuple(output.name for output in answer.outputs)
        places = tuple(outputs.index(output) for output in answer.outputs)
        found = []
        for batch in stream(held.dataset, contract, batch_size=_REDUCED_BATCH):
            exact = run_outputs(graph, batch.images)
            found.append((batch, tuple(exact[place] for place in places)))
        batches, dataset = tuple(found), held.dataset
        kind = answer.kind
        if held.targets is None and kind.assumed is not None:
            dataset = kind.assumed(dataset, contract, batches)
        assert kind.reduction is not None
        targets = held.targets
        if targets is None and kind.annotated is not None and kind.assumed is not None:
            targets = kind.annotated(dataset, contract)
        return cls(batches, places, kind.reduction(dataset, contract, names), targets)

    def __call__(self, planned: PlannedNetwork) -> Compared:
        """Run a plan on the images."""
        rows = []
        for batch, exact in self.batches:
            outputs = simulated_outputs(planned, batch.images)
            both = {"float": exact, "plan": tuple(outputs[place] for place in self.places)}
            rows.append(self.reduction(both, batch))
        joined = {n: np.concatenate([row[n] for row in rows]) for n in ("plan", "float")}
        return Compared(joined["plan"], joined["float"], self.targets)
