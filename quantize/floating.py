"""Plans of files whose activations stay float numbers: float16, dynamic and weight-only int8.

Their weights are rounded to second order for the inputs that they meet, and biases take the mean
error of the outputs, as those of int8 files. Channels are equalized where some reach many times as
far as others; float16, whose error is relative to each number, has no use for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from calibration_data.preprocessing import Preprocessing
from network.graph import Graph
from quantize.effort import EFFORTS, check_weights, layer_settings, looked_at
from quantize.equalization.equalize import evened
from quantize.grids import on_grid
from quantize.islands import check_examples
from quantize.parallel import one_blas_thread
from quantize.plans.plan import QuantizationPlan, digest
from quantize.ranges.float_pass import CalibrationImages
from quantize.recipes import Recipe
from quantize.rounding.floating import FloatLockstep
from quantize.settings import Optimization, PlanSettings, Precision, WeightRange

_EFFORTS = {
    Optimization.QAT: Optimization.BEST,
    Optimization.CONVERTER: Optimization.FAST,
}

MORE_IMAGES = 2
"""Times as many images as for integers: errors are smaller, so that what a layer takes from a few
images shows. In float16 64 photos gave MobileNetV2 57.3 dB where 32 gave 55.9."""


def floating_settings(recipe: Recipe) -> PlanSettings:
    """Settings of the plan of a recipe with float activations.

    Training ends in int8, so that its effort is that of the plan which it starts from. TensorFlow's
    converter has no file of int8 weights alone: in its place stands the least effort.
    """
    asked = _EFFORTS.get(recipe.settings.optimization, recipe.settings.optimization)
    return replace(
        recipe.settings,
        weight_range=WeightRange.FULL,  # sums of float numbers, or of kernels with 32 bits
        optimization=asked,
        floating=recipe.precision,
    )


def make_floating_plan(
    graph: Graph,
    images: CalibrationImages,
    contract: Preprocessing | None,
    settings: PlanSettings,
    advance: Callable[[int], None] = lambda _: None,
) -> QuantizationPlan:
    """Decide every weight and bias of a network whose activations stay float numbers.

    Args:
        graph: canonical.
        images: images to calibrate on.
        contract: preprocessing contract of the input; None when unknown.
        settings: how the plan is made; ``floating`` is the precision.
        advance: called with each number of images done, then with 1 after each operator.

    Raises:
        UnsupportedError: a number of all examples of a batch together.
        InvalidInputError: no image, images of another size, or NaN in images, weights or
            activations.
    """
    assert settings.floating is not None
    check_examples(graph)
    check_weights(graph)
    effort = EFFORTS[settings.optimization]
    effort = replace(effort, images=MORE_IMAGES * effort.images)
    seen = looked_at(graph, images, contract, effort, advance)
    scaled = graph
    if settings.floating is not Precision.FLOAT16:
        scaled = evened(graph, seen.measured.spans, seen.measured.typical, on_grid(graph))
    lockstep = FloatLockstep(
        scaled, {}, layer_settings(settings), effort.positions, precision=settings.floating
    )
    rounded_on = seen.images
    with one_blas_thread():
        constants = lockstep.run(rounded_on, advance)
    story = {
        "calibration_images": images.count,
        "rounding_images": len(rounded_on),
        "positions": effort.positions,
        "sweeps": effort.sweeps,
        "mirrored": len(rounded_on) > len(seen.measured.images),
    }
    return QuantizationPlan(
        graph=digest(graph),
        activations={},
        constants=constants,
        settings=settings,
        floats=lockstep.floats,
        story=story,
        notes=tuple(seen.measured.notes()),
    )
