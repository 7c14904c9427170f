"""C for the contract of a network: how an example becomes its input, and names of labels."""

from __future__ import annotations

import math

import numpy as np

from calibration_data.channels import plain_channels
from calibration_data.preprocessing import ChannelOrder, Preprocessing
from export.c.sources import Extra, c_text
from export.c.weights import numbers
from network.affine import QuantParams


def contract_lines(contract: Preprocessing, params: QuantParams, *, labelled: bool) -> Extra:
    """Declarations and definitions of ``net_fill_input`` and ``net_labels``.

    Args:
        contract: preprocessing of the application.
        params: scale and zero point of the input.
        labelled: whether the output is the scores of the labels.
    """
    header, source = _values(contract) if contract.plain else _pixels(contract, params)
    if labelled and contract.labels:
        header += [
            "/* Names of the outputs, in UTF-8. */",
            f"#define NET_LABELS {len(contract.labels)}",
            "extern const char *const net_labels[NET_LABELS];",
        ]
        source += ["const char *const net_labels[NET_LABELS] = {"]
        source += [f"    {c_text(label)}," for label in contract.labels]
        source += ["};", ""]
    return Extra(header, source)


def _pixels(contract: Preprocessing, params: QuantParams) -> tuple[list[str], list[str]]:
    """A table of the input for each pixel value, so that no rounding is done in C."""
    height, width = contract.size
    count = contract.channel_count
    kind = "RGB" if contract.is_colour else "grey" if count == 1 else f"{count}-channel"
    values = np.arange(256, dtype=np.uint8)[:, None]
    table = params.quantize(contract.normalize(np.repeat(values, count, axis=1))).T
    header = [
        f"/* (pixel - mean) / std, quantized, by channel ({plain_channels(contract.channels)}). */",
        f"extern const int8_t net_pixel_to_input[{count}][256];",
        f"/* {kind} pixels [{height}][{width}][{count}] to NET_INPUT_BYTES. */",
        "void net_fill_input(const uint8_t *pixels, int8_t *in);",
    ]
    source = [f"const int8_t net_pixel_to_input[{count}][256] = {{"]
    for row in table.tolist():
        source += ["  {", *numbers(row), "  },"]
    channel = "2 - c" if contract.channels is ChannelOrder.BGR else "c"
    source += [
        "};",
        "",
        "void net_fill_input(const uint8_t *pixels, int8_t *in) {",
        f"  for (int32_t i = 0; i < NET_INPUT_BYTES; i += {count}) {{",
        f"    for (int32_t c = 0; c < {count}; ++c) {{",
        f"      in[i + c] = net_pixel_to_input[c][pixels[i + {channel}]];",
        "    }",
        "  }",
        "}",
        "",
    ]
    return header, source


def _values(contract: Preprocessing) -> tuple[list[str], list[str]]:
    """Values of a plain array in single precision, rounded as QUANTIZE does."""
    count = contract.channel_count
    shape = "".join(f"[{side}]" for side in contract.shape)
    header = [
        f"/* Values {shape}, {math.prod(contract.shape)} of them, to the input:",
        " * (value - mean) / std along the last axis, quantized. */",
        "void net_fill_input(const float *values, int8_t *in);",
    ]
    source = [
        f"static const float mean[{count}] = {{{_floats(contract.mean)}}};",
        f"static const float std[{count}] = {{{_floats(contract.std)}}};",
        "",
        "void net_fill_input(const float *values, int8_t *in) {",
        "  for (int32_t i = 0; i < NET_INPUT_BYTES; ++i) {",
        f"    const float real = (values[i] - mean[i % {count}]) / std[i % {count}];",
        "    float steps = real / NET_INPUT_SCALE;",
        "    steps = steps < -1024.0f ? -1024.0f : steps > 1024.0f ? 1024.0f : steps;",
        "    int32_t whole = (int32_t)steps;",
        "    if (steps - (float)whole >= 0.5f) ++whole;",
        "    if ((float)whole - steps >= 0.5f) --whole;",
        "    whole += NET_INPUT_ZERO_POINT;",
        "    in[i] = (int8_t)(whole < -128 ? -128 : whole > 127 ? 127 : whole);",
        "  }",
        "}",
        "",
    ]
    return header, source


def _floats(values: tuple[float, ...]) -> str:
    return ", ".join(f"{float(np.float32(value))!r}f" for value in values)
