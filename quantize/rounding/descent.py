"""What rounding to integers and to float16 share: one input after another, on a quadratic error.

With numbers q in the place of the weights w, the error of a row is ``(q - w) H (q - w)^T``. Which
numbers a weight may have is the caller's to say: whole multiples of a step (``second_order``), or
those of half precision (``half``).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

BLOCK = 64
"""Inputs per block: what a block changes reaches all other inputs in one product of matrices."""


def descended(
    numbers: np.ndarray,
    target: np.ndarray,
    moments: np.ndarray,
    sweeps: int,
    best: Callable[[int, np.ndarray], np.ndarray],
) -> None:
    """Lower the quadratic error by coordinate descent, until no number changes.

    With the gradient ``g = H (q - w)``, for each input j:

        step = best(j, g_j) - q_j
        q_j  = q_j + step
        g    = g + H_j step

    Inside a block of inputs the gradient follows every step; elsewhere it follows once per block,
    in one product of matrices.

    Args:
        numbers: q, float64 ``[inputs, rows]``, changed in place.
        target: w, ``[inputs, rows]``.
        moments: H, ``[inputs, inputs]``.
        sweeps: largest number of passes over all inputs.
        best: the number of each row that has the least error along input j, as a new array; gets j
            and ``g_j``, and may read ``numbers``.
    """
    inputs = len(numbers)
    gradient = moments @ (numbers - target)  # [inputs, rows]
    for sweep in range(sweeps):
        changed = False
        last = sweep == sweeps - 1  # nothing reads the gradient of the inputs that are done
        for start in range(0, inputs, BLOCK):
            stop = min(inputs, start + BLOCK)
            block_steps = np.zeros_like(gradient[start:stop])
            for j in range(start, stop):
                step = best(j, gradient[j])
                step -= numbers[j]
                if step.any():
                    numbers[j] += step
                    block_steps[j - start] = step
                    first = j + 1 if last else start
                    gradient[first:stop] += moments[first:stop, j, None] * step
            if block_steps.any():
                changed = True
                if not last:
                    gradient[:start] += moments[:start, start:stop] @ block_steps
                gradient[stop:] += moments[stop:, start:stop] @ block_steps
        if not changed:
            break


def in_order(
    target: np.ndarray, moments: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and moments of rows with inputs of their own, the inputs in each row's order.

    Args:
        target: ``[rows, inputs]``.
        moments: H of each row, ``[rows, inputs, inputs]``.
        order: numbers of each row's inputs in the order of rounding, ``[rows, inputs]``.
    """
    of_rows = np.take_along_axis(moments, order[:, :, None], 1)
    return (
        np.take_along_axis(target, order, 1),
        np.take_along_axis(of_rows, order[:, None, :], 2),
    )


def in_layers_order(numbers: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Numbers ``[rows, inputs]`` out of each row's order, in the layer's again."""
    return np.take_along_axis(numbers, np.argsort(order, axis=1, kind="stable"), 1)


def propagated_by_row(
    target: np.ndarray,
    factor: np.ndarray,
    nearest: Callable[[np.ndarray], np.ndarray],
    step: np.ndarray | float = 1.0,
) -> np.ndarray:
    """Numbers after one pass with each error spread over the later inputs, a factor for each row.

    Args:
        target: weights ``[rows, inputs]`` in each row's order of rounding.
        factor: U of each row, ``[rows, inputs, inputs]``; see ``second_order.inverse_factor``.
        nearest: the numbers that stand for weights ``[rows]``.
        step: weight that a number of 1 stands for, ``[rows]`` or for all rows.
    """
    weight, numbers = target.copy(), np.empty_like(target)
    for j in range(target.shape[1]):
        numbers[:, j] = nearest(weight[:, j])
        error = (weight[:, j] - numbers[:, j] * step) / factor[:, j, j]
        weight[:, j + 1 :] -= error[:, None] * factor[:, j, j + 1 :]
    return numbers
