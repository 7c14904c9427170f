"""Which weights stay in 4 bits where the bytes of a file, or its noise, have a limit.

Errors of single layers are small and nearly independent, so the noise of a choice is the sum of
what each weight adds when it alone is in 4 bits (as in ``mixed_precision``). The least sum that
saves enough bytes is a 0-1 knapsack, which HiGHS solves exactly (scipy.optimize.milp).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from network.graph import Graph
from quantize.engine import Settled
from quantize.objective import Decisive, energy, mean_noise
from quantize.parallel import one_blas_thread
from quantize.sensitivity.changes import WEIGHTS, changes, solved_alone
from quantize.sensitivity.following import changed_outputs, float_activations
from quantize.sensitivity.ranking import LabelledImages, batches_of
from quantize.settings import PlanSettings

STEPS = 32
"""Number of sizes between all weights in 4 bits and all in 8."""


@dataclass(frozen=True)
class Choice:
    """Weights that stay in 4 bits.

    Attributes:
        names: names of their operators, in the order of the graph.
        noise: sum of what each adds to the outputs, as a share of their power.
        bound: sum that no other choice of as many bytes is below, as the solver proves.
    """

    names: tuple[str, ...]
    noise: float
    bound: float

    @property
    def gap(self) -> float:
        """Share of the noise by which a better choice could be below it at most."""
        return max(0.0, self.noise - self.bound) / self.noise if self.noise > 0 else 0.0


def saved_bytes(graph: Graph, name: str) -> int:
    """Bytes that 4 bits in place of 8 save of an operator's weight."""
    return graph.weight(graph.producers[name]).size // 2


def least_noise(noise: Mapping[str, float], saved: Mapping[str, int], needed: int) -> Choice:
    """Choice of least noise that saves enough bytes.

    Args:
        noise: noise of each operator's weight in 4 bits, by name, in the order of the graph.
        saved: bytes that it saves, by name.
        needed: bytes to save; at most the sum of ``saved``.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    names = list(noise)
    if needed <= 0:
        return Choice((), 0.0, 0.0)
    unit = max(noise.values()) or 1.0  # tolerances of the solver are absolute
    costs = np.array([noise[name] / unit for name in names])
    enough = LinearConstraint(np.array([[saved[name] for name in names]]), lb=needed)
    found = milp(
        costs,
        integrality=np.ones(len(names)),
        bounds=Bounds(0, 1),
        constraints=enough,
        options={"mip_rel_gap": 0.0},
    )
    chosen = tuple(name for name, taken in zip(names, found.x, strict=True) if taken > 0.5)
    return Choice(chosen, sum(noise[name] for name in chosen), float(found.mip_dual_bound) * unit)


def shares(graph: Graph, noise: Mapping[str, float]) -> list[tuple[str, ...]]:
    """Operators in 4 bits, for ever larger files: the least noise for each of STEPS sizes.

    Args:
        graph: canonical.
        noise: noise of each operator's weight in 4 bits, by name, in the order of the graph.
    """
    saved = {name: saved_bytes(graph, name) for name in noise}
    whole = sum(saved.values())
    needed = [whole * (STEPS - step) // STEPS for step in range(1, STEPS)]
    choices = [least_noise(noise, saved, bytes_).names for bytes_ in needed]
    distinct = dict.fromkeys(names for names in choices if names and len(names) < len(noise))
    return list(distinct)


def weight_noise(
    settled: Settled,
    settings: PlanSettings,
    judged: LabelledImages,
    classifies: Sequence[bool],
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, float]:
    """Noise of the outputs where the weight of one operator alone is in 4 bits.

    Args:
        settled: equalized graph, parameters and images to round on.
        settings: settings of the plan, with the operators to try as ``narrow_ops``.
        judged: images that nothing was decided on.
        classifies: for each output whether it chooses a class (``quantize.objective``).
        advance: called with 1 after each rounded operator, then with each number of images done.

    Returns:
        Noise by the operator's name, in the order of the graph.
    """
    graph = settled.graph
    others = tuple(op.name for op in graph.ops if op.name not in settings.narrow_ops)
    with one_blas_thread():
        solved = solved_alone(settled, replace(settings, float_ops=others), advance)
    tried = [c for c in changes(settled, solved, frozenset(others)) if c.part == WEIGHTS]
    signal = np.zeros(len(graph.outputs))
    noises = np.zeros((len(tried), len(graph.outputs)))
    for images, _ in batches_of(judged):
        activations = float_activations(graph, images)
        outputs = [np.asarray(activations[name]) for name in graph.outputs]
        decisive = Decisive.of(outputs, classifies)
        exact = decisive(outputs)
        signal += [energy(output) for output in exact]
        for number, change in enumerate(tried):
            found = decisive(changed_outputs(graph, activations, change))
            noises[number] += [energy(f - e) for f, e in zip(found, exact, strict=True)]
        advance(len(images))
    return {
        c.name: mean_noise(signal.tolist(), row.tolist())
        for c, row in zip(tried, noises, strict=True)
    }
