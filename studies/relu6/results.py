"""The study's figures as rows, and as the CSV files that page and docs are made from."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from importlib.resources import files
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
"""Significant ones of a number in a file."""

Row = TypeVar("Row")


@dataclass(frozen=True)
class NetworkRow:
    """A trained network.

    Attributes:
        kind: see ``networks.Kind.name``.
        seed: of its training.
        development: percent right of the development part of the training split.
        test: percent right of the test images, in float.
        n: test images.
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
        """The columns of a summary."""
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
    """By how much more one kind loses than another, paired by seed and image.

    Attributes:
        first: kind.
        second: kind it is compared with.
        what: ``drop``, or ``float error`` for how much less accurate the first is in float.
        weights: as in ``Subject``.
        ranges: likewise; those of the second may be named after a slash.
        bits: likewise.
        more: percentage points.
        low: lower limit.
        high: upper limit.
        seeds: how many.
        n: images.
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
        cls, first: Subject, second: Subject, what: str, found: Estimate, seeds: int
    ) -> ContrastRow:
        """The columns of a comparison."""
        same = first.ranges == second.ranges
        return cls(
            first.kind,
            second.kind,
            what,
            first.weights,
            first.ranges if same else f"{first.ranges}/{second.ranges}",
            first.bits,
            found.mean,
            found.low,
            found.high,
            seeds,
            found.n,
        )


@dataclass(frozen=True)
class NoiseRow:
    """Losses of the activations of one role, averaged over layers, then over seeds.

    Attributes:
        kind: of the networks.
        role: see ``layers.Role``.
        ranges: see ``layers.Ranges``.
        bits: of activations.
        seeds: how many.
        layers: activations of that role in one network.
        step: geometric mean.
        rounding_db: signal to rounding noise.
        clipped_layers: percent of the activations that lose anything to clipping.
        clipping_db: signal to clipping noise of these.
        own_db: signal to the noise of each tensor's own rounding.
        own_half: half-width of its 95 % t interval over the seeds.
        through_db: signal to noise in the network with all tensors rounded.
        narrow: percent of the channels that use less than a quarter of the range.
        lost_bits: that the middle channel leaves unused.
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
    """Everything that the study found; one CSV file a field."""

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
        """Read back what ``write`` wrote.

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
    """Where the files lie that the docs are made from."""
    return Path(str(files("studies"))) / "relu6" / "results"


def csv_text(rows: Sequence[Any], kind: type[Any]) -> str:
    """Rows of one dataclass as CSV; numbers have DIGITS significant digits."""
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
