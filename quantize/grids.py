"""Weights that are whole multiples of a step already, as those read from a quantized file are.

At that step such a weight loses nothing, and at any other it is rounded a second time.
"""

from __future__ import annotations

import numpy as np

from network.graph import Graph

LEVELS = 255
"""Largest multiple: uint8 weights reach so far where their zero point is at one end."""

TOLERANCE = 1e-4
"""Largest distance from a multiple, in steps: float32 weights are off by 1.5e-5 of them at most."""

_PARTS = 32
"""Largest number of steps between the two nearest magnitudes of a row."""

_SAMPLE = 1024
"""Numbers of a tensor, and _ROWS rows of it, that show in next to no time that it has no step."""

_ROWS = 16


def on_grid(graph: Graph) -> frozenset[str]:
    """Operators of a canonical graph whose float weights are whole multiples of one step each."""
    stepped = (op.name for op in graph.weighted if common_step(graph.weight(op)) is not None)
    return frozenset(stepped)


def row_steps(rows: np.ndarray) -> np.ndarray | None:
    """Largest step of which all weights of a row are multiples.

    Args:
        rows: float ``[rows, inputs]``.

    Returns:
        float64 ``[rows]``, 0 for rows of zeros; None where a row has no step, or no row has two
        different magnitudes.
    """
    values = np.asarray(rows, np.float64)
    if _steps(values[:: -(-len(values) // _ROWS)]) is None:
        return None
    return _told(values)


def common_step(weight: np.ndarray) -> float | None:
    """Largest step of which all numbers of a tensor are multiples; None where there is none."""
    values = np.asarray(weight, np.float64).reshape(1, -1)
    if _steps(values[:, :: -(-values.size // _SAMPLE)]) is None:
        return None
    found = _told(values)
    return None if found is None else float(found[0])


def _told(rows: np.ndarray) -> np.ndarray | None:
    """Step of each row; None where there is none, or every row has one magnitude alone.

    Such rows, of an average pool for instance, are on the step of any scale.
    """
    found = _steps(rows)
    if found is None or (np.abs(rows).max(axis=1) <= 1.5 * found).all():
        return None
    return found


def _steps(rows: np.ndarray) -> np.ndarray | None:
    """Step of each row ``[rows]``, 0 for rows of zeros; None where one of them has none."""
    magnitudes = np.sort(np.abs(rows), axis=1)  # [rows, inputs]
    largest = magnitudes[:, -1:]
    gaps = np.diff(magnitudes, axis=1, prepend=0.0)
    # Equal multiples differ by the rounding of float32, different ones by a step.
    gap = np.where(gaps * 4 * LEVELS > largest, gaps, np.inf).min(axis=1)
    steps = np.where(largest[:, 0] > 0, np.nan, 0.0)
    # Parts of the gap that reach the largest magnitude within LEVELS: rows without one have no step
    most = np.floor((LEVELS + 1) * gap[np.isnan(steps)] / largest[np.isnan(steps), 0])
    if (most < 1).any():
        return None
    for part in range(1, int(min(_PARTS, most.max(initial=0))) + 1):
        missing = np.flatnonzero(np.isnan(steps))
        if not len(missing):
            break
        of_rows = rows[missing]
        multiples = np.rint(of_rows / (gap[missing, None] / part))
        # The step of least squares: the gap alone has the errors of two weights.
        fitted = (of_rows * multiples).sum(axis=1) / np.maximum((multiples**2).sum(axis=1), 1.0)
        away = np.abs(of_rows - fitted[:, None] * multiples).max(axis=1)
        fits = (np.abs(multiples).max(axis=1) <= LEVELS) & (away <= TOLERANCE * fitted)
        steps[missing[fits]] = fitted[fits]
    return None if np.isnan(steps).any() else steps
