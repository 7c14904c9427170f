"""Convolutions by Arm's CMSIS-NN instead of our kernels, where a build defines ``NET_CMSIS_NN``.

CMSIS-NN 4.0 rounds convolutions as TensorFlow Lite's reference kernels do, so the integers are the
same. FULLY_CONNECTED is rounded once there and twice in CMSIS-NN, and keeps our kernel, as every
operator does that CMSIS-NN lacks. Its kernels read whole images from one piece of memory and write
before they have read everything; so they are called for one row of the result at a time, with
copies of rows that a ring holds apart, and the plan of the memory stays as it is.
"""

from __future__ import annotations

from importlib.resources import files

from export.c.calls import KernelCall
from export.c.program import Program

KERNELS = frozenset(("pointwise", "conv_2d", "depthwise"))
"""Kernels that CMSIS-NN may take the place of."""
_MVE_CHANNELS = 124
"""Channels that its depthwise convolution takes at once with Helium (``CH_IN_BLOCK_MVE``)."""


def cmsis_nn_source(program: Program) -> str | None:
    """Content of ``cmsis_nn.c``; None for a network without convolutions."""
    chained = {
        op.name for block in program.schedule.blocks if len(block.ops) > 1 for op in block.ops
    }
    sizes = [
        _bytes(call, in_chain=name in chained)
        for name, calls in program.calls.items()
        for call in calls
        if call.kernel in KERNELS
    ]
    if not sizes:
        return None
    text = files(str(__package__)).joinpath("kernels", "cmsis_nn.c").read_text(encoding="ascii")
    lines = (
        "/* Bytes that CMSIS-NN needs beside the arena. */",
        "#if defined(__ARM_FEATURE_MVE)",
        f"#define NET_CMSIS_NN_BYTES {max(helium for _, helium in sizes)}",
        "#else",
        f"#define NET_CMSIS_NN_BYTES {max(plain for plain, _ in sizes)}",
        "#endif",
        "",
    )
    return "\n".join([*lines, text])


def _bytes(call: KernelCall, *, in_chain: bool) -> tuple[int, int]:
    """Bytes for a call without Helium and with it: shifts, rows, and CMSIS-NN's own buffer."""
    value = {name: number for name, number in call.fields.items() if isinstance(number, int)}
    channels = value.get("out_c", value["in_c"])
    row = 4 * channels + _aligned(value["out_w"] * channels)
    if call.kernel == "pointwise":
        return row, row
    taps = value["kernel_h"] * value["kernel_w"]
    extent = (value["kernel_h"] - 1) * value["dilation_h"] + 1
    row += _aligned(extent * value["in_w"] * value["in_c"]) if in_chain else 0
    products = taps * value["in_c"]
    if call.kernel == "depthwise":
        return row + _aligned(2 * products), row + 4 * _MVE_CHANNELS * taps
    return row + 4 * products, row + 32 * -(-products // 8)


def _aligned(size: int) -> int:
    return -(-size // 4) * 4
