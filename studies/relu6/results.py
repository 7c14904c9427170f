"""Results of the study as rows, and as the CSV files that page and docs are made from."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from foundation.atomic import write_whole
from foundation.errors import InvalidInputError
from studies.relu6.half import BinadeRow, HalfRow
from studies.relu6.measured import Subject, Summary
from studies.relu6.spiral import SpiralRow
from studies.relu6.statistics import Estimate
from studies.relu6.why import HistogramRow, LayerRow, SpreadRow

DIGITS = 6
"""Significant digits of a number in a file."""

Row = TypeVar("Row")


@dataclass(frozen=True)
class NetworkRow:
    """A trained network.

    Attributes:
        kind: kind of the network (``networks.Kind.name``).
        seed: seed of its training.
        development: top-1 in percent on the development part of the training split.
        test: top-1 in percent on the test images, in float.
        n: number of test images.
    """

    kind: str
    seed: int
    development: float
    test: float
    n: int


@dataclass(frozen=True)
class DropRow:
    """A ``Summary`` in plain columns."""

    kind: str
    what: str
    weights: str
    ranges: str
    bits: int
    where: str
    runtime: str
    strength: float
    repair: str
    seeds: int
    n: int
    float_top1: float
    top1: float
    top1_low: float
    top1_high: float
    drop: float
    drop_low: float
    drop_high: float
    agreement: float
    sqnr: float

    @classmethod
    def of(cls, summary: Summary) -> DropRow:
        """Columns of a summary."""
        return cls(
            **asdict(summary.subject),
            seeds=summary.seeds,
            n=summary.drop.n,
            float_top1=summary.float_top1,
            top1=summary.top1.mean,
            top1_low=summary.top1.low,
            top1_high=summary.top1.high,
            drop=summary.drop.mean,
            drop_low=summary.drop.low,
            drop_high=summary.drop.high,
            agreement=summary.agreement,
            sqnr=summary.sqnr,
        )


@dataclass(frozen=True)
class ContrastRow:
    """Difference of the losses of two kinds, paired by seed and image.

    Attributes:
        first: name of the kind.
        second: name of the kind that it is compared with.
        what: ``drop``, or ``float error`` for how much less accurate the first is in float.
        weights: granularity of the weights' scales, or ``float``.
        ranges: method of the ranges, that of the second kind after a slash where it differs.
        bits: bits of the activations.
        more: loss of the first minus that of the second, in percentage points.
        low: lower limit of the interval.
        high: upper limit of the interval.
        seeds: number of seeds.
        n: number of images.
    """

    first: str
    second: str
    what: str
    weights: str
    ranges: str
    bits: int
    more: float
    low: float
    high: float
    seeds: int
    n: int

    @classmethod
    def of(
        cls, first: Subject, second: Subject, what: str, more: Estimate, seeds: int
    ) -> ContrastRow:
        """Columns of a comparison."""
        same = first.ranges == second.ranges
        return cls(
            first.kind,
            second.kind,
            what,
            first.weights,
            first.ranges if same else f"{first.ranges}/{second.ranges}",
            first.bits,
            more.mean,
            more.low,
            more.high,
            seeds,
            more.n,
        )


@dataclass(frozen=True)
class NoiseRow:
    """Losses of the activations of one role, averaged over layers, then over seeds.

    Attributes:
        kind: kind of the networks.
        role: role of the activations (``layers.Role``).
        ranges: method of the ranges (``layers.Ranges``).
        bits: bits of the activations.
        seeds: number of seeds.
        layers: number of activations of that role in one network.
        step: geometric mean of the steps.
        rounding_db: signal-to-noise ratio of rounding.
        clipped_layers: percent of the activations that lose anything to clipping.
        clipping_db: signal-to-noise ratio of clipping in these activations.
        own_db: signal-to-noise ratio where only the tensor itself is quantized.
        own_half: half-width of its 95 % t interval over the seeds.
        through_db: signal-to-noise ratio in the network with all tensors quantized.
        narrow: percent of the channels that use less than a quarter of the range.
        lost_bits: bits that the median channel leaves unused.
    """

    kind: str
    role: str
    ranges: str
    bits: int
    seeds: int
    layers: int
    step: float
    rounding_db: float
    clipped_layers: float
    clipping_db: float
    own_db: float
    own_half: float
    through_db: float
    narrow: float
    lost_bits: float


@dataclass(frozen=True)
class Results:
    """All results of the study; one CSV file per field."""

    networks: tuple[NetworkRow, ...]
    drops: tuple[DropRow, ...]
    contrasts: tuple[ContrastRow, ...]
    noise: tuple[NoiseRow, ...]
    layers: tuple[LayerRow, ...]
    spread: tuple[SpreadRow, ...]
    histograms: tuple[HistogramRow, ...]
    half: tuple[HalfRow, ...]
    binades: tuple[BinadeRow, ...]
    calibration: tuple[DropRow, ...]
    breaking: tuple[DropRow, ...]
    spiral: tuple[SpiralRow, ...]

    def write(self, folder: Path) -> list[Path]:
        """Write the CSV files; each appears whole or not at all."""
        paths = []
        for name in TYPES:
            path = folder / f"{name}.csv"
            text = csv_text(getattr(self, name), TYPES[name])
            write_whole(path, partial(Path.write_text, data=text, encoding="utf-8", newline=""))
            paths.append(path)
        return paths

    @classmethod
    def read(cls, folder: Path) -> Results:
        """Read the CSV files that ``write`` wrote.

        Raises:
            InvalidInputError: a file that is missing or damaged; names it.
        """
        return cls(**{name: _rows(folder / f"{name}.csv", TYPES[name]) for name in TYPES})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {name: [asdict(row) for row in getattr(self, name)] for name in TYPES}


TYPES: Mapping[str, type[Any]] = {
    "networks": NetworkRow,
    "drops": DropRow,
    "contrasts": ContrastRow,
    "noise": NoiseRow,
    "layers": LayerRow,
    "spread": SpreadRow,
    "histograms": HistogramRow,
    "half": HalfRow,
    "binades": BinadeRow,
    "calibration": DropRow,
    "breaking": DropRow,
    "spiral": SpiralRow,
}


def committed() -> Path:
    """Folder of the files that the docs are made from."""
    return Path(__file__).resolve().parent / "results"


def csv_text(rows: Sequence[Any], kind: type[Any]) -> str:
    """Rows of one dataclass as CSV text; numbers have DIGITS significant digits."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = [field.name for field in fields(kind)]
    writer.writerow(names)
    for row in rows:
        writer.writerow([_text(getattr(row, name)) for name in names])
    return buffer.getvalue()


def _text(value: object) -> str:
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


def _rows(path: Path, kind: type[Row]) -> tuple[Row, ...]:
    readers = {"int": int, "float": float, "str": str}
    types = {field.name: readers[str(field.type)] for field in fields(kind)}  # type: ignore[arg-type]
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            return tuple(
                kind(**{name: types[name](text) for name, text in row.items()})
                for row in csv.DictReader(handle)
            )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InvalidInputError(
            "results of the study are the CSV files that it wrote",
            received=f"{path} ({type(error).__name__}: {error})",
            remedy="restore the file, or run 'edgequant study relu6' again",
        ) from error
