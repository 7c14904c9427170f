"""Convolutions and matrix products with stored weights, and products of two activations."""

from __future__ import annotations

import numpy as np

from export.c.calls import Constant, Field, KernelCall, Lowering, Site, require_int32, scaled
from export.c.windows import Window, windows_of
from network.operators import OpKind
from network.oracle.fixed_point import Multiplier

_SAME = 0
_LARGEST = 255
"""Largest distance of an int8 from its zero point."""


def convolution(site: Site) -> tuple[KernelCall, ...]:
    """CONV_2D; one pixel by one without groups and padding has its own kernel."""
    weight = site.call.array(1)
    outputs, height, width, depth = weight.shape
    windows = _windows(site)
    if (height, width) == (1, 1) and depth == site.input().shape[3]:
        return (_pointwise(site, windows),)
    groups = site.input().shape[3] // depth
    fields = {
        **_image(site),
        "out_w": site.result.shape[2],
        "out_c": outputs,
        **_taps(site, windows, height, width),
        "group_in": depth,
        "group_out": outputs // groups,
        "in_zero": _zero(site),
        **site.limits(),
        **_weights(site, weight.reshape(outputs, -1)),
    }
    return (_row_call(site, "conv_2d", "conv_2d", fields, windows[0]),)


def _pointwise(site: Site, windows: tuple[Window, Window]) -> KernelCall:
    weight = site.call.array(1).reshape(site.result.shape[3], -1)
    fields = {
        "in_c": weight.shape[1],
        "out_w": site.result.shape[2],
        "out_c": len(weight),
        "stride_h": windows[0].stride,
        "stride_w": windows[1].stride,
        **site.limits(),
        **_weights(site, weight, folded=True),
    }
    return _row_call(site, "pointwise", "pointwise", fields, windows[0])


def depthwise(site: Site) -> tuple[KernelCall, ...]:
    """DEPTHWISE_CONV_2D with any number of results per channel."""
    weight = site.call.array(1)
    _, height, width, outputs = weight.shape
    windows = _windows(site)
    fields = {
        **_image(site),
        "out_w": site.result.shape[2],
        "depth": outputs // site.input().shape[3],
        **_taps(site, windows, height, width),
        "in_zero": _zero(site),
        **site.limits(),
        **_weights(site, weight.reshape(-1, outputs).T, stored=weight),
    }
    return (_row_call(site, "depthwise", "depthwise", fields, windows[0]),)


def dense(site: Site) -> tuple[KernelCall, ...]:
    """FULLY_CONNECTED of as many rows as the input has vectors."""
    weight = site.call.array(1)
    outputs, depth = weight.shape
    rows = int(np.prod(site.input().shape, dtype=np.int64)) // depth
    fields = {
        "rows": rows,
        "in_c": depth,
        "out_c": outputs,
        **site.limits(),
        **_weights(site, weight, folded=True),
    }
    return (KernelCall("dense", "dense", fields, (site.source(),), site.result.name),)


def transposed(site: Site) -> tuple[KernelCall, ...]:
    """TRANSPOSE_CONV."""
    weight, options = site.call.array(1), site.op.options
    outputs, height, width, _ = weight.shape
    result = site.result.shape
    strides = int(options["strideH"]), int(options["strideW"])
    same = options["padding"] == _SAME
    tops = [
        max((-(-size // stride) - 1) * stride + taps - size, 0) // 2 if same else 0
        for size, stride, taps in zip(result[1:3], strides, (height, width), strict=True)
    ]
    fields = {
        **_image(site),
        "out_h": result[1],
        "out_w": result[2],
        "out_c": outputs,
        "kernel_h": height,
        "kernel_w": width,
        "stride_h": strides[0],
        "stride_w": strides[1],
        "pad_top": tops[0],
        "pad_left": tops[1],
        "in_zero": _zero(site),
        **site.limits(),
        **_weights(site, weight.reshape(outputs, -1)),
    }
    call = KernelCall("transpose_conv", "transpose_conv", fields, (site.source(),), result_of(site))
    return (call,)


def batch_product(site: Site) -> tuple[KernelCall, ...]:
    """BATCH_MATMUL, either operand transposed, batches repeated."""
    call = site.call
    shapes = [site.input(i).shape for i in (0, 1)]
    turned = [bool(site.op.options.get(name)) for name in ("adjX", "adjY")]
    batch = np.broadcast_shapes(shapes[0][:-2], shapes[1][:-2])
    if len(batch) > 4:
        raise site.refused(f"{len(batch) + 2} axes")
    views: list[np.ndarray] = []
    for shape, turn in zip(shapes, turned, strict=True):
        view = np.empty(shape, np.int8)
        view = view.swapaxes(-1, -2) if turn else view
        views.append(np.broadcast_to(view, (*batch, *view.shape[-2:])))
    first, second = (np.float32(call.source(position).scale[0]) for position in (0, 1))
    real = np.float64(first * second) / np.float64(call.result.scale[0])
    rows, depth = views[0].shape[-2:]
    require_int32(site, np.array([depth * _LARGEST**2]))
    fields: dict[str, Field] = {
        "batch": (1,) * (4 - len(batch)) + tuple(batch),
        "batch_a": (0,) * (4 - len(batch)) + views[0].strides[:-2],
        "batch_b": (0,) * (4 - len(batch)) + views[1].strides[:-2],
        "rows": rows,
        "columns": views[1].shape[-1],
        "depth": depth,
        "row_a": views[0].strides[-2],
        "depth_a": views[0].strides[-1],
        "column_b": views[1].strides[-1],
        "depth_b": views[1].strides[-2],
        "zero_a": _zero(site),
        "zero_b": call.source(1).zero_point[0],
        **site.limits(),
        **scaled("", Multiplier.of(real)),
    }
    sources = (site.source(0), site.source(1))
    return (KernelCall("matmul", "matmul", fields, sources, result_of(site)),)


def result_of(site: Site) -> str:
    """Name of the first result."""
    return site.result.name


def _windows(site: Site) -> tuple[Window, Window]:
    windows = windows_of(site.op, site.input().shape, site.call.array(1).shape)
    assert windows is not None
    return windows


def _row_call(
    site: Site, kernel: str, params: str, fields: dict[str, Field], rows: Window
) -> KernelCall:
    if site.input().shape[0] != 1:
        raise site.refused(f"a batch of {site.input().shape[0]}")
    height = site.result.shape[1]
    return KernelCall(kernel, params, fields, (site.input().name,), site.result.name, rows, height)


def _zero(site: Site) -> int:
    return site.call.source().zero_point[0]


def _image(site: Site) -> dict[str, Field]:
    _, height, width, channels = site.input().shape
    return {"in_h": height, "in_w": width, "in_c": channels}


def _taps(site: Site, windows: tuple[Window, Window], height: int, width: int) -> dict[str, Field]:
    options, (rows, columns) = site.op.options, windows
    return {
        "kernel_h": height,
        "kernel_w": width,
        "stride_h": rows.stride,
        "stride_w": columns.stride,
        "dilation_h": int(options["dilationHFactor"]),
        "dilation_w": int(options["dilationWFactor"]),
        "pad_top": rows.before,
        "pad_left": columns.before,
    }


def _weights(
    site: Site, weight: np.ndarray, *, folded: bool = False, stored: np.ndarray | None = None
) -> dict[str, Field]:
    """Weights, bias and a multiplier for each channel.

    Args:
        site: operator.
        weight: int8 ``[o, products]``.
        folded: whether the bias gets the part of the input's zero point.
        stored: weights in the kernel's order; those of ``weight`` without it.
    """
    call = site.call
    if weight.dtype != np.int8 or any(call.source(1).zero_point):
        raise site.refused(f"weights in {weight.dtype} or with a zero point")
    bias = np.zeros(len(weight), np.int64)
    if len(call.inputs) > 2 and call.inputs[2] is not None:
        bias = call.array(2).astype(np.int64).reshape(-1)
    wide = weight.astype(np.int64)
    require_int32(site, np.abs(bias) + 2 * _LARGEST * np.abs(wide).sum(axis=1))
    if folded:
        bias = bias - _zero(site) * wide.sum(axis=1)
    scales = np.asarray(call.source(1).scale, np.float64)
    real = np.broadcast_to(call.source().scale[0] * scales / call.result.scale[0], len(weight))
    multiplier = Multiplier.of(real)
    return {
        "weights": Constant.of(weight if stored is None else stored, "int8_t"),
        "bias": Constant.of(bias, "int32_t"),
        "multiplier": Constant.of(multiplier.mantissa, "int32_t"),
        "shift": Constant.of(multiplier.shift, "int8_t"),
    }


LOWERINGS: dict[str, Lowering] = {
    OpKind.CONV: convolution,
    OpKind.DEPTHWISE_CONV: depthwise,
    OpKind.DENSE: dense,
    OpKind.TRANSPOSE_CONV: transposed,
    OpKind.BATCH_MATMUL: batch_product,
}
