"""Pools, reductions, softmax, normalization and resizing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from export.c.calls import Constant, Field, KernelCall, Lowering, Site, scaled, six, strides_of
from export.c.schedule import is_image_mean
from export.c.windows import Window, windows_of
from network.activation_limits import activation_limits
from network.operators import OpKind
from network.oracle.call import rescaling
from network.oracle.fixed_point import Multiplier
from network.oracle.kernels.resizing import nearest_places

_ONE = 1024
_INPUT_BITS = 5


def pooled(site: Site) -> tuple[KernelCall, ...]:
    """AVERAGE_POOL_2D and MAX_POOL_2D."""
    windows = windows_of(site.op, site.input().shape, None)
    assert windows is not None
    rows, columns = windows
    _, height, width, channels = site.input().shape
    low, high = activation_limits(site.op.fused, site.call.result)
    fields: dict[str, Field] = {
        "in_h": height,
        "in_w": width,
        "channels": channels,
        "out_w": site.result.shape[2],
        "kernel_h": rows.extent,
        "kernel_w": columns.extent,
        "stride_h": rows.stride,
        "stride_w": columns.stride,
        "pad_top": rows.before,
        "pad_left": columns.before,
        "low": low,
        "high": high,
    }
    kernel = "average_pool" if site.op.kind == OpKind.AVERAGE_POOL else "max_pool"
    names, height = (site.input().name,), site.result.shape[1]
    return (KernelCall(kernel, "pool", fields, names, site.result.name, rows, height),)


def reduced(site: Site) -> tuple[KernelCall, ...]:
    """MEAN, REDUCE_MAX and REDUCE_MIN over the axes in the second input."""
    shape, strides = site.input().shape, strides_of(site.input().shape)
    axes = {int(axis) % len(shape) for axis in np.atleast_1d(site.call.array(1))}
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    gone = sorted(axes)
    fields: dict[str, Field] = {
        "sizes": six(tuple(shape[axis] for axis in kept), 1),
        "strides": six(tuple(strides[axis] for axis in kept), 0),
        "reduced": six(tuple(shape[axis] for axis in gone), 1),
        "reduced_strides": six(tuple(strides[axis] for axis in gone), 0),
    }
    kernels = {OpKind.REDUCE_MAX: "reduce_max", OpKind.REDUCE_MIN: "reduce_min"}
    kernel = kernels.get(OpKind(site.op.kind), "mean")
    by_rows = None
    if kernel == "mean":
        fields |= (mean := _mean(site, math.prod(shape[axis] for axis in gone)))
        if is_image_mean(site.call.array(1), shape) and site.input().value is None:
            image: dict[str, Field] = {"in_h": shape[1], "in_w": shape[2], "channels": shape[3]}
            names = (site.input().name,)
            by_rows = KernelCall(
                "mean_rows", "mean_rows", image | mean, names, site.result.name, Window(), shape[1]
            )
    call = KernelCall(kernel, "reduce", fields, (site.source(),), site.result.name)
    return (replace(call, in_chain=by_rows),)


def _mean(site: Site, count: int) -> dict[str, Field]:
    """The division by the count is part of the multiplier."""
    multiplier = rescaling(site.call)
    mantissa, shift = multiplier.mantissa[0], multiplier.shift[0]
    bits = min(count.bit_length() - 1, 32, 31 + shift)
    divided = Multiplier(((mantissa << bits) // count,), (shift - bits,))
    return {
        "zero_sum": site.call.source().zero_point[0] * count,
        **site.limits(),
        **scaled("", divided),
    }


def softmax(site: Site) -> tuple[KernelCall, ...]:
    """SOFTMAX over the last axis."""
    call = site.call
    beta = np.float64(np.float32(site.op.options["beta"]))
    real = min(beta * call.source().scale[0] * 2.0 ** (31 - _INPUT_BITS), 2.0**31 - 1.0)
    multiplier = Multiplier.of(real)
    lowest = -math.floor(31.0 * 2.0 ** (31 - _INPUT_BITS) / 2.0 ** multiplier.shift[0])
    fields = {
        **_vectors(site),
        **scaled("", multiplier),
        "lowest": max(lowest, -256),  # no difference is larger
    }
    return (KernelCall("softmax", "softmax", fields, (site.source(),), site.result.name),)


def normalized(site: Site) -> tuple[KernelCall, ...]:
    """L2_NORMALIZATION over the last axis."""
    fields = {**_vectors(site), "in_zero": site.call.source().zero_point[0]}
    name = "l2_normalization"
    return (KernelCall(name, "l2", fields, (site.source(),), site.result.name),)


def _vectors(site: Site) -> dict[str, Field]:
    shape = site.input().shape
    return {"rows": math.prod(shape[:-1]), "depth": shape[-1]}


def bilinear(site: Site) -> tuple[KernelCall, ...]:
    """RESIZE_BILINEAR with all of its options."""
    batch, height, width, channels = site.input().shape
    if batch != 1:
        raise site.refused(f"a batch of {batch}")
    steps = [
        _step(site, before, after)
        for before, after in zip((height, width), site.result.shape[1:3], strict=True)
    ]
    half = bool(site.op.options["halfPixelCenters"])
    offsets = [step // 2 - _ONE // 2 if half else 0 for step in steps]
    fields: dict[str, Field] = {
        "in_h": height,
        "in_w": width,
        "channels": channels,
        "out_h": site.result.shape[1],
        "out_w": site.result.shape[2],
        "step_h": steps[0],
        "step_w": steps[1],
        "offset_h": offsets[0],
        "offset_w": offsets[1],
    }
    name = "resize_bilinear"
    return (KernelCall(name, "resize", fields, (site.source(),), site.result.name),)


def _step(site: Site, before: int, after: int) -> int:
    if site.op.options["alignCorners"] and after > 1:
        return (_ONE * (before - 1) + (after - 1) // 2) // (after - 1)
    return (_ONE * before + after // 2) // after


def nearest(site: Site) -> tuple[KernelCall, ...]:
    """RESIZE_NEAREST_NEIGHBOR by tables of the rows and columns that are read."""
    batch, height, width, channels = site.input().shape
    call = site.call
    down = nearest_places(call, height, site.result.shape[1]) * width * channels
    across = nearest_places(call, width, site.result.shape[2]) * channels
    images = np.arange(batch) * height * width * channels
    tables = tuple(Constant.of(places, "int32_t") for places in (images, down, across))
    return (picked(site, (batch, *site.result.shape[1:3]), tables, channels),)


def picked(
    site: Site, sizes: tuple[int, ...], tables: tuple[Constant, ...], run: int
) -> KernelCall:
    """Call that reads runs of numbers at the sum of a place for each axis.

    Args:
        site: operator.
        sizes: number of places along each axis, at most six.
        tables: places along each axis.
        run: numbers that lie together.
    """
    zero = Constant.of((0,), "int32_t")
    fields: dict[str, Field] = {
        "sizes": six(sizes, 1),
        "run": run,
        "places": (zero,) * (6 - len(tables)) + tables,
    }
    source = site.source(next(i for i in site.op.data_positions))
    return KernelCall("pick", "pick", fields, (source,), site.result.name)


LOWERINGS: dict[str, Lowering] = {
    OpKind.AVERAGE_POOL: pooled,
    OpKind.MAX_POOL: pooled,
    OpKind.MEAN: reduced,
    OpKind.REDUCE_MAX: reduced,
    OpKind.REDUCE_MIN: reduced,
    OpKind.SOFTMAX: softmax,
    OpKind.L2_NORMALIZATION: normalized,
    OpKind.RESIZE_BILINEAR: bilinear,
    OpKind.RESIZE_NEAREST: nearest,
}
