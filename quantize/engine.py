"""From a canonical float graph and calibration images to a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from calibration_data.errors import InvalidInputError
from calibration_data.preprocessing import Preprocessing
from quantize.activations import activation_params
from quantize.affine import QuantParams, symmetric_params
from quantize.calibrate import BATCH, Extremes, extremes, joined
from quantize.equalize import equalized
from quantize.execute import no_integer_form
from quantize.graph import Graph, OpKind
from quantize.layers import LayerSettings
from quantize.narrowing import narrowed
from quantize.observe import observed_ranges
from quantize.pairing import paired
from quantize.parallel import one_blas_thread
from quantize.plan import IntegerConstant, QuantizationPlan, digest
from quantize.recipes import Granularity, Optimization, RangeMethod, WeightRange
from quantize.reconstruct import Lockstep

MEMORY_BYTES = 2 * 1024**3
"""What the activations of all images that a layer is rounded on may take."""

LARGEST_DISAGREEMENT = 0.25
"""Two halves of the calibration images whose ranges differ by more, on average over the
activations and relative to both together, are too few or of two kinds."""

ELEMENTWISE = (OpKind.ADD, OpKind.SUB, OpKind.MUL)


@dataclass(frozen=True)
class CalibrationImages:
    """Representative data for the engine.

    Attributes:
        count: of images.
        batches: float32 ``[batch, height, width, 3]``, from the start at each call.
    """

    count: int
    batches: Callable[[], Iterable[np.ndarray]]


@dataclass(frozen=True)
class Effort:
    """What a level of optimization takes.

    Attributes:
        images: on which layers are rounded, at most.
        positions: see ``moments``.
        sweeps: see ``LayerSettings``.
        narrowings: likewise.
        judges: images that judge narrower ranges of activations; 0 keeps the calibrated ones.
        ranged: images whose activations give the ranges, at most; of more, evenly spread ones.
        mirrored: whether layers are rounded on mirrored images too, as far as the memory goes.
    """

    images: int
    positions: int
    sweeps: int
    narrowings: tuple[float, ...] = (1.0,)
    judges: int = 0
    ranged: int = 10**9
    mirrored: bool = False


EFFORTS: Mapping[Optimization, Effort] = {
    Optimization.FAST: Effort(images=8, positions=400, sweeps=0, ranged=48),
    Optimization.DEFAULT: Effort(images=24, positions=800, sweeps=1),
    Optimization.BEST: Effort(
        images=256, positions=2000, sweeps=3, narrowings=(1.0, 0.92), judges=32, mirrored=True
    ),
}
EFFORTS = {**EFFORTS, Optimization.QAT: EFFORTS[Optimization.BEST]}  # training starts from it


@dataclass(frozen=True)
class PlanRequest:
    """What a plan is to be.

    Attributes:
        granularity: scales of a convolution weight.
        weight_range: see WeightRange.
        optimization: see Optimization.
        float_ops: names of operators that stay in float32.
        ranges: how the ranges of activations are read.
    """

    granularity: Granularity = Granularity.PER_CHANNEL
    weight_range: WeightRange = WeightRange.SATURATION_SAFE
    optimization: Optimization = Optimization.DEFAULT
    float_ops: tuple[str, ...] = ()
    ranges: RangeMethod = RangeMethod.MIN_MAX


@dataclass(frozen=True)
class PlannedNetwork:
    """A plan and its ``network``, what is to be rendered."""

    graph: Graph
    plan: QuantizationPlan


def make_plan(
    graph: Graph,
    images: CalibrationImages,
    contract: Preprocessing | None,
    request: PlanRequest,
    advance: Callable[[int], None] = lambda _: None,
) -> QuantizationPlan:
    """Decide every integer of a network.

    Args:
        graph: canonical.
        images: to calibrate on.
        contract: of the input; None when unknown.
        request: what to make.
        advance: told of images (in the float pass), then of operators that are done.

    Raises:
        UnsupportedError: an operator without an integer form; names it.
        InvalidInputError: no image, images of another size, or NaN in images, weights or
            activations.
    """
    prepared = settled(graph, images, contract, request, advance)
    scaled, params = prepared.graph, prepared.params
    effort = EFFORTS[request.optimization]
    lockstep = Lockstep(
        scaled,
        _in_integers(scaled, params, request.float_ops),
        layer_settings(request),
        effort.positions,
        frozenset(request.float_ops),
    )
    params = lockstep.params
    with one_blas_thread():
        constants = lockstep.run(prepared.kept, advance)
    constants |= _elementwise_constants(scaled, params, request.float_ops)
    return QuantizationPlan(
        graph=digest(graph),
        activations=params,
        constants=constants,
        granularity=request.granularity,
        weight_range=request.weight_range,
        float_ops=request.float_ops,
        floats=_float_constants(graph, scaled, request.float_ops),
        settings={
            "optimization": request.optimization.value,
            "ranges": request.ranges.value,
            "calibration_images": images.count,
            "rounding_images": len(prepared.kept),
            "positions": effort.positions,
            "sweeps": effort.sweeps,
            "narrowings": list(effort.narrowings),
            "judges": effort.judges,
            "mirrored": effort.mirrored,
            "range_images": min(effort.ranged, images.count),
        },
        notes=prepared.notes,
    )


@dataclass(frozen=True)
class Settled:
    """What is decided before any weight is rounded.

    Attributes:
        graph: canonical, equalized.
        params: of every activation.
        kept: images to round on, spread evenly over the set.
        notes: what the user must know, a sentence each.
    """

    graph: Graph
    params: Mapping[str, QuantParams]
    kept: np.ndarray
    notes: tuple[str, ...]


def settled(
    graph: Graph,
    images: CalibrationImages,
    contract: Preprocessing | None,
    request: PlanRequest,
    advance: Callable[[int], None] = lambda _: None,
) -> Settled:
    """Measure ranges, equalize, and choose the parameters of activations; see ``make_plan``."""
    _check(graph)
    effort = EFFORTS[request.optimization]
    most = max(2, MEMORY_BYTES // _bytes_an_image(graph))
    seen = _measured(graph, images, min(effort.images, most), effort.ranged, advance)
    scaled, after = equalized(graph, seen.spans, request.granularity)
    if request.weight_range is WeightRange.SATURATION_SAFE:
        scaled, after = paired(scaled, after)
    ranges = {name: span.range for name, span in after.items()}
    if request.ranges is not RangeMethod.MIN_MAX:
        shape = graph.tensors[graph.input].shape[1:]
        ranges |= observed_ranges(scaled, _checked(images.batches(), shape), request.ranges)
    elif effort.judges:
        judges = seen.kept[:: len(seen.kept) // effort.judges or 1]
        ranges = narrowed(scaled, ranges, judges, advance)
    params = activation_params(scaled, ranges, contract)
    kept = _with_mirrored(seen.kept, most) if effort.mirrored else seen.kept
    return Settled(scaled, params, kept, tuple(_notes(seen)))


def _with_mirrored(kept: np.ndarray, most: int) -> np.ndarray:
    """Images and their mirror images, ``most`` in all; of more, evenly spread ones.

    Between the two copies of an image second moments differ enough to stand for new images.
    """
    count = min(len(kept), most - len(kept))
    chosen = sorted(_spread(len(kept), count)) if count > 0 else []
    return np.concatenate([kept, kept[chosen, :, ::-1]])


def layer_settings(request: PlanRequest) -> LayerSettings:
    """How a request has its layers rounded."""
    effort = EFFORTS[request.optimization]
    return LayerSettings(
        request.granularity,
        request.weight_range,
        sweeps=effort.sweeps,
        narrowings=effort.narrowings,
        refit=True,
    )


@dataclass(frozen=True)
class _Seen:
    """What the float pass leaves.

    Attributes:
        spans: of all images.
        apart: mean relative difference of the ranges of two halves; None for one batch.
        kept: images to round on, spread evenly over the set.
    """

    spans: dict[str, Extremes]
    apart: float | None
    kept: np.ndarray


def _measured(
    graph: Graph,
    images: CalibrationImages,
    keep: int,
    ranged: int,
    advance: Callable[[int], None],
) -> _Seen:
    wanted = _spread(images.count, keep)
    looked_at = _spread(images.count, max(ranged, keep))
    kept: list[np.ndarray] = []
    done = 0

    def watched() -> Iterator[np.ndarray]:
        nonlocal done
        for batch in _checked(images.batches(), graph.tensors[graph.input].shape[1:]):
            for start in range(0, len(batch), BATCH):
                part = batch[start : start + BATCH]
                kept.extend(part[i] for i in range(len(part)) if done + i in wanted)
                chosen = [i for i in range(len(part)) if done + i in looked_at]
                done += len(part)
                if chosen:
                    yield part[chosen] if len(chosen) < len(part) else part
                advance(len(part))

    halves: list[dict[str, Extremes] | None] = [None, None]
    for number, spans in enumerate(extremes(graph, watched())):
        halves[number % 2] = joined(halves[number % 2], spans)
    if halves[0] is None:
        raise InvalidInputError(
            "ranges are measured on calibration images",
            received="an empty set",
            remedy="give a calibration set with images",
        )
    if halves[1] is None:
        return _Seen(halves[0], None, np.stack(kept))
    apart = _disagreement(halves[0], halves[1])
    return _Seen(joined(halves[0], halves[1]), apart, np.stack(kept))


def _spread(count: int, most: int) -> frozenset[int]:
    """Numbers of so many images, evenly spread over the set."""
    return frozenset(np.linspace(0, count - 1, min(most, count)).round().astype(int).tolist())


def _disagreement(first: Mapping[str, Extremes], second: Mapping[str, Extremes]) -> float:
    """Mean over activations of the share of both ranges together that only one of them covers."""
    gaps = []
    for name, span in first.items():
        a, b = span.range, second[name].range
        union = max(a.high, b.high) - min(a.low, b.low)
        shared = max(0.0, min(a.high, b.high) - max(a.low, b.low))
        if union > 0:
            gaps.append(1 - shared / union)
    return float(np.mean(gaps)) if gaps else 0.0


def _check(graph: Graph) -> None:
    for op in graph.ops:
        if op.kind not in frozenset(OpKind):
            raise no_integer_form(op)
        if op.is_weighted and not graph.is_constant(op.inputs[1]):
            raise no_integer_form(op)
        if op.is_weighted and not np.isfinite(graph.weight(op)).all():
            raise InvalidInputError(
                "weights are finite numbers",
                received=f"NaN or infinity in {op.inputs[1]}",
                remedy="check the training that made them",
            )


def _checked(batches: Iterable[np.ndarray], shape: tuple[int, ...]) -> Iterator[np.ndarray]:
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


def _bytes_an_image(graph: Graph) -> int:
    """Bytes of one image's activations in both networks while the largest operator runs."""
    sizes = {name: int(np.prod(graph.tensors[name].shape)) for name in graph.activations}
    largest = max(sum(sizes.get(n, 0) for n in (*op.inputs, *op.outputs)) for op in graph.ops)
    return 5 * largest


def _in_integers(
    graph: Graph, params: Mapping[str, QuantParams], float_ops: tuple[str, ...]
) -> dict[str, QuantParams]:
    """Parameters of the activations that some integer operator gives or reads."""
    floats = frozenset(float_ops)
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
        ends = (graph.input, graph.output)  # integers in any file whose ends are
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
    graph: Graph, params: Mapping[str, QuantParams], float_ops: tuple[str, ...]
) -> dict[str, IntegerConstant]:
    """Stored operands of additions and products, one scale each."""
    found: dict[str, IntegerConstant] = {}
    for op in graph.ops:
        if op.kind not in ELEMENTWISE or op.name in float_ops or op.name not in params:
            continue
        for name in op.inputs:
            if graph.is_constant(name):
                value = graph.value(name)
                of_value = symmetric_params(float(np.abs(value).max(initial=0.0)))
                found[name] = IntegerConstant(of_value, of_value.quantize(value))
    return found


def _notes(seen: _Seen) -> Iterator[str]:
    if seen.apart is not None and seen.apart > LARGEST_DISAGREEMENT:
        yield (
            f"two halves of the calibration images differ by {100 * seen.apart:.0f} % in their "
            f"ranges, more than {100 * LARGEST_DISAGREEMENT:.0f} %: give more images, of all kinds"
        )
    still = {
        name: int(np.count_nonzero(span.low == span.high)) for name, span in seen.spans.items()
    }
    dead = {name: count for name, count in still.items() if count}
    if dead:
        shown = ", ".join(f"{name} ({count})" for name, count in list(dead.items())[:3])
        others = len(dead) - 3
        more = f" and {others} more activation{'s' * (others > 1)}" if others > 0 else ""
        yield f"channels that never change on the calibration images: {shown}{more}"
