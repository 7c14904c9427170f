"""Kernel calls on some columns of an image: what a patch computes of a row."""

from __future__ import annotations

from dataclasses import replace

from export.c.calls import Field, KernelCall


def in_strip(
    call: KernelCall, width: int, source: tuple[int, int], result: tuple[int, int]
) -> KernelCall:
    """A call on rows that computes some columns of them.

    The kernel sees a narrower image: of its source the columns of ``source`` alone, so its padding
    begins where these do.

    Args:
        call: call on whole rows.
        width: columns of the whole result.
        source: first column that is read, and the one behind the last.
        result: first column that is written, and the one behind the last.

    Raises:
        ValueError: a kernel without rows of pixels.
    """
    fields: dict[str, Field] = dict(call.fields)
    count = result[1] - result[0]
    if "bytes" in fields:
        fields["bytes"] = _number(call, "bytes") // width * count
    elif "out_w" in fields:
        fields["out_w"] = count
    else:
        raise ValueError(f"{call.kernel} computes no rows of pixels")
    if "in_w" in fields:
        fields["in_w"] = source[1] - source[0]
    if "pad_left" in fields:
        before = source[0] - result[0] * _number(call, "stride_w")
        fields["pad_left"] = _number(call, "pad_left") + before
    return replace(call, fields=fields)


def _number(call: KernelCall, name: str) -> int:
    value = call.fields[name]
    assert isinstance(value, int)
    return value
