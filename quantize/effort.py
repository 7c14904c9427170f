"""How much work each level of optimization does, and the images that it looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from calibration_data.preprocessing import Preprocessing
from foundation.errors import InvalidInputError
from network.graph import Graph
from network.multiply_adds import operations
from quantize.ranges.float_pass import CalibrationImages, FloatPass, float_pass, with_mirrored
from quantize.rounding.admission import admitted
from quantize.rounding.layer_settings import LayerSettings
from quantize.settings import Optimization, PlanSettings

JUDGED_BYTES = 256 * 1024**2
"""Memory for the activations of the images that judge narrower ranges: 32 images of 28 pixels
overlook rare but needed values, and cost 1 dB on the shipped network; hundreds fit in here."""

RANGED_OPERATIONS = 12 * 10**9
"""Operations of the float network on the images that ranges are measured on with the least effort:
half a second on one core. A single number at the end of a network, an age for instance, takes
hundreds of examples to show its range; 48 of them cut it, and cost 10 to 20 dB."""

RANGED_IMAGES = 256
"""Largest number of such images, however small the network is: photos have to be decoded too."""

FOUR_BIT_IMAGES = 4
"""Factor on the images that layers are rounded on, for weights in 4 bits: MobileNetV2 keeps 7.7 dB
on 100 images, and 6.5 dB on 32."""

FEWEST_SERIES = 32
"""Smallest number of arrays that are not photos to round layers on."""


@dataclass(frozen=True)
class Effort:
    """Work that a level of optimization does.

    Attributes:
        images: largest number of images that layers are rounded on, twice as many where
            ``mirrored``; vectors and series are more.
        positions: largest number of one image's positions that enter the moments of a layer.
        sweeps: largest number of coordinate descent sweeps when a layer is rounded.
        judges: smallest number of images that judge narrower ranges of activations; with 0 the
            calibrated ranges stay.
        ranged: number of images that ranges are measured on; evenly spread ones if the set has
            more. Small networks run on up to RANGED_IMAGES, as far as RANGED_OPERATIONS permits.
        mirrored: whether layers are rounded on twice as many images, of which mirrored ones replace
            those that the set lacks, as far as memory permits (``rounding.admission``).
        centred: whether all images, not only those that layers are rounded on, set the gain and the
            means of the last layers.
        rival: level of less work whose plan is taken where held-out images prefer it; None without.
    """

    images: int
    positions: int
    sweeps: int
    judges: int = 0
    ranged: int = 10**9
    mirrored: bool = False
    centred: bool = False
    rival: Optimization | None = None


EFFORTS: Mapping[Optimization, Effort] = {
    Optimization.FAST: Effort(images=8, positions=200, sweeps=0, ranged=48),
    Optimization.DEFAULT: Effort(images=32, positions=800, sweeps=1, mirrored=True),
    Optimization.BEST: Effort(
        images=256,
        positions=2000,
        sweeps=3,
        judges=32,
        mirrored=True,
        centred=True,
        rival=Optimization.DEFAULT,
    ),
}
# Training starts from it, and finds the better numbers itself.
EFFORTS = {**EFFORTS, Optimization.QAT: replace(EFFORTS[Optimization.BEST], rival=None)}


@dataclass(frozen=True)
class Seen:
    """Images that a plan looks at.

    Attributes:
        measured: extremes of the float network's activations, and images.
        most: largest number of images with mirror images; 0 where none stand for new images.
    """

    measured: FloatPass
    most: int = 0

    @property
    def images(self) -> np.ndarray:
        """Inputs to round layers on, float32 ``[n, *shape]``, spread evenly over the set.

        Mirror images are made at each call: they take memory.
        """
        images = self.measured.images
        return with_mirrored(images, self.most) if self.most else images


def looked_at(
    graph: Graph,
    images: CalibrationImages,
    contract: Preprocessing | None,
    effort: Effort,
    advance: Callable[[int], None] = lambda _: None,
    earlier: Seen | None = None,
) -> Seen:
    """Run the float network on calibration images.

    Args:
        graph: canonical.
        images: images to calibrate on.
        contract: preprocessing contract of the input; None when unknown.
        effort: work to do.
        advance: called with each number of images done.
        earlier: what another level of work has seen of the same graph and images.

    Raises:
        InvalidInputError: no image, images of another size, or NaN in images or activations.
    """
    most = (admitted(graph) or (2,))[-1]
    pictures = has_mirror_images(graph, contract)
    mirrored = effort.mirrored and pictures
    wanted = effort.images if pictures else _examples(graph, effort)
    wanted = min(2 * wanted if mirrored else wanted, most)
    ranged, before = ranged_images(graph, effort), None if earlier is None else earlier.measured
    measured = float_pass(graph, images, wanted, ranged, advance, before)
    return Seen(measured, wanted if mirrored else 0)


def _examples(graph: Graph, effort: Effort) -> int:
    """Arrays to round layers on: twice as many as images, and of vectors one for each position.

    Few positions of a series are read at a time; 16 keyword series cost 11 dB against 32.
    """
    vectors = len(graph.tensors[graph.input].shape) == 2
    return effort.positions if vectors else max(2 * effort.images, FEWEST_SERIES)


def ranged_images(graph: Graph, effort: Effort) -> int:
    """Largest number of images that ranges are measured on."""
    each = sum(operations(graph, op) for op in graph.ops)
    return max(effort.ranged, min(RANGED_IMAGES, RANGED_OPERATIONS // max(each, 1)))


def has_mirror_images(graph: Graph, contract: Preprocessing | None) -> bool:
    """Whether inputs are images; a mirrored series or vector is none that the network will see."""
    return len(graph.tensors[graph.input].shape) == 4 and not (contract and contract.plain)


def bytes_per_image(graph: Graph) -> int:
    """Bytes of one image's activations in both networks while the largest operator runs."""
    sizes = {name: int(np.prod(graph.tensors[name].shape)) for name in graph.activations}
    largest = max(sum(sizes.get(n, 0) for n in (*op.inputs, *op.outputs)) for op in graph.ops)
    return 5 * largest


def effort_of(settings: PlanSettings) -> Effort:
    """Work that the settings of a plan ask for.

    Weights in 4 bits are rounded on four times the images: what a row of 15 steps can compensate is
    little, and the moments of few images tell it wrongly.
    """
    effort = EFFORTS[settings.optimization]
    if settings.bits == 8:
        return effort
    return replace(effort, images=FOUR_BIT_IMAGES * effort.images)


def layer_settings(settings: PlanSettings) -> LayerSettings:
    """How layers are rounded for the settings of a plan."""
    effort = effort_of(settings)
    return LayerSettings(
        settings.granularity,
        settings.weight_range,
        sweeps=effort.sweeps,
        refit=True,
    )


def check_weights(graph: Graph) -> None:
    """Refuse weights with NaN or infinity; raises InvalidInputError."""
    for op in graph.ops:
        if op.is_weighted and not np.isfinite(graph.weight(op)).all():
            raise InvalidInputError(
                "weights are finite numbers",
                received=f"NaN or infinity in {op.inputs[1]}",
                remedy="check the training that made them",
            )
