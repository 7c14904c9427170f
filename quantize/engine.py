"""From a canonical float graph and calibration images to a plan.

float pass -> equalization -> pairing -> ranges -> parameters of activations     ``settled``
-> weights and biases, layer by layer -> constants of elementwise operators      ``make_plan``
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from calibration_data.preprocessing import Preprocessing
from foundation.errors import InvalidInputError
from network.affine import IntType, QuantParams, symmetric_params
from network.graph import Graph
from network.integer_forms import obstacle
from network.run_tensorflow import no_integer_form
from quantize.effort import (
    JUDGED_BYTES,
    Seen,
    bytes_per_image,
    check_weights,
    effort_of,
    has_mirror_images,
    layer_settings,
    looked_at,
    ranged_images,
)
from quantize.equalization.rescaling import Rescaling
from quantize.floating import make_floating_plan
from quantize.grids import on_grid
from quantize.held_out import HeldOut, divided
from quantize.islands import NO_INT16, FloatOperator, check_examples, islands, note
from quantize.objective import classified
from quantize.parallel import one_blas_thread
from quantize.plans.narrow import narrow_settings
from quantize.plans.plan import IntegerConstant, QuantizationPlan, digest
from quantize.plans.widening import check_wide, wide_activations, wide_biases
from quantize.ranges.activations import activation_params
from quantize.ranges.float_pass import CalibrationImages, checked, spread
from quantize.ranges.narrowing import narrowed
from quantize.ranges.observe import chosen_ranges, merged, observe
from quantize.ranges.observers import RangeState
from quantize.rounding.gain import centred
from quantize.rounding.reconstruct import Lockstep
from quantize.settings import Granularity, Optimization, PlanSettings, RangeMethod


def make_plan(
    graph: Graph,
    images: CalibrationImages,
    contract: Preprocessing | None,
    settings: PlanSettings,
    advance: Callable[[int], None] = lambda _: None,
) -> QuantizationPlan:
    """Decide every integer of a network.

    Args:
        graph: canonical.
        images: images to calibrate on.
        contract: preprocessing contract of the input; None when unknown.
        settings: how the plan is made.
        advance: called with each number of images done (in the float pass), then with 1 after each
            operator.

    Raises:
        UnsupportedError: an operator without an integer form that is not to stay in float32, or
            one for int16x8 without a form there; names it.
        InvalidInputError: a float or wide operator that the graph does not have; no image, images
            of another size, or NaN in images, weights or activations.
    """
    if settings.floating is not None:
        return make_floating_plan(graph, images, contract, settings, advance)
    settings = narrow_settings(graph, settings)
    check_wide(graph, settings.float_ops, settings.wide_ops, whole=settings.int16)
    _check(graph, settings.float_ops)
    rival = effort_of(settings).rival
    fitting, held = (images, None) if rival is None else divided(images)
    keeps_steps = _steps_are_better(graph, images, contract, settings)
    if rival is None or held is None:
        return _decided(graph, fitting, contract, settings, advance, keeps_steps)

    # The images that neither plan was made on choose one; the rival is then made on all of them.
    lesser = replace(settings, optimization=rival)
    seen = looked_at(graph, fitting, contract, effort_of(settings), advance)
    by_rival = looked_at(graph, fitting, contract, effort_of(lesser), earlier=seen)
    prepared = settled(graph, fitting, contract, settings, advance, keeps_steps, seen)
    del seen  # images take memory
    plan = _rounded(graph, fitting, settings, prepared, advance)
    del prepared
    of_rival = _decided(graph, fitting, contract, lesser, keeps_steps=keeps_steps, seen=by_rival)
    unseen = _unseen(graph, held, contract)
    noise, rivals = unseen.noise(graph, plan), unseen.noise(graph, of_rival)
    told = {**unseen.comparison(rivals, noise), "kept": settings.optimization.value}
    if noise <= rivals:
        return replace(plan, story={**plan.story, **told})
    plan = _decided(graph, images, contract, lesser, keeps_steps=keeps_steps)
    return replace(
        plan,
        settings=replace(plan.settings, optimization=settings.optimization),
        story={**plan.story, **told, "kept": rival.value},
        notes=(*plan.notes, _fallen_back(settings.optimization, rival, told)),
    )


def _unseen(graph: Graph, images: CalibrationImages, contract: Preprocessing | None) -> HeldOut:
    """Images to compare plans on, and their mirror images where they are pictures."""
    mirrored = has_mirror_images(graph, contract)
    return HeldOut.of(graph, images, classified(graph, contract), mirrored=mirrored)


def _fallen_back(asked: Optimization, rival: Optimization, told: Mapping[str, Any]) -> str:
    """Sentence on a plan of less work that was taken."""
    by = f" by {-told['held_out_gain_db']:g} dB" if "held_out_gain_db" in told else ""
    return (
        f"the integers are those of --optimize {rival.value}, which {told['held_out_images']} "
        f"held-out calibration images prefer{by} to those of {asked.value}: give more images"
    )


def _decided(
    graph: Graph,
    images: CalibrationImages,
    contract: Preprocessing | None,
    settings: PlanSettings,
    advance: Callable[[int], None] = lambda _: None,
    keeps_steps: bool | None = None,
    seen: Seen | None = None,
) -> QuantizationPlan:
    """Plan of one level of work; arguments as those of ``settled``."""
    prepared = settled(graph, images, contract, settings, advance, keeps_steps, seen)
    return _rounded(graph, images, settings, prepared, advance)


def _rounded(
    graph: Graph,
    images: CalibrationImages,
    settings: PlanSettings,
    prepared: Settled,
    advance: Callable[[int], None] = lambda _: None,
) -> QuantizationPlan:
    """Plan of a network that is settled for these images and settings."""
    scaled = prepared.graph
    params = _integer_activations(scaled, prepared.params, settings)
    params = wide_activations(scaled, params, settings.wide_ops, whole=settings.int16)

    # Weights and biases, layer by layer, then the other constants.
    effort = effort_of(settings)
    lockstep = Lockstep(
        scaled,
        params,
        layer_settings(settings),
        effort.positions,
        frozenset(settings.float_ops),
        frozenset(settings.narrow_ops),
    )
    with one_blas_thread():
        constants = lockstep.run(prepared.images, advance)
    if effort.centred and images.count > prepared.distinct:
        constants |= centred(scaled, params, constants, images)
    constants |= wide_biases(scaled, params, constants, settings.wide_ops)
    constants |= _elementwise_constants(scaled, params, settings.float_ops, settings.wide_ops)

    return QuantizationPlan(
        graph=digest(graph),
        activations=params,
        constants=constants,
        settings=replace(
            settings, wide_ops=tuple(op.name for op in graph.ops if op.name in settings.wide_ops)
        ),
        floats=_float_constants(graph, scaled, settings.float_ops),
        story=_story(settings, prepared, images.count),
        notes=(*note(_in_float(graph, settings)), *prepared.notes),
    )


def _in_float(graph: Graph, settings: PlanSettings) -> tuple[FloatOperator, ...]:
    """Operators that the plan leaves in float32 without being asked to."""
    return islands(graph, dict.fromkeys(settings.float_ops, NO_INT16) if settings.int16 else None)


@dataclass(frozen=True)
class Settled:
    """Everything that is decided before any weight is rounded.

    Attributes:
        graph: canonical, equalized.
        params: parameters of every activation, by name.
        images: inputs to round layers on, float32 ``[n, *shape]``, spread evenly over the set; with
            their mirror images where the effort says so.
        notes: sentences that the user must know.
        distinct: number of these images without mirror images.
    """

    graph: Graph
    params: Mapping[str, QuantParams]
    images: np.ndarray
    notes: tuple[str, ...]
    distinct: int

    @property
    def mirrored(self) -> bool:
        """Whether mirror images are among the images."""
        return len(self.images) > self.distinct


def _story(settings: PlanSettings, prepared: Settled, count: int) -> dict[str, Any]:
    """How a plan was made from ``count`` calibration images, as plain values for the reader."""
    effort = effort_of(settings)
    return {
        "calibration_images": count,
        "rounding_images": len(prepared.images),
        "positions": effort.positions,
        "sweeps": effort.sweeps,
        "judges": effort.judges,
        "mirrored": prepared.mirrored,
        "range_images": min(ranged_images(prepared.graph, effort), count),
    }


def settled(
    graph: Graph,
    images: CalibrationImages,
    contract: Preprocessing | None,
    settings: PlanSettings,
    advance: Callable[[int], None] = lambda _: None,
    keeps_steps: bool | None = None,
    seen: Seen | None = None,
) -> Settled:
    """Measure ranges, equalize, and choose the parameters of activations.

    Arguments and errors are those of ``make_plan``. With ``keeps_steps``, weights that are whole
    multiples of a step, as those of a network that was read from a quantized file, keep it and are
    not equalized; with None both are tried. ``seen`` is what ``looked_at`` gives for these
    arguments, where it was called before.
    """
    _check(graph, settings.float_ops)
    if keeps_steps is None:
        keeps_steps = _steps_are_better(graph, images, contract, settings)
    effort = effort_of(settings)
    # Extremes of the float activations, and images to round on.
    seen = seen or looked_at(graph, images, contract, effort, advance)
    measured = seen.measured

    # Channels rescaled, centred and reordered.
    typical = measured.typical if effort.judges else None
    rescaling = Rescaling(
        measured.spans,
        typical,
        measured.beyond,
        settings.granularity,
        settings.weight_range,
        keeps_steps,
    )
    scaled, spans = rescaling.of(graph)

    # Ranges of the activations: the extremes, or chosen by a method, or narrowed.
    ranges = {name: span.range for name, span in spans.items()}
    if settings.ranges is not RangeMethod.MIN_MAX:
        ranges |= chosen_ranges(_states(graph, scaled, rescaling, images), settings.ranges)
    elif effort.judges and not settings.int16:  # int16 has no use for a narrower range
        enough = max(
            effort.judges, JUDGED_BYTES // bytes_per_image(graph)
        )  # small images show less
        judges = measured.images[spread(len(measured.images), enough)]
        ranges = narrowed(scaled, ranges, judges, classified(graph, contract), advance)

    params = activation_params(scaled, ranges, contract)
    return Settled(scaled, params, seen.images, tuple(measured.notes()), len(measured.images))


def _steps_are_better(
    graph: Graph,
    images: CalibrationImages,
    contract: Preprocessing | None,
    settings: PlanSettings,
) -> bool:
    """Whether two trial plans say that weights should keep the steps they have.

    Channels that reach unequally far lose more without equalization than a second rounding costs.
    With one scale per channel a second rounding costs next to nothing.
    """
    if settings.granularity is not Granularity.PER_TENSOR:
        return False
    stepped = on_grid(graph)
    sizes = {op.name: graph.weight(op).size for op in graph.weighted}
    # A few weights of one magnitude, as of a new batch norm, are no file's integers.
    if 2 * sum(sizes[name] for name in stepped) < sum(sizes.values()) or not stepped:
        return False
    fitting, held = divided(images)
    fast = settings.optimization is Optimization.FAST
    effort = Optimization.FAST if fast else Optimization.DEFAULT
    trial = replace(settings, optimization=effort)
    unseen = _unseen(graph, fitting if held is None else held, contract)
    seen = looked_at(graph, fitting, contract, effort_of(trial))

    def noise(*, keeps_steps: bool) -> float:
        plan = _decided(graph, fitting, contract, trial, keeps_steps=keeps_steps, seen=seen)
        return unseen.noise(graph, plan)

    return noise(keeps_steps=True) <= noise(keeps_steps=False)


def _states(
    graph: Graph, scaled: Graph, rescaling: Rescaling, images: CalibrationImages
) -> Mapping[str, RangeState]:
    """What is observed of the activations of the rescaled graph."""
    if images.parts is not None:
        return merged(images.parts.states(graph, rescaling))
    shape = graph.tensors[graph.input].shape[1:]
    return observe(scaled, checked(images.batches(), shape))


def _check(graph: Graph, float_ops: tuple[str, ...]) -> None:
    """Refuse an operator that has no integer form and is to have one, and weights with NaN."""
    check_examples(graph)
    for op in graph.ops:
        if op.name not in float_ops and obstacle(graph, op):
            raise no_integer_form(op)
    check_weights(graph)


def _integer_activations(
    graph: Graph, params: Mapping[str, QuantParams], settings: PlanSettings
) -> dict[str, QuantParams]:
    """Parameters of the activations that an integer operator computes or reads."""
    floats = frozenset(settings.float_ops)
    # Ends are integers in files with integer input and outputs, which int16x8 files do not have.
    ends = () if settings.int16 else (graph.input, *graph.outputs)
    unknown = floats - {op.name for op in graph.ops}
    if unknown:
        raise InvalidInputError(
            "operators that stay in float32 are named by their results",
            received=", ".join(sorted(unknown)),
            remedy="take the names from 'edgequant sensitivity' or 'edgequant plan show'",
        )

    def needed(name: str) -> bool:
        producer = graph.producers.get(name)
        around = [*graph.readers[name], *([producer] if producer else [])]
        return name in ends or any(op.name not in floats for op in around)

    return {name: value for name, value in params.items() if needed(name)}


def _float_constants(
    graph: Graph, scaled: Graph, float_ops: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Constants of float operators that equalization has changed."""
    names = {name for op in graph.ops if op.name in float_ops for name in op.inputs}
    return {
        name: scaled.value(name)
        for name in sorted(names)
        if graph.is_constant(name) and scaled.value(name) is not graph.value(name)
    }


def _elementwise_constants(
    graph: Graph,
    params: Mapping[str, QuantParams],
    float_ops: tuple[str, ...],
    wide_ops: tuple[str, ...],
) -> dict[str, IntegerConstant]:
    """Stored operands of elementwise operators and joins in integers, one scale per operand.

    Where operands and result have one scale, so has the stored one; a bound of a maximum or minimum
    beyond that range becomes the last integer, which bounds as well.
    """
    constants: dict[str, IntegerConstant] = {}
    for op in graph.ops:
        if op.is_weighted or op.name in float_ops or op.name not in params:
            continue
        for position in op.data_positions:
            name = op.inputs[position] if position < len(op.inputs) else ""
            if graph.is_constant(name):
                value = graph.value(name)
                largest = float(np.abs(value).max(initial=0.0))
                of_value = symmetric_params(largest)
                if op.name in wide_ops:
                    of_value = symmetric_params(largest, bits=16, dtype=IntType.INT16)
                if op.traits.tied:
                    of_value = params[op.name]
                constants[name] = IntegerConstant(of_value, of_value.quantize(value))
    return constants
