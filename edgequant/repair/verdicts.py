"""What a change costs in the points of a task whose answers are no single scores: AP, mIOU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from calibration_data.preprocessing import Preprocessing
from calibration_data.task_choice import Output
from edgequant.outputs import Answer, answers
from edgequant.repair.comparing import Comparison, Part
from edgequant.repair.heldout import Halves
from edgequant.repair.judging import lost
from network.graph import Graph
from quantize.sensitivity.changes import BATCH
from quantize.sensitivity.ranking import Verdict


@dataclass(eq=False)
class RowScores:
    """Rows of one change, batch by batch, beside those of the float network.

    Attributes:
        comparison: judged images with the float network's outputs, in batches of ``BATCH``.
        part: the answer that is compared.
        answer: its task.
        labelled: whether true values are known; if not, float's answers count as right.
        rows: rows so far of the change and of the float network.
    """

    comparison: Comparison
    part: Part
    answer: Answer
    labelled: bool
    rows: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)

    def add(self, exact: Sequence[np.ndarray], changed: Sequence[np.ndarray]) -> None:
        """Add the next batch: float and changed outputs, ``[batch, ...]`` each."""
        batch, _ = self.comparison.runs[len(self.rows)]
        assert self.part.reduction is not None
        found = self.part.reduction(
            {
                "float": tuple(exact[place] for place in self.part.places),
                "changed": tuple(changed[place] for place in self.part.places),
            },
            batch,
        )
        self.rows.append((found["changed"], found["float"]))

    def verdict(self) -> Verdict:
        """The metric, its loss, and the answers that stayed."""
        outputs, exact = (np.concatenate(rows) for rows in zip(*self.rows, strict=True))
        task, kind, targets = self.answer.task, self.answer.kind, self.part.targets
        loss = lost(outputs, exact, targets, task, kind)
        scores = kind.scores(outputs, targets, None, task.limit)
        known = self.labelled and kind.first.applies(scores)
        value = kind.first.function(scores) if known else None
        return Verdict(value, loss.drop, loss.agreement)


def scores_of(
    graph: Graph, held: Halves, contract: Preprocessing, outputs: Sequence[Output]
) -> tuple[Callable[[], RowScores], str] | None:
    """What makes the scores of a change, and the title of the metric; None for other tasks.

    Args:
        graph: float network.
        held: judged images.
        contract: contract of the network.
        outputs: outputs of the network.
    """
    found = answers(contract, outputs)
    if len(found) > 1 or found[0].kind.reduction is None:
        return None
    comparison = Comparison.of(graph, held, contract, outputs, found, batch_size=BATCH)
    (part,) = comparison.parts
    return lambda: RowScores(comparison, part, found[0], held.labelled), found[0].kind.first.title
