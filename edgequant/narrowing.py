"""Choice of 4 or 8 bits for each weight, so that a file has at most the bytes of ``--max-size``.

What each weight loses in 4 bits is measured on half of the calibration images, with integers from
the other half. The images that accuracy is reported on take part in no choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from calibration_data.task_choice import Output
from edgequant.planning import Planner
from edgequant.repair.heldout import halves
from export.sizes import expected_bytes
from foundation.errors import InvalidInputError, UnsupportedError
from quantize.engine import settled
from quantize.objective import classified
from quantize.plans.narrow import narrow_candidates
from quantize.recipes import Recipe
from quantize.sensitivity.bits import Choice, least_noise, saved_bytes, weight_noise
from quantize.settings import PlanSettings

JUDGED = 64
"""Largest number of images that weights in 4 bits are judged on."""

_ZERO_POINT = 16
"""Bytes of an activation's zero point, aligned; equal ones are stored once, and calibration alone
tells which are equal."""


@dataclass(frozen=True)
class Narrowing:
    """Bits that were chosen.

    Attributes:
        recipe: recipe that names the operators in 4 bits.
        choice: these operators, with their noise and the bound on it.
        able: number of operators that could be in 4 bits.
        max_size: bytes that were asked for.
        size: largest number of bytes of the file.
    """

    recipe: Recipe
    choice: Choice
    able: int
    max_size: int
    size: int

    def remark(self) -> str:
        """Sentence for the report."""
        gap = f"{100 * self.choice.gap:.2g} %" if self.choice.gap > 0 else "nothing"
        return (
            f"chosen for --max-size {self.max_size:,}: {len(self.choice.names)} of {self.able} "
            f"weights in 4 bits, at most {self.size:,} bytes; the sum of their single losses on "
            f"held-out calibration images is {gap} above the least of any choice of these bytes"
        )


def require_fitting(planner: Planner, recipe: Recipe, max_size: int) -> None:
    """Refuse a limit that no choice keeps, or that needs none, before anything is measured.

    Raises:
        UnsupportedError: a recipe of other weights.
        InvalidInputError: fewer bytes than with every weight in 4 bits, or enough for 8 bits.
    """
    if recipe.settings.bits != 4:
        raise UnsupportedError(
            "--max-size chooses between weights in 4 and in 8 bits, for tflite-int4",
            received=f"--max-size {max_size} with {recipe.name}",
            remedy="use --recipe tflite-int4, or leave --max-size out",
        )
    least, most = _size(planner, recipe, None), _size(planner, recipe, ())
    if max_size < least:
        raise InvalidInputError(
            f"the smallest {recipe.name} file of this network has {least:,} bytes",
            received=f"--max-size {max_size}",
            remedy=f"give --max-size {least} or more, or a smaller network",
        )
    if max_size >= most:
        raise InvalidInputError(
            f"--max-size is less than the {most:,} bytes of all weights in 8 bits",
            received=f"--max-size {max_size}",
            remedy="use tflite-int8, which has that size",
        )


def narrowed_to(
    planner: Planner,
    recipe: Recipe,
    outputs: Sequence[Output],
    max_size: int,
    advance: Callable[[int], None],
) -> Narrowing:
    """Recipe with the operators in 4 bits that lose least in a file of that size.

    Args:
        planner: planner of the model, with its calibration set.
        recipe: recipe of weights in 4 bits, which ``require_fitting`` lets pass.
        outputs: outputs of the model.
        max_size: largest number of bytes.
        advance: called with the number of images and operators just done.
    """
    graph, settings = planner.graph, planner.completed(recipe).settings
    tried = replace(settings, narrow_ops=narrow_candidates(graph, settings))
    noise = measured_noise(planner, outputs, tried, advance)
    saved = {name: saved_bytes(graph, name) for name in noise}
    needed = _size(planner, recipe, ()) - max_size
    while True:  # buffers are aligned, and the card names the operators
        choice = least_noise(noise, saved, min(needed, sum(saved.values())))
        size = _size(planner, recipe, choice.names)
        if size <= max_size or len(choice.names) == len(noise):
            break
        needed += size - max_size
    chosen = replace(recipe.settings, narrow_ops=choice.names)
    return Narrowing(replace(recipe, settings=chosen), choice, len(noise), max_size, size)


def measured_noise(
    planner: Planner,
    outputs: Sequence[Output],
    settings: PlanSettings,
    advance: Callable[[int], None],
) -> dict[str, float]:
    """``weight_noise`` of every operator in ``narrow_ops``, on halves of the calibration images."""
    assert planner.calibration is not None  # every planned recipe has calibration images
    half = halves(planner.calibration, outputs, JUDGED)
    prepared = settled(planner.graph, half.fitting, planner.contract, settings, advance)
    classifies = classified(planner.graph, planner.contract)
    return weight_noise(prepared, settings, half.judged, classifies, advance)


def _size(planner: Planner, recipe: Recipe, names: tuple[str, ...] | None) -> int:
    """Bytes of the file with these operators in 4 bits, at most; None for all that can be."""
    completed = planner.completed(recipe)
    if names is not None:
        bits = 4 if names else 8
        settings = replace(completed.settings, narrow_ops=names, bits=bits)
        completed = replace(completed, settings=settings)
    written = expected_bytes(planner.graph, b"", planner.contract, completed)
    return written + _ZERO_POINT * len(planner.graph.activations)
