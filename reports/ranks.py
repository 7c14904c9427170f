"""How well a figure of likeness to float orders files as their drop does: rank correlations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from reports.accuracy import task_of

Row = Mapping[str, str]


def _mean_noise(row: Row) -> float | None:
    """SQNR of scores and boxes together in dB: of the mean of their noises, each as a share."""
    noises = [10 ** (-float(row[k]) / 10) for k in ("sqnr_db", "sqnr_boxes_db") if row.get(k)]
    return -10 * math.log10(sum(noises) / len(noises)) if len(noises) == 2 else None


def _plain(name: str) -> Callable[[Row], float | None]:
    return lambda row: float(row[name]) if row.get(name) else None


_LIKENESS: dict[str, Callable[[Row], float | None]] = {
    "SQNR of the scores or the map": _plain("sqnr_db"),
    "SQNR of the boxes": _plain("sqnr_boxes_db"),
    "SQNR of both": _mean_noise,
    "as float %": _plain("agreement"),
}
_FEWEST = 4
"""Fewest files of which a rank correlation is told."""


def rank_table(rows: Iterable[Row]) -> str:
    """Spearman's rank correlation of each figure with the drop, over the files of a network.

    A file counts once, in the first runtime of its rows, and so do our .tflite and .onnx of one
    setting, which hold the same integers. 1.00 means that the file that is more like float by that
    figure always loses less. Source: Spearman 1904, The American Journal of Psychology 15:72-101.

    Args:
        rows: rows of detectors and segmenters from a table of quantizers.
    """
    networks: dict[str, list[Row]] = {}
    for row in rows:
        networks.setdefault(row["network"], []).append(row)
    lines = [
        f"| network | files | loss of | {' | '.join(_LIKENESS)} |",
        f"|---|---:|---|{'---:|' * len(_LIKENESS)}",
    ]
    for network, of_network in sorted(networks.items()):
        losses = {"AP": "drop", "AP50": "ap50_drop"}
        if task_of(of_network) != "detection":
            losses = {"mIOU": "drop"}
        files = _files(of_network)
        for title, loss in losses.items():
            cells = (_correlation(files, figure, loss) for figure in _LIKENESS.values())
            lines.append(f"| {network} | {len(files)} | {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _files(rows: Sequence[Row]) -> list[Row]:
    """One row of each quantized file."""
    found: dict[tuple[str, str, str], Row] = {}
    for row in sorted(rows, key=lambda row: row["runtime"]):
        if row["drop"] and row["tool"] != "float32":
            found.setdefault((row["granularity"], row["tool"], row["setting"]), row)
    return list(found.values())


def _correlation(rows: Sequence[Row], figure: Callable[[Row], float | None], loss: str) -> str:
    """Rank correlation of a figure with the negative of a loss; ``-`` for too few or equal ones."""
    from scipy.stats import spearmanr

    pairs = ((figure(row), -float(row[loss])) for row in rows)
    known = [pair for pair in pairs if pair[0] is not None]
    if len(known) < _FEWEST or any(len(set(column)) == 1 for column in zip(*known, strict=True)):
        return "-"
    return f"{spearmanr(*zip(*known, strict=True)).statistic:.2f}"
