"""Integers of 4 bits, two in a byte, as tensors of the type INT4 store them in a .tflite.

Source: ``PackInt8IntoDenseInt4`` and ``UnpackPackedIntToInt8`` of LiteRT
(tflite/kernels/internal/portable_tensor_utils.cc): the first of two integers is in the lower half
of a byte, in two's complement; an odd last one shares its byte with zeros.
"""

from __future__ import annotations

import numpy as np

INT4 = "int4"
"""Name of the type."""


def packed(values: np.ndarray) -> np.ndarray:
    """Bytes of integers in [-8, 7], uint8 ``[ceil(n / 2)]``.

    Args:
        values: int8 of any shape, n numbers in C order.
    """
    flat = values.astype(np.int8).ravel().view(np.uint8) & 0xF
    pairs = np.append(flat, np.zeros(flat.size % 2, np.uint8)).reshape(-1, 2)
    return np.asarray(pairs[:, 0] | pairs[:, 1] << 4)


def unpacked(content: np.ndarray, count: int) -> np.ndarray:
    """The first ``count`` integers in bytes, int8 ``[count]``.

    Args:
        content: uint8, of ``ceil(count / 2)`` bytes; with another number, so many integers as are
            stored are given, which the caller compares with its shape.
        count: number of integers.
    """
    pairs = np.stack([content << 4, content & 0xF0], axis=-1).view(np.int8) >> 4
    flat = pairs.ravel()
    return np.asarray(flat[:count] if flat.size == count + count % 2 else flat)
