"""The float network on the calibration images: extremes, and the images to round layers on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from foundation.errors import InvalidInputError
from network.graph import Graph
from quantize.ranges.extremes import BATCH, Extremes, extremes, joined
from quantize.ranges.parts import Parts

LARGEST_DISAGREEMENT = 0.25
"""Two halves of the calibration images whose ranges differ by more, on average over the
activations and relative to both together, are too few or of two kinds."""


@dataclass(frozen=True)
class CalibrationImages:
    """Representative data for the engine.

    Attributes:
        count: number of images.
        batches: float32 ``[batch, height, width, 3]``, from the start at each call.
        chosen: batches of only the images with these ascending numbers, for a source that need not
            decode the others; with None they are picked out of ``batches``.
        parts: the same images where others run the float network on them; None to run it here.
        passes: passes of one network over these images, whose plans share them: by the numbers of
            the images, without images. Empty for a start; None to run each of them.
    """

    count: int
    batches: Callable[[], Iterable[np.ndarray]]
    chosen: Callable[[np.ndarray], Iterable[np.ndarray]] | None = None
    parts: Parts | None = None
    passes: dict[bytes, FloatPass] | None = field(default=None, compare=False, repr=False)

    def of(self, numbers: np.ndarray) -> Iterator[np.ndarray]:
        """Batches of the images with these ascending numbers."""
        if len(numbers) == self.count:
            yield from self.batches()
        elif self.chosen is not None:
            yield from self.chosen(numbers)
        else:
            done = 0
            for batch in self.batches():
                inside = numbers[(numbers >= done) & (numbers < done + len(batch))] - done
                done += len(batch)
                if len(inside):
                    yield batch[inside]


@dataclass(frozen=True)
class FloatPass:
    """Results of the float pass.

    Attributes:
        spans: extremes over all images, by activation.
        typical: mean of the extremes of BATCH images at a time; rare values hardly count.
        beyond: extremes that hardly any other image exceeds (``Extremes.beyond``).
        disagreement: mean relative difference of the ranges of two halves; None for one batch.
        images: images to round layers on, float32, spread evenly over the set.
        numbers: numbers of the images that were run, ascending.
    """

    spans: dict[str, Extremes]
    typical: dict[str, Extremes]
    beyond: dict[str, Extremes]
    disagreement: float | None
    images: np.ndarray = field(repr=False)
    numbers: np.ndarray = field(repr=False)

    def notes(self) -> Iterator[str]:
        """Sentences that the user must know."""
        if self.disagreement is not None and self.disagreement > LARGEST_DISAGREEMENT:
            yield (
                "two halves of the calibration images differ by "
                f"{100 * self.disagreement:.0f} % in their ranges, more than "
                f"{100 * LARGEST_DISAGREEMENT:.0f} %: give more images, of all kinds"
            )
        constant = {
            name: int(np.count_nonzero(span.low == span.high)) for name, span in self.spans.items()
        }
        dead = {name: count for name, count in constant.items() if count}
        if dead:
            shown = ", ".join(f"{name} ({count})" for name, count in list(dead.items())[:3])
            others = len(dead) - 3
            more = f" and {others} more activation{'s' * (others > 1)}" if others > 0 else ""
            yield f"channels that never change on the calibration images: {shown}{more}"


def float_pass(
    graph: Graph,
    images: CalibrationImages,
    most: int,
    ranged: int,
    advance: Callable[[int], None] = lambda _: None,
    earlier: FloatPass | None = None,
) -> FloatPass:
    """Run the float network.

    Args:
        graph: canonical.
        images: images to calibrate on.
        most: largest number of images to round layers on.
        ranged: largest number of images to run; evenly spread ones if there are more.
        advance: called with each number of images that are done.
        earlier: another pass over the same graph and set: where it ran the images that this one
            wants, they are not run again.

    Raises:
        InvalidInputError: no image, images of another size, or NaN in images or activations.
    """
    numbers = spread(images.count, max(ranged, most))
    wanted = spread(len(numbers), most)
    shape = graph.tensors[graph.input].shape[1:]
    if earlier is None or not np.array_equal(earlier.numbers, numbers):
        earlier = None if images.passes is None else images.passes.get(numbers.tobytes())
    if earlier is None:
        measured = _measured(graph, images, numbers, wanted, advance)
        if images.passes is not None:
            images.passes[numbers.tobytes()] = replace(measured, images=measured.images[:0])
        return measured
    advance(images.count)
    if len(earlier.images) == len(numbers):
        return replace(earlier, images=earlier.images[wanted])
    read = list(checked(images.of(numbers[wanted]), shape))
    return replace(earlier, images=np.concatenate(read))


def _measured(
    graph: Graph,
    images: CalibrationImages,
    numbers: np.ndarray,
    wanted: np.ndarray,
    advance: Callable[[int], None],
) -> FloatPass:
    """Pass over the images ``numbers``, with those that ``wanted`` counts of them."""
    shape = graph.tensors[graph.input].shape[1:]
    chosen: list[np.ndarray] = []
    if images.parts is None:
        batches_of = _small(checked(images.of(numbers), shape), wanted, chosen, advance)
        measured: Iterable[Mapping[str, Extremes]] = extremes(graph, batches_of)
    else:
        measured = images.parts.of(numbers).extremes(graph, advance)
        chosen.extend(
            image for batch in checked(images.of(numbers[wanted]), shape) for image in batch
        )
    halves: list[dict[str, Extremes] | None] = [None, None]
    total: dict[str, Extremes] = {}
    batches = 0
    for number, of_batch in enumerate(measured):
        halves[number % 2] = joined(halves[number % 2], of_batch)
        total = {n: s.plus(total[n]) if n in total else s for n, s in of_batch.items()}
        batches = number + 1
    advance(images.count - len(numbers))
    if halves[0] is None:
        raise InvalidInputError(
            "ranges are measured on calibration images",
            received="an empty set",
            remedy="give a calibration set with images",
        )
    typical = {name: span.times(1 / batches) for name, span in total.items()}
    disagreement = None if halves[1] is None else _disagreement(halves[0], halves[1])
    spans = halves[0] if halves[1] is None else joined(halves[0], halves[1])
    beyond = {name: span.beyond(typical[name], batches) for name, span in spans.items()}
    return FloatPass(spans, typical, beyond, disagreement, np.stack(chosen), numbers)


def _small(
    batches: Iterable[np.ndarray],
    wanted: np.ndarray,
    chosen: list[np.ndarray],
    advance: Callable[[int], None],
) -> Iterator[np.ndarray]:
    """Batches of BATCH images; those with the numbers ``wanted`` are added to ``chosen``."""
    numbers = frozenset(wanted.tolist())
    done = 0
    for batch in batches:
        for small in in_small_batches(batch):
            chosen.extend(small[i] for i in range(len(small)) if done + i in numbers)
            done += len(small)
            yield small
            advance(len(small))


def in_small_batches(batch: np.ndarray) -> Iterator[np.ndarray]:
    """A batch cut into batches of BATCH images."""
    for start in range(0, len(batch), BATCH):
        yield batch[start : start + BATCH]


def spread(count: int, most: int) -> np.ndarray:
    """Ascending numbers of at most ``most`` images, evenly spread over a set of ``count``."""
    return np.linspace(0, count - 1, min(most, count)).round().astype(int)


def _disagreement(first: Mapping[str, Extremes], second: Mapping[str, Extremes]) -> float:
    """Mean over activations of the share of the joint range that only one half covers."""
    gaps = []
    for name, span in first.items():
        a, b = span.range, second[name].range
        union = max(a.high, b.high) - min(a.low, b.low)
        shared = max(0.0, min(a.high, b.high) - max(a.low, b.low))
        if union > 0:
            gaps.append(1 - shared / union)
    return float(np.mean(gaps)) if gaps else 0.0


def with_mirrored(images: np.ndarray, most: int) -> np.ndarray:
    """Images and their mirror images, ``most`` in all at most; evenly spread ones of more.

    Between the two copies of an image second moments differ enough to stand for new images.
    """
    count = min(len(images), most - len(images))
    numbers = spread(len(images), max(count, 0))
    return np.concatenate([images, images[numbers, :, ::-1]])


def checked(batches: Iterable[np.ndarray], shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """The batches, after a check of their shape and numbers.

    Raises:
        InvalidInputError: images of another shape than the network's input, or with NaN or
            infinity.
    """
    for images in batches:
        if images.shape[1:] != shape:
            raise InvalidInputError(
                f"calibration images have the size of the network's input, {list(shape)}",
                received=str(list(images.shape[1:])),
                remedy="apply the preprocessing contract to the images",
            )
        if not np.isfinite(images).all():
            raise InvalidInputError(
                "calibration images hold finite numbers",
                received="NaN or infinity in a batch",
                remedy="check the mean and std of the preprocessing contract",
            )
        yield images
